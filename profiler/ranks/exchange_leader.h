// SPDX-License-Identifier: Apache-2.0
// Rank 0 of exchanges between processes, one GPU each: it orders every exchange and collects the
// times (docs/design/0014). The other ranks run FollowRankZero().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/measure.h"
#include "profiler/ranks/exchange_session.h"
#include "profiler/ranks/nccl_world.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::profiler {

/// threads  one
class ExchangeLeader {
 public:
  /// interrupted  whether the user interrupted this process
  ExchangeLeader(runtime::ProcessGroup& group,
                 NcclWorld world,
                 int device,
                 std::function<bool()> interrupted);
  ExchangeLeader(const ExchangeLeader&) = delete;
  ExchangeLeader& operator=(const ExchangeLeader&) = delete;

  /// Measures an exchange between `size` ranks, after one exchange of known values. A sample is the
  /// slowest rank's time of kExchangesPerSample exchanges, divided by that number.
  /// errors  Error{kUnavailable} with fewer ranks than `size` or without NCCL; WrongResult;
  ///         Error{kMeasurement} when a rank fails, is gone or hangs, after every rank has aborted.
  ///         After the loss of a rank lost() names it, and every later call fails
  [[nodiscard]] Measurement Measure(const ExchangeConfig& config,
                                    int size,
                                    const MeasureLimits& limits);
  /// Measures attention of config.exchange.ranks ranks while they exchange, or the reverse. A
  /// sample is the slowest rank's time, from events of its device. errors  as Measure() and
  /// OpenOverlapRank()
  [[nodiscard]] Measurement MeasureOverlap(const OverlapConfig& config,
                                           const MeasureLimits& limits);
  /// Runs one exchange of known values. errors as Measure()
  void Check(const ExchangeConfig& config, int size);
  /// Orders the other ranks to end. Later calls do nothing.
  void End() noexcept;

  /// Why the run cannot continue after the loss of a rank; nothing before.
  [[nodiscard]] std::optional<std::string> lost() const { return group_.broken(); }
  /// True when any rank was interrupted.
  [[nodiscard]] bool Interrupted();

 private:
  void Begin(const ExchangeConfig& config, int size);
  [[nodiscard]] std::int64_t Sample(int size);
  void BeginOverlap(const OverlapConfig& config);
  /// The slowest rank's time; nothing when the sample was not covered on some rank.
  [[nodiscard]] std::optional<std::int64_t> SampleOverlap(int size, std::optional<int> repeats);
  [[nodiscard]] Measurement OrInterrupted(const std::function<Measurement()>& measure);
  void LeaveCommunicator();
  void Tell(int size, Json message);
  [[nodiscard]] Json Await(int rank, const char* did);
  void AbortAll(int size, const std::string& why) noexcept;
  [[nodiscard]] std::optional<std::string> MustStop();
  [[nodiscard]] std::optional<std::string> FailureElsewhere();
  template <typename Run>
  void WithAllOrNone(int size, Run run);

  runtime::ProcessGroup& group_;
  NcclWorld world_;
  ExchangeSession session_;
  std::function<bool()> interrupted_;
  bool interrupted_elsewhere_ = false;
  std::optional<std::int64_t> interrupted_since_;
  std::int64_t polled_ns_ = 0;
  int trial_ = 0;
  int joined_ = 0;  ///< ranks of the current communicator; 0 without one
  bool ended_ = false;
};

}  // namespace dbsp::profiler
