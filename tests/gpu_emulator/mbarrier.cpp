// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/mbarrier.h"

#include "tests/gpu_emulator/machine.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

constexpr int kMaxCount = (1 << 20) - 1;  ///< source: PTX ISA, "mbarrier", also of transactions

/// Name of the thread for a message, or of the transaction when data landed.
std::string Culprit(const Block& block, const Thread* self) {
  return self == nullptr ? block.Name() + " transaction" : self->Name();
}

void CompletePhase(const Block& block, Mbarrier& bar, int offset, const Thread* self) {
  if (bar.loads_in_flight > 0) {
    Fail(ErrorCode::kInternal,
         "{}: the mbarrier at shared +{} completes phase {} with {} TMA loads still in flight: "
         "expect_tx was less than their bytes",
         Culprit(block, self),
         offset,
         bar.completed,
         bar.loads_in_flight);
  }
  ++bar.completed;
  bar.pending = bar.count;
  block.machine->Wake(bar.waiters);
}

}  // namespace

void Arrive(Block& block, int offset, int arrivals, std::int64_t bytes, const Thread* self) {
  Mbarrier& bar = block.mbarriers.at(offset);
  bar.transactions += bytes;
  if (bar.transactions > kMaxCount || bar.transactions < -kMaxCount) {
    Fail(ErrorCode::kInternal,
         "{}: the mbarrier at shared +{} counts {} transaction bytes; its limit is {}",
         Culprit(block, self),
         offset,
         bar.transactions,
         kMaxCount);
  }
  if (arrivals > bar.pending) {
    Fail(ErrorCode::kInternal,
         "{}: one arrival more than the {} of phase {} at the mbarrier at shared +{}, with {} "
         "transaction bytes pending",
         Culprit(block, self),
         bar.count,
         bar.completed,
         offset,
         bar.transactions);
  }
  bar.pending -= arrivals;
  if (bar.pending == 0 && bar.transactions == 0) CompletePhase(block, bar, offset, self);
}

Mbarrier& BarrierAt(Thread& self, std::uint32_t addr, const char* operation, int* offset) {
  *offset = self.block->shared.Offset(self.index, addr, 8, 8, operation);
  const auto found = self.block->mbarriers.find(*offset);
  if (found == self.block->mbarriers.end()) {
    self.Refuse("{}: no mbarrier at shared +{}; BarrierInit comes first", operation, *offset);
  }
  return found->second;
}

}  // namespace emulator

using emulator::Mbarrier;
using emulator::Self;
using emulator::Thread;

void BarrierInit(std::uint32_t bar, int count) {
  Thread& self = Self("BarrierInit");
  const int offset = self.block->shared.Offset(self.index, bar, 8, 8, "BarrierInit");
  if (count < 1 || count > emulator::kMaxCount) {
    self.Refuse("BarrierInit: a count of {}; expected 1..{}", count, emulator::kMaxCount);
  }
  self.block->shared.MakeBarrier(self.index, offset);
  Mbarrier& state = self.block->mbarriers[offset];
  state.count = count;
  state.pending = count;
  state.init_thread = self.index;
}

void BarrierInitFence() {
  Thread& self = Self("BarrierInitFence");
  for (auto& [offset, bar] : self.block->mbarriers) {
    if (bar.init_thread == self.index) bar.fenced = true;
  }
}

void BarrierArrive(std::uint32_t bar) {
  Thread& self = Self("BarrierArrive");
  self.MaybeYield();
  int offset = 0;
  emulator::BarrierAt(self, bar, "BarrierArrive", &offset);
  emulator::Arrive(*self.block, offset, 1, 0, &self);
}

void BarrierArriveExpect(std::uint32_t bar, int bytes) {
  Thread& self = Self("BarrierArriveExpect");
  self.MaybeYield();
  int offset = 0;
  emulator::BarrierAt(self, bar, "BarrierArriveExpect", &offset);
  if (bytes < 0) self.Refuse("BarrierArriveExpect: {} bytes; expected 0 or more", bytes);
  emulator::Arrive(*self.block, offset, 1, bytes, &self);
}

void BarrierWait(std::uint32_t bar, std::uint32_t parity) {
  Thread& self = Self("BarrierWait");
  self.MaybeYield();
  int offset = 0;
  Mbarrier& state = emulator::BarrierAt(self, bar, "BarrierWait", &offset);
  if (parity > 1) self.Refuse("BarrierWait: a parity of {}; expected 0 or 1", parity);
  const emulator::Describe describe = [&] {
    return fmt::format(
        "in BarrierWait(shared +{}, parity {}): phase {} has {} of {} arrivals and {} bytes to "
        "come",
        offset,
        parity,
        state.completed,
        state.count - state.pending,
        state.count,
        state.transactions);
  };
  // The current phase has parity completed & 1. The other parity denotes the previous phase.
  self.WaitFor(
      state.waiters, [&] { return (state.completed & 1U) != parity; }, describe);
}

}  // namespace dbsp::kernels::gpu::isa
