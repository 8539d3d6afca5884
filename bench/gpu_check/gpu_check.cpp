// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/gpu_check_tool.h"

int main(int argc, char** argv) { return dbsp::gpu_check::GpuCheckMain(argc, argv); }
