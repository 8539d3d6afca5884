// SPDX-License-Identifier: Apache-2.0
// Opens a CUDA device as the tools do and prints the result. Tests start it with fake drivers in
// LD_LIBRARY_PATH.
#include <cstdio>
#include <cstdlib>

#include "core/error.h"
#include "runtime/cuda/cuda_device.h"

int main(int argc, char** argv) {
  try {
    const auto facts = dbsp::runtime::OpenCudaDevice(argc > 1 ? std::atoi(argv[1]) : 0);
    std::printf("%s\n", facts.name.c_str());
  } catch (const dbsp::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return dbsp::ExitCode(error.code());
  }
  return 0;
}
