// SPDX-License-Identifier: Apache-2.0
// One attention configuration in device memory: inputs, block lists, and a check of the kernel's
// outputs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "kernels/gpu/attention.h"
#include "kernels/gpu/device_lists.h"
#include "profiler/gpu/device_values.h"
#include "profiler/suites/pattern.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

class DeviceAttention {
 public:
  /// Fills the outputs with NaN, so that Problem() finds values that the kernel does not write.
  /// errors  Error{kInvalidArgument} for a configuration that the variant does not take;
  ///         Error{kInternal} for lists above 2^31 - 1 entries; Error{kUnavailable} when the device
  ///         has too little memory
  DeviceAttention(const AttentionConfig& config,
                  const kernels::gpu::Variant& variant,
                  DeviceValues& values,
                  const runtime::CudaStream& stream);

  /// Limits launches to the thread blocks of `sm_count` SMs; 0 = all SMs.
  void LimitSms(int sm_count) { call_.sm_count = sm_count; }
  /// Enqueues one call on the stream. errors as Variant::launch
  void Launch() const { variant_->launch(call_); }

  /// Checks the outputs and returns what is wrong. One row of up to 64 tiles must be finite, and
  /// zero for a row without keys; three rows are compared with fp64. This keeps times of broken
  /// kernels out of the database; gpu_check is the complete test of a kernel.
  [[nodiscard]] std::optional<std::string> Problem() const;

 private:
  struct Row {
    std::int64_t tile = 0;  ///< head * q_blocks + query block
    std::int64_t query = 0;  ///< head * tokens + token
    std::vector<float> o;
    double lse = 0;
  };
  [[nodiscard]] Row Read(std::int64_t tile) const;
  [[nodiscard]] std::optional<std::string> RowProblem(const Row& row) const;
  [[nodiscard]] std::int64_t KeysOf(std::int64_t tile) const;
  [[nodiscard]] std::optional<std::string> ReferenceProblem(const std::vector<Row>& rows) const;

  AttentionConfig config_;
  const kernels::gpu::Variant* variant_;
  DeviceValues* values_;
  const runtime::CudaStream* stream_;
  BlockLists lists_;
  runtime::CudaBuffer q_, k_, v_, o_, lse_;
  kernels::gpu::DeviceLists on_device_;
  kernels::gpu::AttentionCall call_;
};

}  // namespace dbsp::profiler
