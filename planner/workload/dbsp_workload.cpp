// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "planner/workload/workload_tool.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("dbsp-workload", argc, argv, dbsp::planner::WorkloadMain);
}
