// SPDX-License-Identifier: Apache-2.0
// Measured times of one kind of exchange over size, a curve for every number of ranks.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "tuner/curve.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Curves of one operation, one per rank count, each of exchanges on one number of hosts: a link
/// inside a host and one between hosts have nothing in common.
struct RankCurves {
  std::map<int, Curve> by_ranks;
  std::map<int, int> nodes;  ///< hosts of each
  std::string op;
  mutable std::atomic<bool> between{false};  ///< a rank count between two measured ones was asked
  mutable std::atomic<bool> outside{false};  ///< a size outside the measured ones was asked
};

/// From the trials of `op`; what is measured on other numbers of hosts than asked for is left out,
/// with a remark that says how to have it.
/// ranks_per_node  as FitRequest's
void FillRankCurves(const TrialSelection& selection,
                    const std::string& op,
                    int ranks_per_node,
                    RankCurves& curves,
                    std::vector<std::string>& remarks);

[[nodiscard]] std::vector<int> RankCounts(const RankCurves& curves);
/// "alltoall: 8 ranks 9 sizes up to 33.6 MB at 1.20 GB/s"
[[nodiscard]] std::string Describe(const RankCurves& curves);

/// Adds a trial of `size`, which is a point where it is above 0.
void AddPoint(std::vector<CurvePoint>& points, std::int64_t size, const UsableTrial& trial);

}  // namespace dbsp::tuner
