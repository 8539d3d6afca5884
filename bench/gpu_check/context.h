// SPDX-License-Identifier: Apache-2.0
// The state that a part of gpu_check works with, and the parts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/gpu_check/options.h"
#include "bench/gpu_check/results.h"
#include "kernels/gpu/attention.h"
#include "profiler/gpu/device_timer.h"
#include "runtime/cuda/cuda_device.h"

namespace dbsp::gpu_check {

struct Context {
  Options options;
  runtime::CudaDeviceFacts device;
  profiler::DeviceTimer timer;
  Results results;
  std::int64_t deadline_ns = 0;  ///< end of the part's budget, on SteadyNs()
  bool cut_off = false;  ///< the budget ended before the part's required work was done
  int speeds_expected = 0;  ///< measurements with an expected speed
  int speeds_reached = 0;  ///< those of them that reached it

  /// Whether --filter chooses the name of a kernel or of a check.
  [[nodiscard]] bool FilterMatches(const std::string& name) const;
  void CountSpeed(bool reached) {
    ++speeds_expected;
    speeds_reached += reached ? 1 : 0;
  }
  [[nodiscard]] const runtime::CudaStream& stream() const { return timer.stream(); }
  [[nodiscard]] std::int64_t RemainingNs() const;
};

/// Whether the kernel has code for this device.
[[nodiscard]] bool RunsOnDevice(const kernels::gpu::Variant& variant, const Context& context);
/// The attention kernels that run on this device and match --filter, in the order of Variants().
[[nodiscard]] std::vector<const kernels::gpu::Variant*> UsableVariants(const Context& context);

/// The parts. Each part writes a result line as soon as a measurement is done, prints a table at
/// its end and returns whether every checked result was right.
bool CheckAttention(Context& context);  ///< "correct"
bool CheckAttentionSmall(Context& context);  ///< "small": few small cases, for compute-sanitizer
bool MeasureSpeed(Context& context);  ///< "speed"
bool MeasureCurve(Context& context);  ///< "curve"
bool MeasureRepeats(Context& context);  ///< "repeat"
bool ServePeers(Context& context);  ///< "serve": requests of bench/peers.py on standard input

/// Pieces of the parts "correct" and "small"; `part` is the name in their result lines.
/// Each returns whether every result was right.
/// Whether the thread blocks that each kernel starts on an SM fit there together (occupancy).
bool CheckResidency(const char* part, Context& context);
bool CheckMemory(const char* part, int cases, Context& context);  ///< merges, copies, layouts
bool CheckListBuilders(const char* part, int cases, Context& context);  ///< key lists, key bits
/// SLA with block-sparse attention as its exact part. small = kSmallSlaCases cases, else kSlaCases.
bool CheckSlaKernels(const char* part, bool small, Context& context);
/// A piece of "speed": merges, packing, unpacking and token layouts, timed beside a device copy.
bool MeasureMemory(Context& context);

}  // namespace dbsp::gpu_check
