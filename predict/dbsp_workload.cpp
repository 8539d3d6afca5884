// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "planner/workload/workload_tool.h"
#include "predict/predict_command.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("dbsp-workload", argc, argv, [](int count, const char* const* values) {
    return dbsp::planner::WorkloadMain(count, values, {dbsp::predict::PredictCommand()});
  });
}
