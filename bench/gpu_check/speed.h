// SPDX-License-Identifier: Apache-2.0
// Measures the kernels of a group on the device.
#pragma once

#include <string>
#include <vector>

#include "bench/gpu_check/context.h"
#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/speed_groups.h"

namespace dbsp::gpu_check {

/// One kernel with one mask, ready for timing.
struct Runner {
  const SpeedItem* item = nullptr;
  const kernels::gpu::Variant* variant = nullptr;
  Lists lists;
  std::int64_t pairs = 0;  ///< (query, key) pairs of the lists
  kernels::gpu::DeviceLists on_device;
  double spot_error = 0.0;  ///< relative error of sampled rows against fp64, from before timing
  [[nodiscard]] std::string label() const;
};

/// The tensors and the runners of a group. The constructor launches every runner once and compares
/// sampled rows with fp64.
class PreparedGroup {
 public:
  /// errors  Error{kUnavailable} when the device has too little memory
  PreparedGroup(const SpeedGroup& group, Context& context);
  [[nodiscard]] const SpeedGroup& group() const { return *group_; }
  [[nodiscard]] const std::vector<Runner>& runners() const { return runners_; }
  /// One timed launch with a cold second-level cache.
  [[nodiscard]] profiler::DeviceReading Sample(const Runner& runner, Context& context) const;

 private:
  /// Launches the runner, which also loads its code, and sets spot_error.
  void SpotCheck(Runner& runner, Context& context) const;
  const SpeedGroup* group_;
  Tensors tensors_;
  std::vector<Runner> runners_;
};

/// Speed in TFLOP/s of 4 operations per (query, key) pair and channel in `ns` nanoseconds.
[[nodiscard]] double Tflops(std::int64_t pairs, int head_dim, double ns);

}  // namespace dbsp::gpu_check
