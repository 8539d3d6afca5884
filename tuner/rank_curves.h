// SPDX-License-Identifier: Apache-2.0
// Measured time of one kind of exchange over its size, one curve per number of ranks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tuner/curve.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Number of hosts that these ranks are on when every `ranks_per_node` successive ranks, from rank
/// 0 on, share a host. The members matter: a ring of U x R ranks consists of every U-th rank, so a
/// ring of 2 ranks may need two hosts while 8 successive ranks need one.
/// requires ranks_per_node >= 1, no rank negative
[[nodiscard]] int HostsOf(std::span<const int> ranks, int ranks_per_node);

/// Rank counts, added by concurrent readers of costs. threads  safe concurrently
class RankSet {
 public:
  /// Counts above 1024 are not kept.
  void Add(int ranks) const;
  [[nodiscard]] std::vector<int> Sorted() const;

 private:
  static constexpr int kBits = 64;
  mutable std::array<std::atomic<std::uint64_t>, 1024 / kBits + 1> words_{};
};

/// The command that adds measurements of rank counts.
struct ProfileCommand {
  std::string text;  ///< the whole command, with --ranks
  std::optional<std::string> without_ranks;  ///< missing if only `text` is known
  int ranks = 0;

  /// A command after which none of `counts` is unmeasured. Groups of `ranks` are measured by the
  /// command itself, other counts by the same command with their number.
  /// measured  the counts that the command itself measures
  /// suffix    appended to each command: " --suite overlap"
  [[nodiscard]] std::string For(const std::vector<int>& counts,
                                const std::set<int>& measured,
                                const std::string& suffix) const;
};

/// Curves of one operation by number of hosts and ranks. Hosts are kept apart because links inside
/// a host and between hosts differ in latency and bandwidth.
struct RankCurves {
  std::map<int, std::map<int, Curve>> by_hosts;  ///< [hosts][ranks]
  std::map<int, int> fewest;  ///< [ranks] fewest hosts of its curves
  std::string op;
  /// As FitRequest::ranks_per_node. With 0 every rank count has one curve, on its fewest hosts.
  int ranks_per_node = 0;
  RankSet between;  ///< rank counts that were priced and not measured
  mutable std::atomic<bool> outside{false};  ///< a size outside the measured range was priced

  /// Number of hosts that these ranks are on: by ranks_per_node, else that of the next larger
  /// measured rank count.
  [[nodiscard]] int Hosts(std::span<const int> ranks) const;
};

/// Fills `curves` from the trials of `op`. With ranks_per_node 0, every rank count gets the curve
/// on the fewest hosts that it was measured on. Otherwise it gets a curve for every measured number
/// of hosts that is possible with ranks_per_node. A remark names every curve that is left out and
/// the flag that includes it.
void FillRankCurves(const TrialSelection& selection,
                    const std::string& op,
                    int ranks_per_node,
                    RankCurves& curves,
                    std::vector<std::string>& remarks);

/// Measured rank counts, such as "2, 4, 8, 16 on 2 hosts", or "none".
[[nodiscard]] std::string Measured(const RankCurves& curves);
/// Summary such as "alltoall: 8 ranks 9 sizes up to 33.6 MB at 1.20 GB/s".
[[nodiscard]] std::string Describe(const RankCurves& curves);

/// Adds the trial as a point of `size`. Ignores sizes below 1.
void AddPoint(std::vector<CurvePoint>& points, std::int64_t size, const UsableTrial& trial);

}  // namespace dbsp::tuner
