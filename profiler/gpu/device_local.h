// SPDX-License-Identifier: Apache-2.0
// Packs and merges in device memory.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/records.h"
#include "profiler/gpu/device_values.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

/// One pack or merge with several sets of buffers, which launches use in turn.
class DeviceLocal {
 public:
  virtual ~DeviceLocal() = default;
  [[nodiscard]] virtual int sets() const = 0;
  /// Enqueues the work on one set. errors as CheckCuda
  virtual void Launch(int set) const = 0;
  /// Checks the results of all sets and returns what is wrong.
  /// requires every set was launched
  [[nodiscard]] virtual std::optional<std::string> Problem() const = 0;
};

/// A pack copies the blocks of a head from [token][kPackHeads][head_dim] to contiguous memory, as
/// exchanges need them. A merge adds a bf16 part to the fp32 sum of a ring's earlier steps, in
/// place. sets    number of sets of buffers; few small sets stay in the L2 cache errors
/// Error{kInvalidArgument} for an unknown operation or a head_dim that the kernels lack;
///         Error{kUnavailable} when the device has too little memory
[[nodiscard]] std::unique_ptr<DeviceLocal> MakeDeviceLocal(const LocalConfig& config,
                                                           int sets,
                                                           DeviceValues& values,
                                                           const runtime::CudaStream& stream);

}  // namespace dbsp::profiler
