// SPDX-License-Identifier: Apache-2.0
// Exchanges between the GPUs of this process over NCCL, measured as nccl-tests measures them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/records.h"
#include "profiler/measure.h"
#include "runtime/nccl_communicator.h"

namespace dbsp::profiler {

/// One rank's device: its stream and its memory, which it owns.
class ExchangeDevice {
 public:
  virtual ~ExchangeDevice() = default;
  /// For a communicator of `ranks`.
  [[nodiscard]] virtual runtime::NcclQueue Queue(int ranks) = 0;
  /// Zeroed, until the device goes.
  [[nodiscard]] virtual float* Buffer(std::int64_t floats, const std::string& what) = 0;
};

/// What the ranks of an exchange are.
struct NcclWorld {
  int devices = 1;
  runtime::NcclOptions options = {};
  /// Called on the rank's thread; makes the device current there.
  std::function<std::unique_ptr<ExchangeDevice>(int rank)> open;
};

/// The CUDA devices of this machine, rank r on device r.
/// errors  Error{kUnavailable}: no driver, no device
[[nodiscard]] NcclWorld CudaWorld();

/// Exchanges in one sample, as nccl-tests' -n.
inline constexpr int kExchangesPerSample = 20;

/// "nccl.wall20": the host's time from the first rank's start to the last one's end of so many
/// exchanges one behind the other, over their number; with a limit of SMs "nccl.wall20.ctas8".
[[nodiscard]] std::string NcclMethod(const runtime::NcclOptions& options);

/// errors  Error{kUnavailable} with fewer devices than `size`, or without NCCL; Error{kMeasurement}
///         when a rank fails or the deadline passes, after every rank has aborted
[[nodiscard]] Measurement MeasureNccl(const ExchangeConfig& config,
                                      int size,
                                      const NcclWorld& world,
                                      const MeasureLimits& limits,
                                      const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
