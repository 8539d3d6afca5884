// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/machine.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

constexpr int kRegisterFile = 65536;  ///< 32-bit registers of a multiprocessor

thread_local Thread* current = nullptr;

/// Registers per thread that ptxas may assign at entry: the share of `file` registers, rounded down
/// to a multiple of 8, at most 255.
int RegistersAtEntry(int file, int threads) { return std::min(file / threads / 8 * 8, 255); }

}  // namespace

Thread& Self(const char* operation) {
  if (current == nullptr) {
    Fail(ErrorCode::kInternal, "emulator: {} outside of a kernel; call it in RunGrid", operation);
  }
  return *current;
}

Block::Block(Machine* owner, int block_index, int thread_count, int shared_bytes)
    : machine(owner),
      index(block_index),
      shared(block_index, thread_count, shared_bytes),
      threads(static_cast<std::size_t>(thread_count)),
      warps(static_cast<std::size_t>(thread_count / kWarpLanes)),
      warpgroups(static_cast<std::size_t>(thread_count / kWarpgroupThreads)),
      running(thread_count) {
  const int file = kRegisterFile / std::max(owner->options().blocks_per_sm, 1);
  registers.of_warp.assign(warps.size(), RegistersAtEntry(file, thread_count));
  registers.free = file - RegistersAtEntry(file, thread_count) * thread_count;
  for (int i = 0; i < thread_count; ++i) {
    Thread& thread = threads[i];
    thread.machine = owner;
    thread.block = this;
    thread.index = i;
    thread.store_groups.emplace_back();
  }
}

Machine::Machine(int grid, int threads, int shared_bytes, const RunOptions& options)
    : grid_(grid),
      threads_(threads),
      shared_bytes_(shared_bytes),
      options_(options),
      random_(options.seed),
      launch_order_(static_cast<std::size_t>(grid)),
      stacks_(static_cast<std::size_t>(std::min(grid, options.resident_blocks)) *
              static_cast<std::size_t>(threads)),
      slots_(static_cast<std::size_t>(std::min(grid, options.resident_blocks))) {
  // The seed determines how threads are chosen, how often they are interrupted, and when and in
  // which order asynchronous operations complete.
  constexpr std::array<int, 3> kYield = {0, 64, 8};
  constexpr std::array<int, 3> kComplete = {2, 16, 128};
  order_ = static_cast<int>(random_.Below(3));
  yield_one_in_ = kYield[random_.Below(3)];
  complete_one_in_ = kComplete[random_.Below(3)];
  complete_order_ = static_cast<int>(random_.Below(3));
  elected_lane_ = static_cast<int>(random_.Below(kWarpLanes));
  std::iota(launch_order_.begin(), launch_order_.end(), 0);
  for (std::size_t i = launch_order_.size(); i > 1; --i) {
    std::swap(launch_order_[i - 1], launch_order_[random_.Below(i)]);
  }
}

Machine::~Machine() {
  for (const auto& block : slots_) {
    if (!block) continue;
    for (Thread& thread : block->threads) {
      current = &thread;
      if (thread.fiber) thread.fiber->Cancel();
    }
  }
  current = nullptr;
}

bool Machine::Admit(const std::function<void()>& body) {
  bool any = false;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot] && launched_ < launch_order_.size()) {
      slots_[slot] =
          std::make_unique<Block>(this, launch_order_[launched_++], threads_, shared_bytes_);
      for (Thread& thread : slots_[slot]->threads) {
        const std::size_t stack =
            slot * static_cast<std::size_t>(threads_) + static_cast<std::size_t>(thread.index);
        thread.fiber = std::make_unique<Fiber>(stacks_.stack(stack), &body);
        ready_.push_back(&thread);
      }
    }
    any = any || slots_[slot] != nullptr;
  }
  return any;
}

void Machine::Start(Block& block, std::function<void()> run) {
  if (options_.completion == Completion::kEarly) {
    run();
    return;
  }
  ++block.async;
  async_.push_back({&block, std::move(run)});
}

bool Machine::YieldNow() { return random_.OneIn(yield_one_in_); }

void Machine::CompleteOne() {
  // The order newest first lets an operation complete before an earlier one.
  std::size_t i = random_.Below(async_.size());
  if (complete_order_ == 1) i = async_.size() - 1;
  if (complete_order_ == 2) i = 0;
  const AsyncOperation operation = std::move(async_[i]);
  async_.erase(async_.begin() + static_cast<std::ptrdiff_t>(i));
  --operation.block->async;
  operation.run();
}

std::uint64_t Machine::Rank(Thread& thread) const {
  if (thread.rank_epoch != rank_epoch_) {
    thread.rank_epoch = rank_epoch_;
    const auto warp = static_cast<std::uint64_t>(thread.block->index * 32 + thread.warp());
    thread.rank = Random(warp ^ (rank_epoch_ << 32U) ^ options_.seed).Next();
  }
  return thread.rank;
}

Thread* Machine::Pick() {
  std::size_t chosen = 0;
  if (order_ == 0) {
    chosen = random_.Below(ready_.size());
  } else if (order_ == 1) {
    // One order of warps for about 1024 choices, so that some warps run far ahead of others.
    if (random_.OneIn(1024)) ++rank_epoch_;
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      if (Rank(*ready_[i]) < Rank(*ready_[chosen])) chosen = i;
    }
  }  // else the thread that has been ready longest
  Thread* thread = ready_[chosen];
  ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(chosen));
  return thread;
}

void Machine::RunThread(Thread& thread) {
  ++report_.switches;
  current = &thread;
  try {
    thread.fiber->Resume();
  } catch (...) {
    current = nullptr;
    throw;
  }
  current = nullptr;
  if (!thread.fiber->done()) return;
  thread.state = Thread::State::kDone;
  thread.CheckEnd();
  if (--thread.block->running == 0) Retire(*thread.block);
}

void Machine::Retire(Block& block) {
  for (const auto& [offset, bar] : block.mbarriers) {
    if (bar.loads_in_flight == 0 && bar.transactions == 0) continue;
    Fail(ErrorCode::kInternal,
         "{}: returned while the mbarrier at shared +{} has {} TMA loads in flight and {} "
         "transaction bytes pending; wait for every load before the end",
         block.Name(),
         offset,
         bar.loads_in_flight,
         bar.transactions);
  }
  // The remaining operations are writes of TMA stores, which complete at the end of the kernel.
  while (block.async > 0) CompleteOne();
  for (auto& slot : slots_) {
    if (slot.get() == &block) slot.reset();
  }
}

RunReport Machine::Run(const std::function<void()>& body) {
  while (Admit(body)) {
    if (ready_.empty()) {
      if (async_.empty()) Deadlock();
      CompleteOne();
      continue;
    }
    if (options_.completion == Completion::kRandom && !async_.empty() &&
        random_.OneIn(complete_one_in_)) {
      CompleteOne();
    }
    RunThread(*Pick());
  }
  return report_;
}

}  // namespace emulator

RunReport RunGrid(int grid,
                  int threads,
                  int shared_bytes,
                  const RunOptions& options,
                  const std::function<void()>& body) {
  if (emulator::current != nullptr) {
    Fail(ErrorCode::kInternal, "RunGrid: called inside a kernel; start runs from the host's code");
  }
  if (grid < 1 || threads < 32 || threads > 1024 || threads % 32 != 0 ||
      options.resident_blocks < 1) {
    Fail(ErrorCode::kInvalidArgument,
         "RunGrid: {} blocks of {} threads, {} resident; expected at least 1 block and a multiple "
         "of 32 threads in 32..1024",
         grid,
         threads,
         options.resident_blocks);
  }
  if (shared_bytes < 0 || shared_bytes > emulator::SharedMemory::kMaxBytes) {
    Fail(ErrorCode::kInvalidArgument,
         "RunGrid: {} bytes of shared memory; a block has at most {}",
         shared_bytes,
         emulator::SharedMemory::kMaxBytes);
  }
  emulator::Machine machine(grid, threads, shared_bytes, options);
  return machine.Run(body);
}

}  // namespace dbsp::kernels::gpu::isa
