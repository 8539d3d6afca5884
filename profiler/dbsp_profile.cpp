// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "profiler/profile_tool.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("dbsp-profile", argc, argv, dbsp::profiler::ProfileMain);
}
