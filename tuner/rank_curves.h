// SPDX-License-Identifier: Apache-2.0
// Measured times of one kind of exchange over size, a curve for every number of ranks.
#pragma once

#include <atomic>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tuner/curve.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Hosts that these ranks are on when every `ranks_per_node` successive ranks share one, from rank
/// 0 on. Rings of U x R ranks take every U-th rank: a ring of 2 may lie on two hosts where 8
/// successive ranks lie on one. requires ranks_per_node >= 1, no rank negative
[[nodiscard]] int HostsOf(std::span<const int> ranks, int ranks_per_node);

/// Curves of one operation by hosts and ranks: a link inside a host and one between hosts have
/// nothing in common.
struct RankCurves {
  std::map<int, std::map<int, Curve>> by_hosts;  ///< [hosts][ranks]
  std::map<int, int> fewest;  ///< hosts of each rank count
  std::string op;
  int ranks_per_node = 0;  ///< as FitRequest's; with 0 each rank count has the fewest hosts' alone
  mutable std::atomic<bool> between{false};  ///< a rank count between two measured ones was asked
  mutable std::atomic<bool> outside{false};  ///< a size outside the measured ones was asked

  /// Hosts of successive ranks from rank 0 on: by ranks_per_node, else those of the next measured
  /// rank count.
  [[nodiscard]] int Hosts(int ranks) const;
  /// Hosts of a group.
  [[nodiscard]] int Hosts(std::span<const int> ranks) const;
};

/// From the trials of `op`. Without ranks_per_node each rank count is taken on the fewest hosts it
/// was measured on; with it on every number of hosts that so many ranks can be on. What is left out
/// is a remark that says how to have it. ranks_per_node  as FitRequest's
void FillRankCurves(const TrialSelection& selection,
                    const std::string& op,
                    int ranks_per_node,
                    RankCurves& curves,
                    std::vector<std::string>& remarks);

/// "2, 4, 8, 16 on 2 hosts", "none"
[[nodiscard]] std::string Measured(const RankCurves& curves);
/// "alltoall: 8 ranks 9 sizes up to 33.6 MB at 1.20 GB/s"
[[nodiscard]] std::string Describe(const RankCurves& curves);

/// Adds a trial of `size`, which is a point where it is above 0.
void AddPoint(std::vector<CurvePoint>& points, std::int64_t size, const UsableTrial& trial);

}  // namespace dbsp::tuner
