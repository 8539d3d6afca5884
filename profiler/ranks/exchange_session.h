// SPDX-License-Identifier: Apache-2.0
// One rank process's device, communicator and buffers while exchanges are measured.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/nccl_world.h"
#include "profiler/ranks/overlap_rank.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {

/// Exchanges in one sample, as nccl-tests' -n.
inline constexpr int kExchangesPerSample = 20;

/// Nanoseconds on this rank's device of kExchangesPerSample exchanges in a row, behind a barrier of
/// all devices.
/// requires the same exchange and a barrier have run before: NCCL connects ranks at their first
///          exchange with work on the device, which must not be held then
/// errors   as ExchangeDevice::TimeOnDevice and NcclCommunicator
[[nodiscard]] std::int64_t SampleOnDevice(ExchangeDevice& device,
                                          runtime::NcclCommunicator& communicator,
                                          const ExchangeRank& exchange,
                                          const float* send,
                                          float* recv);

/// Every rank of the communicator must make the same calls, except Abort().
/// errors   Error{kMeasurement} as NcclCommunicator, after which the communicator is aborted
/// threads  the thread that made the object
class ExchangeSession {
 public:
  /// device  a device of `world`; it is opened with the first communicator
  ExchangeSession(const NcclWorld& world, runtime::NcclOptions options, int rank, int device);

  /// Prepares an exchange. With `id` it joins that communicator of `size` ranks; without, it uses
  /// the current communicator.
  /// stride  as for ExchangeRank
  void Begin(const ExchangeConfig& config,
             int size,
             int stride,
             const std::optional<runtime::NcclId>& id);
  /// Runs one exchange of known values. Returns a message when a received value is wrong.
  [[nodiscard]] std::optional<std::string> Check();
  /// Nanoseconds of kExchangesPerSample exchanges in a row after a barrier, by the world's clock.
  [[nodiscard]] std::int64_t Sample();
  /// Joins the communicator `id` of the overlap's ranks, with its own streams and limits, and runs
  /// both sides once. Until the next Begin() only Alone(), Beside(), WrongOverlap(), Leave() and
  /// Abort() may be called.
  void BeginOverlap(const OverlapConfig& config, const runtime::NcclId& id);
  [[nodiscard]] std::int64_t Alone() { return overlap_->Alone(*communicator_); }
  [[nodiscard]] std::optional<std::int64_t> Beside(int repeats) {
    return overlap_->Beside(*communicator_, repeats);
  }
  [[nodiscard]] std::optional<std::string> WrongOverlap() const { return overlap_->Wrong(); }
  /// Leaves the communicator together with the other ranks.
  void Leave();
  /// Aborts the communicator, if there is one.
  void Abort(const std::string& reason) noexcept;

 private:
  struct Buffer {
    float* memory = nullptr;
    std::int64_t floats = 0;
  };
  void Grow(Buffer& buffer, std::int64_t floats, const char* what);

  const NcclWorld& world_;
  runtime::NcclOptions options_;
  int rank_;
  int device_index_;
  std::unique_ptr<ExchangeDevice> device_;
  std::unique_ptr<OverlapRank> overlap_;
  std::unique_ptr<runtime::NcclCommunicator> communicator_;
  std::optional<ExchangeRank> mine_;
  Buffer send_, recv_;
};

}  // namespace dbsp::profiler
