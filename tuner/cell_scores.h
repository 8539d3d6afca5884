// SPDX-License-Identifier: Apache-2.0
// Scores of all candidates on the masks of one cell, in tasks that several threads may share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/phased_jobs.h"
#include "tuner/candidates.h"
#include "tuner/cell_plan.h"
#include "tuner/checked_costs.h"

namespace dbsp::tuner {

/// Makes the jobs of one search. Keeps references to its arguments.
class CandidateScorer {
 public:
  using Take = std::function<void(std::vector<Score>)>;

  /// candidates  one that cannot be partitioned or priced on some cell gets the reason in
  ///             Candidate::excluded, and later cells leave it out
  CandidateScorer(const AttentionShape& shape,
                  const planner::Costs& costs,
                  std::vector<Candidate>& candidates,
                  const SearchOptions& options);

  /// The job that scores all candidates on the masks of a layer. It passes the scores, by
  /// candidate, to `take` at its end.
  [[nodiscard]] std::unique_ptr<PhasedJob> MakeJob(LayerMasks given, Take take);

 private:
  class Job;
  /// A token distribution of some candidate, and the ranks that own the tokens under it.
  struct DistributionHome {
    TokenDistribution distribution;
    HomeLayout home;
  };

  void Exclude(std::size_t candidate, const std::string& reason);

  const AttentionShape shape_;
  const CheckedCosts costs_;
  std::vector<Candidate>& candidates_;
  const SearchOptions& options_;
  std::vector<DistributionHome> homes_;  ///< distinct distributions, by first candidate
  std::vector<std::size_t> home_of_;  ///< [candidate] index into homes_
  std::vector<int> layouts_;  ///< distinct layouts of homes_
  std::vector<std::atomic<bool>> excluded_;  ///< [candidate], set with mutex_ held
  std::mutex mutex_;
};

}  // namespace dbsp::tuner
