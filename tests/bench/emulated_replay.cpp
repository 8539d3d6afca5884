// SPDX-License-Identifier: Apache-2.0
// The whole dbsp-replay on emulated GPUs with the NCCL of tests/runtime/fake_vendor.
#include <cstdlib>

#include "replay/replay_tool.h"
#include "tests/emulated_gpu/emulated_gpu.h"

int main(int argc, char** argv) {
  if (std::getenv("DBSP_ABSENT_LIBRARIES") == nullptr) {
    dbsp::emulated_gpu::UseFakeNccl("libnccl.so.2");
  }
  return dbsp::replay::ReplayMain(argc, argv);
}
