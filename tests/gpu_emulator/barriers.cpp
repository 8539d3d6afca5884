// SPDX-License-Identifier: Apache-2.0
// Named barriers and setmaxnreg.
#include "tests/gpu_emulator/machine.h"
#include "tests/gpu_emulator/warp.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

constexpr int kNamedBarriers = 16;

/// Counts the thread in. Returns the barrier's generation before.
std::uint64_t ArriveNamed(Thread& self, int id, int threads, const char* operation) {
  Block& block = *self.block;
  if (id < 0 || id >= kNamedBarriers || threads <= 0 || threads % kWarpLanes != 0 ||
      threads > static_cast<int>(block.threads.size())) {
    self.Refuse("{}({}, {}): expected a barrier of 0..15 and a multiple of 32 threads, at most {}",
                operation,
                id,
                threads,
                block.threads.size());
  }
  NamedBarrier& bar = block.named[id];
  const std::uint64_t generation = bar.generation;
  if (bar.arrived == 0) {
    bar.expected = threads;
    bar.has_arrived.assign(block.threads.size(), false);
  }
  if (bar.expected != threads) {
    self.Refuse(
        "{}({}, {}): the barrier is gathering {} threads", operation, id, threads, bar.expected);
  }
  if (bar.has_arrived[self.index]) {
    self.Refuse("{}({}, {}): the thread has arrived already and {} of {} are missing",
                operation,
                id,
                threads,
                threads - bar.arrived,
                threads);
  }
  bar.has_arrived[self.index] = true;
  if (++bar.arrived == bar.expected) {
    bar.arrived = 0;
    ++bar.generation;
    block.machine->Wake(bar.waiters);
  }
  return generation;
}

void SyncNamed(Thread& self, int id, int threads, const char* operation) {
  self.MaybeYield();
  const std::uint64_t generation = ArriveNamed(self, id, threads, operation);
  NamedBarrier& bar = self.block->named[id];
  const Describe describe = [&] {
    return fmt::format("in {}({}, {}): {} of {} threads have arrived",
                       operation,
                       id,
                       threads,
                       bar.arrived,
                       bar.expected);
  };
  self.WaitFor(
      bar.waiters, [&] { return bar.generation != generation; }, describe);
}

}  // namespace
}  // namespace emulator

using emulator::Self;
using emulator::Thread;

void SyncThreads() {
  Thread& self = Self("SyncThreads");
  emulator::SyncNamed(self, 0, self.machine->threads(), "SyncThreads");
}

void NamedSync(int id, int threads) {
  emulator::SyncNamed(Self("NamedSync"), id, threads, "NamedSync");
}

void NamedArrive(int id, int threads) {
  Thread& self = Self("NamedArrive");
  self.MaybeYield();
  emulator::ArriveNamed(self, id, threads, "NamedArrive");
}

void internal::SetRegisters(int count, bool increase) {
  Thread& self = Self("setmaxnreg");
  emulator::RegisterPool& pool = self.block->registers;
  const char* name = increase ? "RegistersIncrease" : "RegistersDecrease";
  const emulator::Describe describe = [&] {
    return fmt::format("in {}<{}>: {} registers are free", name, count, pool.free);
  };
  int& own = pool.of_warp[self.warp()];
  // The last lane takes or gives for its warp; the others wait until it has.
  emulator::Collective(self, name, count, nullptr, [](const auto& /*operands*/) {});
  if (self.lane() == 0) {
    if (increase ? count < own : count > own) {
      self.Refuse("{}<{}>: the warp has {} registers a thread", name, count, own);
    }
    const int needed = (count - own) * emulator::kWarpLanes;
    self.WaitFor(
        pool.waiters, [&] { return pool.free >= needed; }, describe);
    pool.free -= needed;
    own = count;
    self.machine->Wake(pool.waiters);
  }
  emulator::Collective(self, name, count, nullptr, [](const auto& /*operands*/) {});
}

}  // namespace dbsp::kernels::gpu::isa
