// SPDX-License-Identifier: Apache-2.0
// One attention configuration in device memory: inputs, lists, and whether what a kernel made of
// them is right.
#pragma once

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
  /// Outputs are poisoned: what a kernel does not write is not a number.
  /// errors  Error{kInvalidArgument} for a configuration that is not the variant's,
  /// Error{kInternal}
  ///         for lists above 2^31 - 1 entries; Error{kUnavailable} when the device has too little
  ///         memory
  DeviceAttention(const AttentionConfig& config,
                  const kernels::gpu::Variant& variant,
                  DeviceValues& values,
                  const runtime::CudaStream& stream);

  /// Thread blocks of a launch; 0 = every SM.
  void LimitSms(int sm_count) { call_.sm_count = sm_count; }
  /// Enqueues one call on the stream. errors as Variant::launch
  void Launch() const { variant_->launch(call_); }

  /// What is wrong with the outputs in words, "" when nothing is: rows of up to 64 tiles are
  /// numbers, and zero where a row has no key; three of them are compared with fp64. It is what
  /// keeps the time of a kernel that computes nonsense out of a database, and no proof that it is
  /// right: that is gpu_check's part.
  [[nodiscard]] std::string Problem() const;

 private:
  struct Row {
    std::int64_t tile = 0;  ///< head * q_blocks + query block
    std::int64_t query = 0;  ///< head * tokens + token
    std::vector<float> o;
    double lse = 0;
  };
  [[nodiscard]] Row Read(std::int64_t tile) const;
  [[nodiscard]] std::string RowProblem(const Row& row) const;
  [[nodiscard]] std::int64_t KeysOf(std::int64_t tile) const;
  [[nodiscard]] std::string ReferenceProblem(const std::vector<Row>& rows) const;

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
