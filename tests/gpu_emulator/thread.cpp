// SPDX-License-Identifier: Apache-2.0
// Waiting and end of a thread, and the message of a deadlock.
#include <algorithm>

#include "tests/gpu_emulator/machine.h"

namespace dbsp::kernels::gpu::isa::emulator {
namespace {

constexpr int kBlocksShown = 2;
constexpr int kGroupsShown = 12;

std::string What(const Thread& thread) {
  if (thread.state == Thread::State::kDone) return "returned";
  return thread.waiting_for == nullptr ? "not started" : (*thread.waiting_for)();
}

/// "threads 0-31 returned; thread 32 in ...": equal neighbours together.
std::string Threads(const Block& block) {
  std::string text;
  int groups = 0;
  for (std::size_t first = 0; first < block.threads.size();) {
    const std::string what = What(block.threads[first]);
    std::size_t last = first;
    while (last + 1 < block.threads.size() && What(block.threads[last + 1]) == what) ++last;
    if (++groups > kGroupsShown) return text + "; ...";
    text += fmt::format(
        "{}{} {}",
        text.empty() ? "" : "; ",
        first == last ? fmt::format("thread {}", first) : fmt::format("threads {}-{}", first, last),
        what);
    first = last + 1;
  }
  return text;
}

}  // namespace

std::string Block::Name() const { return fmt::format("emulator: block {}", index); }

std::string Thread::Name() const { return fmt::format("{} thread {}", block->Name(), index); }

void Thread::WaitFor(WaitList& waiters,
                     const std::function<bool()>& ready,
                     const Describe& describe) {
  waiting_for = &describe;
  while (!ready()) {
    state = State::kWaiting;
    waiters.Add(*this);
    fiber->Suspend();
  }
  waiting_for = nullptr;
}

void Thread::MaybeYield() {
  if (!machine->YieldNow()) return;
  machine->MakeReady(*this);
  fiber->Suspend();
}

void Thread::CheckEnd() const {
  if (wgmma.issued != wgmma.waited) {
    Refuse("returned with {} wgmma not waited for; call WgmmaWait<0>", wgmma.issued - wgmma.waited);
  }
  for (const StoreGroup& group : store_groups) {
    if (!group.claimed.empty()) {
      Refuse(
          "returned while its TMA stores may still read shared memory; call "
          "TmaStoreWaitRead<0> or TmaStoreWait<0>");
    }
  }
  if (!copies.outstanding.empty()) {
    Refuse("returned with {} cp.async in flight; call CopyAsyncWait<0>", copies.outstanding.size());
  }
}

void Machine::Deadlock() const {
  std::string text;
  int shown = 0;
  for (const auto& block : slots_) {
    if (!block || shown == kBlocksShown) continue;
    text += fmt::format("{}block {}: {}", shown++ == 0 ? "" : " | ", block->index, Threads(*block));
  }
  Fail(ErrorCode::kInternal, "emulator: deadlock (seed {}): {}", options_.seed, text);
}

}  // namespace dbsp::kernels::gpu::isa::emulator
