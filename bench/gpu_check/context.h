// SPDX-License-Identifier: Apache-2.0
// What every part of gpu_check works with.
#pragma once

#include <cstdint>
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
  std::int64_t deadline_ns = 0;  ///< of the part that runs, on SteadyNs()
  bool cut_off = false;  ///< something that the part promises was not reached in its time
  int speeds_expected = 0;
  int speeds_reached = 0;

  /// Whether --filter lets checks run that belong to no kernel of the table: "memory", "lists",
  /// "sla".
  [[nodiscard]] bool Named(const std::string& name) const {
    return name.find(options.filter) != std::string::npos;
  }
  void CountSpeed(bool reached) {
    ++speeds_expected;
    speeds_reached += reached ? 1 : 0;
  }
  [[nodiscard]] const runtime::CudaStream& stream() const { return timer.stream(); }
  [[nodiscard]] std::int64_t RemainingNs() const;
};

/// Whether the kernel is compiled for this device.
[[nodiscard]] bool RunsHere(const kernels::gpu::Variant& variant, const Context& context);
/// Kernels that this device runs and --filter names, in the table's order.
[[nodiscard]] std::vector<const kernels::gpu::Variant*> UsableVariants(const Context& context);

/// The parts. Each writes its lines as it goes, prints a table at its end and returns whether all
/// that it checked was right.
bool CheckAttention(Context& context);  ///< "correct"
bool CheckAttentionSmall(Context& context);  ///< "small": little work, for compute-sanitizer
/// Merge, copies and token layouts, and the builders of key lists, `cases` each; lines say `part`.
bool CheckMemory(const char* part, int cases, Context& context);
bool CheckListBuilders(const char* part, int cases, Context& context);
/// SLA, the exact part by block-sparse attention; every kernel, in "correct" with every phi.
bool CheckSlaKernels(const char* part, bool small, Context& context);
/// Merge, pack, unpack and token layouts beside a device copy.
bool MeasureMemory(Context& context);
bool MeasureSpeed(Context& context);  ///< "speed"
bool MeasureCurve(Context& context);  ///< "curve"
bool MeasureRepeats(Context& context);  ///< "repeat"
bool ServePeers(Context& context);  ///< "serve": bench/peers.py on standard input and output

}  // namespace dbsp::gpu_check
