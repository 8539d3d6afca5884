// SPDX-License-Identifier: Apache-2.0
// Exchanges over NCCL between the GPUs of this process, or of one process each, measured as
// nccl-tests measures them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/records.h"
#include "profiler/measure.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {

/// One rank's device: its stream and its memory, which it owns.
class ExchangeDevice {
 public:
  virtual ~ExchangeDevice() = default;
  /// For a communicator of `ranks`.
  [[nodiscard]] virtual runtime::NcclQueue Queue(int ranks) = 0;
  /// Zeroed, until the device goes.
  [[nodiscard]] virtual float* Buffer(std::int64_t floats, const std::string& what) = 0;
  /// To and from a Buffer(); done on return.
  virtual void Write(float* to, std::span<const float> values) = 0;
  virtual void Read(std::span<float> values, const float* from) = 0;
};

class ExchangeLeader;

/// What the ranks of an exchange are.
struct NcclWorld {
  int devices = 1;
  runtime::NcclOptions options = {};
  /// Called on the rank's thread; makes the device current there.
  std::function<std::unique_ptr<ExchangeDevice>(int device)> open;
  /// Ranks that are processes, this one rank 0; null when they are threads of this one.
  std::shared_ptr<ExchangeLeader> processes = {};
  /// They will be processes, which a dry run does not start.
  bool will_be_processes = false;
};

/// The CUDA devices of this machine; of ranks that are threads, rank r has device r.
/// errors  Error{kUnavailable}: no driver, no device
[[nodiscard]] NcclWorld CudaWorld();

/// Exchanges in one sample, as nccl-tests' -n.
inline constexpr int kExchangesPerSample = 20;

/// "nccl.wall20": the host's time from the first rank's start to the last one's end of so many
/// exchanges one behind the other, over their number; with a limit of SMs "nccl.wall20.ctas8".
/// "nccl.slowest20", of ranks that are processes: the longest of the ranks' own times, each from a
/// barrier on, because clocks of several hosts cannot be compared.
[[nodiscard]] std::string NcclMethod(const NcclWorld& world);

/// errors  Error{kUnavailable} with fewer devices than `size`, or without NCCL; Error{kMeasurement}
///         when a rank fails or the deadline passes, after every rank has aborted
[[nodiscard]] Measurement MeasureNccl(const ExchangeConfig& config,
                                      int size,
                                      const NcclWorld& world,
                                      const MeasureLimits& limits,
                                      const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
