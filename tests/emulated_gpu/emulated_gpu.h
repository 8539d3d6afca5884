// SPDX-License-Identifier: Apache-2.0
// A machine with NVIDIA GPUs for tests on a machine without one. A test that links
// dbsp::emulated_gpu runs the production code of profiler and replay unchanged: the classes behind
// runtime/cuda_*.h and every launch of kernels/gpu are replaced when the test is linked. Device
// memory is host memory that each device may only touch its own of, kernels run their own source on
// the emulator (kernels/gpu/isa), and streams are queues that a scheduler runs at moments as
// unhelpful as CUDA allows: what two streams do is ordered by events and waiting alone.
//
// It shows what is computed and moved, and whether it was waited for. It shows nothing about speed,
// and nothing that docs/design/0006-gpu-emulator.md says the emulator cannot show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dbsp::emulated_gpu {

/// When enqueued work runs.
enum class Schedule : std::uint8_t {
  kRandom,  ///< seeded: any of the device's streams may get on whenever something is enqueued
  kEarly,  ///< at once
  kLate,  ///< only when the host waits for it, and nothing else then
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

/// Starts afresh with these; before the first call every value is the default.
/// requires no stream, event or buffer of an earlier configuration is alive
void Configure(const Options& options);

/// What was run since Configure().
struct Counts {
  std::int64_t attention_launches = 0;
  std::int64_t merges = 0;
  std::int64_t copies = 0;  ///< LaunchCopy
  std::int64_t permutes = 0;
  std::int64_t graph_launches = 0;
};
[[nodiscard]] Counts Counted();

/// Memory that is allocated now, on all devices.
[[nodiscard]] std::size_t BytesAlive();

/// Makes every later attention launch write `value` to one element of its output after it ran: a
/// kernel that computes something wrong. Configure() ends it.
void BreakAttention(float value);

/// Makes every later attention launch, and every merge that ends a ring, add `value` to the first
/// row's log-sum-exp after it ran, and nothing to its output. Configure() ends it.
void BreakLogSumExp(float value);

/// The fake CUPTI (tests/runtime/fake_vendor) at `library` then has a record of every kernel that
/// is launched, each of 1000 ns on its device's own clock, tied to the segment of the launching
/// thread; of an exchange one of a thread of NCCL's own, tied to none. Only in builds with CUPTI.
void UseFakeCupti(const std::string& library);

/// The fake NCCL (tests/runtime/fake_vendor) at `library` then takes its turn on the streams:
/// an exchange starts when what was enqueued before it is done, and later work waits for it.
void UseFakeNccl(const std::string& library);

}  // namespace dbsp::emulated_gpu
