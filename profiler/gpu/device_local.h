// SPDX-License-Identifier: Apache-2.0
// Packs and merges of a configuration in device memory.
#pragma once

#include <memory>
#include <string>

#include "core/records.h"
#include "profiler/gpu/device_values.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

/// Sets of buffers that take turns.
class DeviceLocal {
 public:
  virtual ~DeviceLocal() = default;
  [[nodiscard]] virtual int sets() const = 0;
  /// Enqueues the work on one set. errors Error{kUnavailable} in the runtime's words
  virtual void Launch(int set) const = 0;
  /// What is wrong with the results in words, after every set was launched; "" when nothing is.
  [[nodiscard]] virtual std::string Problem() const = 0;
};

/// A pack gathers blocks of a head out of [token][kPackHeads][head_dim], one block after another,
/// as exchanges want them. A merge adds a bf16 part into the fp32 sum of a ring's earlier steps, in
/// place.
/// sets    of buffers; with few that fit the second-level cache the data come from there
/// errors  Error{kInvalidArgument} for an unknown operation or a head_dim that the kernels lack;
///         Error{kUnavailable} when the device has too little memory
[[nodiscard]] std::unique_ptr<DeviceLocal> MakeDeviceLocal(const LocalConfig& config,
                                                           int sets,
                                                           DeviceValues& values,
                                                           const runtime::CudaStream& stream);

}  // namespace dbsp::profiler
