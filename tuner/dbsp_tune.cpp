// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "tuner/tune_tool.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("dbsp-tune", argc, argv, dbsp::tuner::TuneMain);
}
