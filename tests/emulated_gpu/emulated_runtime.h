// SPDX-License-Identifier: Apache-2.0
// Streams, events and memory of the emulated GPUs, for the replaced classes of runtime/cuda.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/gpu_emulator/emulator.h"

struct CUstream_st;
struct CUevent_st;

namespace dbsp::emulated_gpu {

/// One piece of enqueued work.
struct Work {
  std::function<void()> start;  ///< runs once, when the work is at the front of its stream
  std::function<bool()>
      done;  ///< tested after start until true; null when the work ends with start
};

}  // namespace dbsp::emulated_gpu

struct CUstream_st {
  int device = 0;
  std::deque<dbsp::emulated_gpu::Work> queue;
  bool started = false;  ///< the front of the queue has started
  std::vector<dbsp::emulated_gpu::Work>* capture =
      nullptr;  ///< work of the graph that is being recorded; else null
};

/// Enqueued work shares the state, because an event may be destroyed before its work runs.
struct CUevent_st {
  struct State {
    CUstream_st* stream = nullptr;  ///< of the last Record
    std::int64_t recorded = 0;  ///< number of Record calls
    std::int64_t reached = 0;  ///< number of Record calls whose work has run
    std::int64_t ns = 0;  ///< time at which the last one ran
  };
  std::shared_ptr<State> state = std::make_shared<State>();
};

namespace dbsp::emulated_gpu {

/// threads  safe. Work runs under one lock, one item at a time; waits do not hold the lock
class EmulatedRuntime {
 public:
  static EmulatedRuntime& Get();

  void Configure(const Options& options);
  [[nodiscard]] const Options& options() const { return options_; }

  // devices, current per thread
  [[nodiscard]] static int CurrentDevice();
  void SetDevice(int index);

  // memory
  /// Returns null when the device has too little memory.
  void* Allocate(std::size_t bytes);
  void* AllocateHost(std::size_t bytes);
  /// Waits for the device before it frees the memory, as cudaFree does.
  void Free(void* memory) noexcept;
  [[nodiscard]] std::size_t FreeBytes(int device);
  [[nodiscard]] std::size_t BytesAlive();

  // streams and events
  CUstream_st* MakeStream();
  void DestroyStream(CUstream_st* stream) noexcept;
  /// errors  Error{kInternal} when `stream` is not an existing stream
  void Enqueue(void* stream, Work work);
  /// Ends the process when the stream does not move until the deadline
  /// (runtime/cuda/device_wait.h).
  void Wait(CUstream_st* stream, const char* what = "cudaStreamSynchronize");
  bool Idle(CUstream_st* stream);
  void WaitForDevice(int device);
  void Record(CUevent_st* event, CUstream_st* stream);
  void MakeWait(CUstream_st* stream, const CUevent_st* event);
  void Wait(const CUevent_st* event);
  std::vector<Work> Capture(CUstream_st* stream, const std::function<void()>& enqueue);

  // kernels
  /// Options of a kernel on `device`: the memory that it may access, and a new seed.
  [[nodiscard]] kernels::gpu::isa::RunOptions RunOptions(int device);
  Counts counts;
  bool broken = false;
  float broken_value = 0.0F;
  /// Called for every kernel launch on the launching thread; null without an observer.
  std::function<void(const char* name, const CUstream_st* stream, bool tied)> launched;
  void Launched(const char* name, void* stream, bool tied) {
    if (launched) launched(name, static_cast<CUstream_st*>(stream), tied);
  }
  bool one_block_per_sm = false;
  bool clock_stamps = true;
  float broken_lse = 0.0F;  ///< added to the first row's log-sum-exp

 private:
  struct Block {
    std::size_t bytes = 0;
    int device = 0;  ///< -1: page-locked host memory, which every device reaches
  };
  enum class Step : std::uint8_t { kNothing, kDone, kBlocked };

  Step Advance(CUstream_st* stream);
  /// The last stream in the chain of streams for whose events `stream` waits.
  CUstream_st* Behind(CUstream_st* stream);
  void RunSome(CUstream_st* enqueued_on);
  void WaitUntil(const std::function<bool()>& reached, CUstream_st* stream, const char* what);
  void Require(CUstream_st* stream, const char* what);

  std::recursive_mutex lock_;
  Options options_;
  std::mt19937_64 random_{1};
  std::map<void*, Block> blocks_;
  std::vector<std::unique_ptr<CUstream_st>> streams_;
  std::map<const CUstream_st*, std::pair<std::shared_ptr<CUevent_st::State>, std::int64_t>>
      waits_;  ///< events for which the fronts of streams wait
};

}  // namespace dbsp::emulated_gpu
