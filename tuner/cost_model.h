// SPDX-License-Identifier: Apache-2.0
// Costs from a database's trials (docs/cost_model.md). The model never guesses silently. An
// operation that was not measured is an error that names the command to measure it. With
// FitRequest::allow_scaled it is scaled from other measurements instead, with a wider interval and
// a remark.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "db/database.h"
#include "planner/timeline/costs.h"
#include "tuner/attention_fit.h"
#include "tuner/curve.h"
#include "tuner/fit_request.h"
#include "tuner/gather_fit.h"
#include "tuner/overlap_slowdown_fit.h"
#include "tuner/rank_curves.h"

namespace dbsp::tuner {

/// Costs fitted to the trials of one device.
class FittedCosts : public planner::Costs {
 public:
  /// Uses the newest trial of every configuration. Trials that failed, that have no samples or that
  /// hold a time that is not positive are ignored.
  /// errors  Error{kNotFound} when the database has no trial, none of this device, no attention of
  ///         this head_dim and block, or no copy; the message is one line that lists what was
  ///         measured and gives the command that measures the rest.
  ///         Error{kInvalidArgument} for an unknown kernel
  FittedCosts(std::span<const db::StoredTrial> trials,
              std::span<const db::StoredEnvironment> environments,
              const FitRequest& request);

  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  /// errors  Error{kNotFound} with the rank count and the profile command, when the rank count was
  ///         not measured and does not lie between two that were; the same for Hop()
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> ranks,
                                           std::int64_t max_rank_bytes) const override;
  [[nodiscard]] planner::Estimate Hop(std::span<const int> ring, std::int64_t bytes) const override;
  [[nodiscard]] planner::OverlapSlowdownEstimate Slowdown(planner::Traffic traffic,
                                                          int ranks) const override;
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override;
  [[nodiscard]] CostSource source() const override { return CostSource::kFitted; }

  [[nodiscard]] const Provenance& device() const { return device_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  /// The requested kernel, or without a request the fastest one on the typical call.
  [[nodiscard]] const std::string& kernel() const { return kernel_; }
  /// Kernels that a (step, layer) may run, kernel() first: all kernels that were measured on the
  /// workload's block size. Only kernel() when one was requested or costs are scaled from another
  /// block size.
  [[nodiscard]] const std::vector<std::string>& kernels() const { return kernels_; }
  /// Those of kernels() that write no log-sum-exp (core/plugin_facts.h).
  [[nodiscard]] const std::vector<std::string>& kernels_without_lse() const {
    return kernels_without_lse_;
  }
  [[nodiscard]] const AttentionFit& attention_fit(const std::string& kernel) const;
  /// Times of gather attention, for every kernel and number of queries per list that was measured.
  /// No search uses them yet.
  [[nodiscard]] const std::vector<GatherFit>& gather_fits() const { return gather_fits_; }
  /// Sentences on the measurements behind the costs and on every extrapolation. Call it after
  /// pricing to have the sizes and rank counts that were priced outside the measured range.
  [[nodiscard]] std::vector<std::string> Remarks() const;
  /// The fitted models with their held-out errors, for the plan: attention of kernels(), pack,
  /// merge, and both exchanges by number of ranks.
  [[nodiscard]] std::vector<CostFit> Fits() const;

 private:
  [[nodiscard]] planner::Estimate Exchange(const RankCurves& curves,
                                           std::span<const int> members,
                                           double bytes) const;

  Provenance device_;
  DType dtype_ = DType::kF32;
  std::string kernel_;
  std::vector<std::string> kernels_;
  std::vector<std::string> kernels_without_lse_;
  std::map<std::string, AttentionFit> fits_;
  std::vector<GatherFit> gather_fits_;
  Curve copy_;
  Curve merge_;
  int merge_head_dim_ = 0;
  RankCurves all_to_all_;
  RankCurves hop_;
  std::optional<OverlapSlowdownFit> beside_all_to_all_;
  std::optional<OverlapSlowdownFit> beside_hop_;
  bool allow_scaled_ = false;
  ProfileCommand profile_command_;
  std::vector<std::string> remarks_;
  mutable std::atomic<bool> attention_outside_{false};
  mutable std::atomic<bool> copy_outside_{false};
  mutable std::atomic<bool> merge_outside_{false};
};

}  // namespace dbsp::tuner
