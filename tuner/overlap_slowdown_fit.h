// SPDX-License-Identifier: Apache-2.0
// What attention and exchanges lose while they run at once, from a database's overlaps.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "planner/timeline/costs.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Of one kind of traffic.
class OverlapSlowdownFit {
 public:
  /// From the trials whose exchange is `traffic` and whose SM margin is 0. A trial's slowdown is
  /// the median of its samples over that of those with nothing beside; a factor is the median over
  /// trials, at least 1, its interval from a tenth to nine tenths of them widened by the spread
  /// inside trials. Of both sides one trial is enough, and both must be there.
  OverlapSlowdownFit(const TrialSelection& selection, planner::Traffic traffic);

  /// The nearest number of ranks where this one was not measured, with an interval from 1 to half
  /// as much again; where none was, 1, and up to 2: then both take as long as one after the other.
  [[nodiscard]] planner::OverlapSlowdownEstimate At(int ranks) const;

  /// What was measured, and, after pricing, what was asked for and was not.
  /// profile_command  measures it
  void AddRemarks(const std::string& profile_command, std::vector<std::string>& remarks) const;

 private:
  struct Measured {
    planner::OverlapSlowdownEstimate contention;
    std::size_t trials = 0;
  };
  std::string op_;
  std::map<int, Measured> by_ranks_;
  mutable std::atomic<bool> unmeasured_{false};
  mutable std::atomic<bool> other_ranks_{false};
};

}  // namespace dbsp::tuner
