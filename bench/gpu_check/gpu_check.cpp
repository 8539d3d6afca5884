// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/gpu_check_tool.h"
#include "core/cli.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("gpu_check", argc, argv, dbsp::gpu_check::GpuCheckMain);
}
