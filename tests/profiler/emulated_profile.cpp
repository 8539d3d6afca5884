// SPDX-License-Identifier: Apache-2.0
// The whole dbsp-profile on emulated GPUs, with the NCCL between processes of
// tests/runtime/fake_vendor. DBSP_EMULATED_DEVICES is the number of GPUs per host; with
// DBSP_EMULATED_BREAK attention computes wrong values.
#include <cstdlib>

#include "profiler/profile_tool.h"
#include "tests/emulated_gpu/emulated_gpu.h"

int main(int argc, char** argv) {
  dbsp::emulated_gpu::Options options;
  if (const char* devices = std::getenv("DBSP_EMULATED_DEVICES"))
    options.devices = std::atoi(devices);
  dbsp::emulated_gpu::Configure(options);
  if (std::getenv("DBSP_EMULATED_BREAK") != nullptr) dbsp::emulated_gpu::BreakAttention(1e30F);
  if (std::getenv("DBSP_ABSENT_LIBRARIES") == nullptr) {
    dbsp::emulated_gpu::UseFakeNccl("libnccl.so.2");
  }
  return dbsp::profiler::ProfileMain(argc, argv);
}
