// SPDX-License-Identifier: Apache-2.0
// Exchanges between processes, one GPU each: rank 0 says what is exchanged and gathers the times,
// the others follow (docs/design/0014).
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
#include "profiler/ranks/nccl_trial.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::profiler {

/// The device of a rank: that of its place on its host, or the only one it was given to see.
/// errors  Error{kUnavailable} with fewer devices than ranks on this host
[[nodiscard]] int DeviceOfRank(const runtime::ProcessGroup& group, int devices);

/// [ranks] the host of each.
[[nodiscard]] std::vector<int> NodesOfRanks(const runtime::ProcessGroup& group);

/// Rank 0's part.
/// threads  one
class ExchangeLeader {
 public:
  /// interrupted  the user's word on this rank
  ExchangeLeader(runtime::ProcessGroup& group,
                 NcclWorld world,
                 int device,
                 std::function<bool()> interrupted);
  ExchangeLeader(const ExchangeLeader&) = delete;
  ExchangeLeader& operator=(const ExchangeLeader&) = delete;

  /// A sample is the longest of the ranks' own times, over kExchangesPerSample. Before the first
  /// one the exchange is made once with known values.
  /// errors  Error{kUnavailable} with fewer ranks than `size` or without NCCL; WrongResult;
  ///         Error{kMeasurement} when a rank fails, is gone or hangs, after every rank has aborted.
  ///         Lost ranks stay lost: lost() says so, and every later call fails
  [[nodiscard]] Measurement Measure(const ExchangeConfig& config,
                                    int size,
                                    const MeasureLimits& limits);
  /// Attention of config.exchange.ranks ranks while they exchange, or the reverse; the slowest
  /// rank's time by its device's events. errors as Measure()'s, and OpenOverlapRank()'s
  [[nodiscard]] Measurement MeasureOverlap(const OverlapConfig& config,
                                           const MeasureLimits& limits);
  /// One exchange of known values. errors as Measure()'s
  void Check(const ExchangeConfig& config, int size);
  /// Lets the others go; later calls do nothing.
  void End() noexcept;

  /// Why the run cannot go on, once a rank is gone.
  [[nodiscard]] std::optional<std::string> lost() const { return group_.broken(); }
  /// The user's word on any rank.
  [[nodiscard]] bool Interrupted();

 private:
  void Begin(const ExchangeConfig& config, int size);
  [[nodiscard]] std::int64_t Sample(int size);
  void BeginOverlap(const OverlapConfig& config);
  /// The slowest rank's time; nothing where the other side did not run all the time on some rank.
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
  std::int64_t looked_ns_ = 0;
  int trial_ = 0;
  int joined_ = 0;  ///< ranks of the communicator that is there
  bool ended_ = false;
};

/// Every other rank's part, until rank 0 lets it go.
/// errors  Error{kMeasurement} when rank 0 is gone; whatever of its own a rank cannot go on after
void FollowRankZero(runtime::ProcessGroup& group,
                    const NcclWorld& world,
                    int device,
                    const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
