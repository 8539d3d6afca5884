// SPDX-License-Identifier: Apache-2.0
// One rank's end of exchanges that are measured between processes: its device, its communicator,
// its buffers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/nccl_trial.h"
#include "profiler/ranks/overlap_rank.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {

/// Calls that exchange (all but Abort) must be made by every rank of the communicator.
/// errors   Error{kMeasurement} as NcclCommunicator's, after which the communicator is gone
/// threads  the one that made it
class ExchangeSession {
 public:
  /// device  of `world`, opened with the first communicator
  ExchangeSession(const NcclWorld& world, runtime::NcclOptions options, int rank, int device);

  /// Joins the communicator `id` of `size` ranks; without one the exchange goes over the one that
  /// is there.
  /// stride  of the groups, as ExchangeRank's
  void Begin(const ExchangeConfig& config,
             int size,
             int stride,
             const std::optional<runtime::NcclId>& id);
  /// One exchange of known values; what is wrong, in words.
  [[nodiscard]] std::optional<std::string> Check();
  /// Nanoseconds of kExchangesPerSample exchanges one behind the other, by this rank's clock, after
  /// a barrier.
  [[nodiscard]] std::int64_t Sample();
  /// Joins the communicator `id` of the overlap's ranks, with streams and limits of its own, and
  /// runs both sides once. What is called until the next Begin() is the three below.
  void BeginOverlap(const OverlapConfig& config, const runtime::NcclId& id);
  [[nodiscard]] std::int64_t Alone() { return overlap_->Alone(*communicator_); }
  [[nodiscard]] std::optional<std::int64_t> Beside(int repeats) {
    return overlap_->Beside(*communicator_, repeats);
  }
  [[nodiscard]] std::optional<std::string> WrongOverlap() const { return overlap_->Wrong(); }
  /// Leaves the communicator in order.
  void Leave();
  /// Leaves it now; nothing when there is none.
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
