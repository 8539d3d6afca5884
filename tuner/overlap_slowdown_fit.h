// SPDX-License-Identifier: Apache-2.0
// Slowdown of attention and exchanges that overlap, from the overlap trials of a database.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "planner/timeline/costs.h"
#include "tuner/rank_curves.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Slowdown of attention and one kind of traffic, by number of ranks.
class OverlapSlowdownFit {
 public:
  /// Uses the trials whose exchange is `traffic` and whose SM margin is 0. The slowdown of a trial
  /// is the median of its overlapped samples over the median of its samples alone. The slowdown of
  /// a rank count is the median over its trials, at least 1. Its interval goes from the 10th to the
  /// 90th percentile of the trials and is widened by the spread within trials. A rank count needs
  /// at least one trial that times attention and one that times the exchange.
  OverlapSlowdownFit(const TrialSelection& selection, planner::Traffic traffic);

  /// Slowdown between `ranks` ranks. A rank count that was not measured takes the value of the
  /// nearest measured one, with an interval that begins at 1 and reaches 1.5 times as far above 1.
  /// Without any measurement the slowdown is 1 and the interval reaches 2, where overlapping takes
  /// as long as running one after the other.
  [[nodiscard]] planner::OverlapSlowdownEstimate At(int ranks) const;

  /// Adds sentences on what was measured and, after pricing, on what was priced without being
  /// measured.
  void AddRemarks(const ProfileCommand& profile_command, std::vector<std::string>& remarks) const;

 private:
  struct Measured {
    planner::OverlapSlowdownEstimate slowdown;
    std::size_t trials = 0;
  };
  std::string op_;
  std::map<int, Measured> by_ranks_;
  RankSet unmeasured_;  ///< priced without any measurement
  RankSet other_ranks_;  ///< priced as the nearest measured count
};

}  // namespace dbsp::tuner
