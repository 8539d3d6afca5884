// SPDX-License-Identifier: Apache-2.0
// The devices that exchanges over NCCL run between: one per rank, with its stream and its memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {

/// One rank's device. It owns its stream and its buffers.
class ExchangeDevice {
 public:
  virtual ~ExchangeDevice() = default;
  /// The stream for a communicator of `ranks` ranks.
  [[nodiscard]] virtual runtime::NcclQueue Queue(int ranks) = 0;
  /// A zeroed buffer that lives as long as the device. `what` names it in errors.
  [[nodiscard]] virtual float* Buffer(std::int64_t floats, const std::string& what) = 0;
  /// Copies to and from a Buffer(); done on return.
  virtual void Write(float* to, std::span<const float> values) = 0;
  virtual void Read(std::span<float> values, const float* from) = 0;
  /// Nanoseconds of `timed` on the device, between an event before and one after it. `first` and
  /// `timed` enqueue work while the stream is held, so that the device runs it without waiting for
  /// the host. `wait` waits for all of it.
  /// requires everything enqueued has been enqueued once before and is done
  /// errors   Error{kMeasurement} when enqueueing waits for the device; Error{kInternal} for a
  ///          device without events
  [[nodiscard]] virtual std::int64_t TimeOnDevice(const std::function<void()>& first,
                                                  const std::function<void()>& timed,
                                                  const std::function<void()>& wait);
};

/// Clock that times exchanges.
enum class ExchangeClock : std::uint8_t {
  kHost,  ///< includes the host's enqueueing, on which exchanges below some 100 us wait
  kDevice,  ///< events of the device, whose stream is held until everything is enqueued
};

class ExchangeLeader;

struct NcclWorld {
  int devices = 1;
  runtime::NcclOptions options = {};
  /// Opens a device and makes it current on the calling thread, which is the rank's.
  std::function<std::unique_ptr<ExchangeDevice>(int device)> open;
  /// Set on rank 0 when every rank is a process; null when all ranks are threads of this process.
  std::shared_ptr<ExchangeLeader> processes = {};
  /// True when a run with these flags has rank processes, also in a dry run, which starts none.
  bool will_be_processes = false;
  ExchangeClock clock = ExchangeClock::kHost;
};

/// The CUDA devices of this machine, timed by their events. When ranks are threads, rank r uses
/// device r.
/// errors  Error{kUnavailable}: no driver, no device
[[nodiscard]] NcclWorld CudaWorld();

}  // namespace dbsp::profiler
