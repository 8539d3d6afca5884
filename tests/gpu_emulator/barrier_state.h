// SPDX-License-Identifier: Apache-2.0
// State of the barriers of a thread block: 16 named barriers, mbarriers in shared memory, and the
// pool of registers that setmaxnreg takes from.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace dbsp::kernels::gpu::isa::emulator {

struct Thread;

/// Threads whose conditions must be tested again after a change. Machine::Wake takes them out.
class WaitList {
 public:
  void Add(Thread& thread) { threads_.push_back(&thread); }
  [[nodiscard]] std::vector<Thread*> TakeAll() { return std::exchange(threads_, {}); }

 private:
  std::vector<Thread*> threads_;
};

struct NamedBarrier {
  int expected = 0;  ///< threads of this generation; set by the first one to arrive
  int arrived = 0;
  std::vector<bool> has_arrived;  ///< by thread
  std::uint64_t generation = 0;
  WaitList waiters;
};

/// source  PTX ISA, "mbarrier": a phase completes when no arrival and no transaction is pending
struct Mbarrier {
  int count = 0;
  int pending = 0;
  std::int64_t transactions = 0;  ///< bytes; negative when data came before its expect_tx
  std::uint64_t completed = 0;  ///< phases
  int loads_in_flight = 0;  ///< TMA loads issued to the current phase
  int init_thread = 0;
  bool fenced = false;  ///< BarrierInitFence came after the init
  WaitList waiters;
};

/// Registers of a thread block. source: PTX ISA, "setmaxnreg"
struct RegisterPool {
  int free = 0;
  std::vector<int> of_warp;  ///< registers per thread of each warp
  WaitList waiters;
};

}  // namespace dbsp::kernels::gpu::isa::emulator
