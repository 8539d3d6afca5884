// SPDX-License-Identifier: Apache-2.0
// State of a warpgroup's matrix products between issue and wait.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "tests/gpu_emulator/barrier_state.h"
#include "tests/gpu_emulator/shared_memory.h"

namespace dbsp::kernels::gpu::isa::emulator {

/// The accumulators of successive products on the same registers.
struct WgmmaChain {
  int n = 0;
  /// [128][n / 2] values of the threads' registers at the start of the chain
  std::vector<float> initial;
  /// [64][n] row-major; empty before the first product has run
  std::vector<float> matrix;
};

/// One wgmma.mma_async of a warpgroup. Its threads issue it one after the other.
struct WgmmaProduct {
  int n = 0;
  bool a_in_registers = false;
  bool accumulate = false;
  std::uint64_t desc_a = 0;
  std::uint64_t desc_b = 0;
  std::shared_ptr<WgmmaChain> chain;
  std::vector<std::uint32_t> a;  ///< [128][4] where A is in registers
  bool fresh = false;  ///< first product of the chain
  int issued = 0;  ///< number of threads that have issued it
  unsigned warps_seen = 0;
  int waits = 0;  ///< number of threads that have waited for it
  std::vector<SharedSpan> reads;  ///< of shared memory, claimed until a first thread has waited
};

struct WarpgroupState {
  std::deque<WgmmaProduct> products;
  std::uint64_t first = 0;  ///< number of products.front()
  std::uint64_t next_run = 0;  ///< products run in order
  WaitList waiters;

  [[nodiscard]] WgmmaProduct& at(std::uint64_t number) { return products[number - first]; }
};

/// Products that a thread has issued, committed and not waited for.
struct WgmmaThread {
  std::uint64_t issued = 0;
  std::uint64_t waited = 0;  ///< the thread has waited for all products below this number
  std::deque<std::uint64_t> group_ends;  ///< of committed groups: `issued` at the commit
  bool fenced = false;  ///< WgmmaFence since the thread began or last waited
  struct Accumulator {
    float* d = nullptr;
    int count = 0;
    std::uint64_t last = 0;  ///< product
  };
  std::vector<Accumulator> in_flight;
  struct Fragment {
    const std::uint32_t* a = nullptr;
    std::array<std::uint32_t, 4> value = {};
    std::uint64_t product = 0;
  };
  std::vector<Fragment> fragments;  ///< A operands in registers, in flight
};

}  // namespace dbsp::kernels::gpu::isa::emulator
