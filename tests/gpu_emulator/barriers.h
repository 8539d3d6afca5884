// SPDX-License-Identifier: Apache-2.0
// State of the barriers: 16 named ones per block, mbarriers in shared memory, and the register pool
// that setmaxnreg waits for.
#pragma once

#include <cstdint>
#include <vector>

namespace dbsp::kernels::gpu::isa::emulator {

struct Block;
struct Thread;

/// Threads to ask again when something has changed.
class WaitList {
 public:
  void Add(Thread& thread) { threads_.push_back(&thread); }
  void WakeAll();

 private:
  std::vector<Thread*> threads_;
};

struct NamedBarrier {
  int expected = 0;  ///< 0: nobody has arrived
  int arrived = 0;
  std::vector<bool> has_arrived;  ///< by thread
  std::uint64_t generation = 0;
  WaitList waiters;
};

/// source  PTX ISA, "mbarrier": a phase completes when no arrival and no transaction is pending
struct Mbarrier {
  int count = 0;
  int pending = 0;
  std::int64_t transactions = 0;  ///< bytes; below 0 when data came before its expect
  std::uint64_t completed = 0;  ///< phases
  int loads_in_flight = 0;  ///< TMA loads issued to the current phase
  int init_thread = 0;
  bool fenced = false;  ///< BarrierInitFence came after the init
  WaitList waiters;
};

/// Registers of a block, per thread of each warp. source: PTX ISA, "setmaxnreg"
struct RegisterPool {
  int free = 0;
  std::vector<int> of_warp;
  WaitList waiters;
};

/// An arrival, or `bytes` of a transaction: negative when they land.
void Arrive(Block& block, int offset, int arrivals, std::int64_t bytes, const Thread* self);

}  // namespace dbsp::kernels::gpu::isa::emulator
