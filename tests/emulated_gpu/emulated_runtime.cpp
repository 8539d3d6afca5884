// SPDX-License-Identifier: Apache-2.0
#include "tests/emulated_gpu/emulated_runtime.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "core/error.h"
#include "runtime/clock.h"
#include "runtime/cuda/device_wait.h"

namespace dbsp::emulated_gpu {
namespace {

thread_local int t_device = 0;
constexpr std::align_val_t kAlignment{256};

}  // namespace

EmulatedRuntime& EmulatedRuntime::Get() {
  static EmulatedRuntime runtime;
  return runtime;
}

void EmulatedRuntime::Configure(const Options& options) {
  const std::scoped_lock guard(lock_);
  if (!streams_.empty() || !blocks_.empty()) {
    Fail(ErrorCode::kInternal,
         "{} streams and {} buffers of an earlier configuration are alive",
         streams_.size(),
         blocks_.size());
  }
  options_ = options;
  random_.seed(options.seed);
  counts = {};
  broken = false;
  broken_lse = 0.0F;
  one_block_per_sm = false;
  clock_stamps = true;
  launched = nullptr;
  t_device = 0;
}

int EmulatedRuntime::CurrentDevice() { return t_device; }

void EmulatedRuntime::SetDevice(int index) { t_device = index; }

void* EmulatedRuntime::Allocate(std::size_t bytes) {
  const std::scoped_lock guard(lock_);
  if (bytes > FreeBytes(t_device)) return nullptr;
  void* memory = ::operator new(bytes, kAlignment);
  std::memset(memory, 0xFF, bytes);  // NaN, in bf16 and in float
  blocks_[memory] = {bytes, t_device};
  return memory;
}

void* EmulatedRuntime::AllocateHost(std::size_t bytes) {
  const std::scoped_lock guard(lock_);
  void* memory = ::operator new(bytes, kAlignment);
  std::memset(memory, 0xFF, bytes);
  blocks_[memory] = {bytes, -1};
  return memory;
}

void EmulatedRuntime::Free(void* memory) noexcept {
  int device = -1;
  {
    const std::scoped_lock guard(lock_);
    const auto block = blocks_.find(memory);
    if (block == blocks_.end()) return;
    device = block->second.device;
  }
  try {
    if (device >= 0) WaitForDevice(device);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "emulated GPU: work that was still enqueued: %s\n", error.what());
  }
  const std::scoped_lock guard(lock_);
  blocks_.erase(memory);
  ::operator delete(memory, kAlignment);
}

std::size_t EmulatedRuntime::FreeBytes(int device) {
  const std::scoped_lock guard(lock_);
  std::size_t used = 0;
  for (const auto& [memory, block] : blocks_) used += block.device == device ? block.bytes : 0;
  return options_.memory_bytes - used;
}

std::size_t EmulatedRuntime::BytesAlive() {
  const std::scoped_lock guard(lock_);
  std::size_t bytes = 0;
  for (const auto& [memory, block] : blocks_) bytes += block.bytes;
  return bytes;
}

CUstream_st* EmulatedRuntime::MakeStream() {
  const std::scoped_lock guard(lock_);
  streams_.push_back(std::make_unique<CUstream_st>());
  streams_.back()->device = t_device;
  return streams_.back().get();
}

void EmulatedRuntime::DestroyStream(CUstream_st* stream) noexcept {
  try {
    Wait(stream);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "emulated GPU: work that was still enqueued: %s\n", error.what());
  }
  const std::scoped_lock guard(lock_);
  waits_.erase(stream);
  std::erase_if(streams_, [stream](const auto& owned) { return owned.get() == stream; });
}

void EmulatedRuntime::Require(CUstream_st* stream, const char* what) {
  for (const auto& owned : streams_) {
    if (owned.get() == stream) return;
  }
  Fail(
      ErrorCode::kInternal, "{}: not a stream that is alive; the default stream is not used", what);
}

void EmulatedRuntime::Enqueue(void* stream, Work work) {
  const std::scoped_lock guard(lock_);
  auto* to = static_cast<CUstream_st*>(stream);
  Require(to, "an emulated launch");
  if (to->capture != nullptr) {
    to->capture->push_back(std::move(work));
    return;
  }
  to->queue.push_back(std::move(work));
  RunSome(to);
}

/// Runs work that a GPU could have done before the host continues.
void EmulatedRuntime::RunSome(CUstream_st* enqueued_on) {
  if (options_.schedule == Schedule::kLate) return;
  if (options_.schedule == Schedule::kEarly) {
    while (Advance(enqueued_on) == Step::kDone) {
    }
    return;
  }
  std::vector<CUstream_st*> own;
  for (const auto& stream : streams_) {
    if (stream->device == enqueued_on->device) own.push_back(stream.get());
  }
  for (std::uint64_t pieces = random_() % 3; pieces > 0; --pieces) {
    (void)Advance(own[random_() % own.size()]);
  }
}

EmulatedRuntime::Step EmulatedRuntime::Advance(CUstream_st* stream) {
  if (stream->queue.empty()) return Step::kNothing;
  Work& front = stream->queue.front();
  const auto leave = [&] {
    stream->queue.pop_front();
    stream->started = false;
    waits_.erase(stream);
  };
  try {
    if (!stream->started) {
      stream->started = true;
      if (front.start) front.start();
    }
    if (front.done && !front.done()) return Step::kBlocked;
  } catch (...) {
    leave();
    throw;
  }
  leave();
  return Step::kDone;
}

CUstream_st* EmulatedRuntime::Behind(CUstream_st* stream) {
  for (std::size_t links = 0; links <= streams_.size(); ++links) {
    const auto wait = waits_.find(stream);
    if (wait == waits_.end() || !stream->started) return stream;
    const auto& [event, target] = wait->second;
    if (event->reached >= target) return stream;
    stream = event->stream;
  }
  Fail(ErrorCode::kInternal, "a deadlock: streams wait for each other's events in a circle");
}

void EmulatedRuntime::WaitUntil(const std::function<bool()>& reached,
                                CUstream_st* stream,
                                const char* what) {
  // Emulated kernels are slow. The deadline therefore counts from the last work that was done.
  const std::int64_t deadline_ns = runtime::DeviceDeadlineNs();
  std::int64_t begin = runtime::SteadyNs();
  while (true) {
    bool moved = false;
    {
      const std::scoped_lock guard(lock_);
      if (reached()) return;
      Require(stream, what);
      moved = Advance(stream) == Step::kDone || Advance(Behind(stream)) == Step::kDone;
    }
    if (moved) {
      begin = runtime::SteadyNs();
      continue;
    }
    if (runtime::SteadyNs() - begin > deadline_ns) runtime::EndOverdue(what, deadline_ns);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void EmulatedRuntime::Wait(CUstream_st* stream, const char* what) {
  WaitUntil([stream] { return stream->queue.empty(); }, stream, what);
}

bool EmulatedRuntime::Idle(CUstream_st* stream) {
  const std::scoped_lock guard(lock_);
  Require(stream, "cudaStreamQuery");
  if (Advance(stream) == Step::kBlocked) (void)Advance(Behind(stream));
  return stream->queue.empty();
}

void EmulatedRuntime::WaitForDevice(int device) {
  std::vector<CUstream_st*> own;
  {
    const std::scoped_lock guard(lock_);
    for (const auto& stream : streams_) {
      if (stream->device == device) own.push_back(stream.get());
    }
  }
  for (CUstream_st* stream : own) Wait(stream);
}

void EmulatedRuntime::Record(CUevent_st* event, CUstream_st* stream) {
  const std::scoped_lock guard(lock_);
  const auto state = event->state;
  state->stream = stream;
  const std::int64_t target = ++state->recorded;
  Enqueue(stream,
          {.start =
               [state, target] {
                 state->reached = std::max(state->reached, target);
                 state->ns = runtime::SteadyNs();
               },
           .done = nullptr});
}

void EmulatedRuntime::MakeWait(CUstream_st* stream, const CUevent_st* event) {
  const std::scoped_lock guard(lock_);
  const auto state = event->state;
  if (state->recorded == 0)
    return;  // as in CUDA: a wait for an event that was never recorded has no effect
  const std::int64_t target = state->recorded;
  Enqueue(stream,
          {.start =
               [this, stream, state, target] {
                 waits_[stream] = {state, target};
               },
           .done = [state, target] { return state->reached >= target; }});
}

void EmulatedRuntime::Wait(const CUevent_st* event) {
  const auto state = event->state;
  if (state->recorded == 0) return;
  const std::int64_t target = state->recorded;
  WaitUntil(
      [state, target] { return state->reached >= target; }, state->stream, "cudaEventSynchronize");
}

std::vector<Work> EmulatedRuntime::Capture(CUstream_st* stream,
                                           const std::function<void()>& enqueue) {
  std::vector<Work> captured;
  {
    const std::scoped_lock guard(lock_);
    Require(stream, "cudaStreamBeginCapture");
    stream->capture = &captured;
  }
  try {
    enqueue();
  } catch (...) {
    stream->capture = nullptr;
    throw;
  }
  stream->capture = nullptr;
  return captured;
}

kernels::gpu::isa::RunOptions EmulatedRuntime::RunOptions(int device) {
  const std::scoped_lock guard(lock_);
  kernels::gpu::isa::RunOptions options;
  options.seed = random_();
  options.resident_blocks = 1 + static_cast<int>(random_() % 2);
  options.regions.push_back(
      {"the null page", nullptr, 0, false});  // without regions addresses are not checked
  for (const auto& [memory, block] : blocks_) {
    if (block.device != device && block.device >= 0) continue;
    options.regions.push_back(
        {"device memory", memory, static_cast<std::int64_t>(block.bytes), true});
  }
  return options;
}

void Configure(const Options& options) { EmulatedRuntime::Get().Configure(options); }
Counts Counted() { return EmulatedRuntime::Get().counts; }
std::size_t BytesAlive() { return EmulatedRuntime::Get().BytesAlive(); }
void BreakAttention(float value) {
  EmulatedRuntime::Get().broken = true;
  EmulatedRuntime::Get().broken_value = value;
}

void BreakLogSumExp(float value) { EmulatedRuntime::Get().broken_lse = value; }

void FitOneBlockPerSm() { EmulatedRuntime::Get().one_block_per_sm = true; }

void LoseClockStamps() { EmulatedRuntime::Get().clock_stamps = false; }

}  // namespace dbsp::emulated_gpu
