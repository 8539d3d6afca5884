// SPDX-License-Identifier: Apache-2.0
// Emulated NVIDIA GPUs, for tests on a machine without a GPU. A test that links dbsp::emulated_gpu
// runs the unchanged production code of profiler and replay: the linker replaces the classes of
// runtime/cuda/*.h and every launch of kernels/gpu. Device memory is host memory; a kernel may
// access only the memory of its own device. Kernels run their source on the emulator
// (tests/gpu_emulator). Streams are queues, and a scheduler runs them in any order that CUDA
// allows: only events and waits order two streams.
//
// Tests with it check results, transfers and synchronisation. They show nothing about speed, and
// nothing that docs/design/0006-gpu-emulator.md lists as undetectable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dbsp::emulated_gpu {

/// When enqueued work runs.
enum class Schedule : std::uint8_t {
  kRandom,  ///< at every enqueue, random streams of the device run some of their work (seeded)
  kEarly,  ///< immediately
  kLate,  ///< only when the host waits for it, and nothing else
};

struct Options {
  int devices = 8;
  int arch = 90;
  int sm_count = 2;
  std::size_t memory_bytes = std::size_t{1} << 30U;  ///< of each device
  std::size_t l2_bytes = std::size_t{1} << 16U;
  Schedule schedule = Schedule::kRandom;
  std::uint64_t seed = 1;
};

/// Resets the emulated GPUs with these options. Before the first call all options have their
/// defaults. requires no stream or buffer of an earlier configuration is alive
void Configure(const Options& options);

/// Number of launches since Configure().
struct Counts {
  std::int64_t attention_launches = 0;
  std::int64_t merges = 0;
  std::int64_t copies = 0;  ///< LaunchCopy
  std::int64_t permutes = 0;
  std::int64_t graph_launches = 0;
};
[[nodiscard]] Counts Counted();

/// Bytes allocated now on all devices.
[[nodiscard]] std::size_t BytesAlive();

/// Makes every later attention launch write `value` to one element of its output after it ran, to
/// simulate a wrong kernel. Configure() ends it.
void BreakAttention(float value);

/// Makes every later attention launch, and every merge that ends a ring, add `value` to the
/// log-sum-exp of the first row after it ran. Outputs do not change. Configure() ends it.
void BreakLogSumExp(float value);

/// Makes one thread block of every kernel fit on an SM, as too little shared memory does.
/// Configure() ends it.
void FitOneBlockPerSm();

/// Makes clock stamps write nothing, as where no thread block reaches multiprocessor 0. Configure()
/// ends it.
void LoseClockStamps();

/// Adds a record of every launched kernel to the fake CUPTI (tests/runtime/fake_vendor) at
/// `library`. A record lasts 1000 ns on the clock of its device and has the segment of the
/// launching thread. Exchanges get a record without a segment, because NCCL launches from its own
/// threads. Only in builds with CUPTI.
void UseFakeCupti(const std::string& library);

/// Makes the fake NCCL (tests/runtime/fake_vendor) at `library` run in stream order: an exchange
/// starts when the work enqueued before it is done, and later work waits for it.
void UseFakeNccl(const std::string& library);

}  // namespace dbsp::emulated_gpu
