// SPDX-License-Identifier: Apache-2.0
// A group of timed launches on the device.
#pragma once

#include <string>
#include <vector>

#include "bench/gpu_check/context.h"
#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/speed_groups.h"

namespace dbsp::gpu_check {

/// One kernel over one mask, ready to be timed.
struct Runner {
  const SpeedItem* item = nullptr;
  const kernels::gpu::Variant* variant = nullptr;
  Lists lists;
  std::int64_t pairs = 0;
  kernels::gpu::DeviceLists on_device;
  double spot_error = 0.0;  ///< of sampled rows against fp64, checked before timing
  [[nodiscard]] std::string label() const;
};

/// The tensors of a group and all its runners, each run and spot-checked once.
class PreparedGroup {
 public:
  /// errors  Error{kUnavailable} when the device has too little memory
  PreparedGroup(const SpeedGroup& group, Context& context);
  [[nodiscard]] const SpeedGroup& group() const { return *group_; }
  [[nodiscard]] const std::vector<Runner>& runners() const { return runners_; }
  /// One cold sample.
  [[nodiscard]] profiler::DeviceReading Sample(const Runner& runner, Context& context) const;

 private:
  void SpotCheck(Runner& runner, Context& context) const;
  const SpeedGroup* group_;
  Tensors tensors_;
  std::vector<Runner> runners_;
};

/// 4 D pairs / time: two products of two operations for each (query, key) pair and channel.
[[nodiscard]] double Tflops(std::int64_t pairs, int head_dim, double ns);

}  // namespace dbsp::gpu_check
