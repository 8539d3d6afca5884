// SPDX-License-Identifier: Apache-2.0
// Costs from a database's trials (docs/cost_model.md). It never guesses silently: what is not
// measured is refused with the command that would measure it, or, where asked to, scaled with a
// wider interval and said in a remark.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/records.h"
#include "core/shape.h"
#include "db/database.h"
#include "planner/timeline/costs.h"
#include "tuner/curve.h"
#include "tuner/overlap_slowdown_fit.h"
#include "tuner/rank_curves.h"
#include "tuner/statistics.h"

namespace dbsp::tuner {

/// Which trials to use and for what.
struct FitRequest {
  std::string database;  ///< name of the file, for words
  std::string device;  ///< kind, name (or part of it) or UUID; "" = the device measured last
  std::string kernel;  ///< "" = the one predicted fastest on `typical`
  std::vector<KernelVariant> kernels;  ///< what the database knows of kernels
  int head_dim = 128;
  BlockSize block;
  /// A call like the workload's, to choose a kernel by: heads, active_rows, active_blocks.
  planner::AttentionWork typical;
  bool allow_scaled = false;  ///< use another block size or rank count, with a wide interval
  /// Every so many successive ranks share a host, and exchanges are those measured on as many hosts
  /// as their group's ranks are on; 0: on the fewest hosts that so many ranks were measured on.
  int ranks_per_node = 0;
  std::string profile_command;  ///< what to run for missing measurements, for words
};

/// Attention time of one call: theta . (heads, active rows, active blocks) nanoseconds, fitted with
/// relative errors and no negative coefficient.
struct AttentionFit {
  std::string kernel;
  BlockSize block;  ///< block size the trials had
  FitRow theta{};
  double error_bound = 0;  ///< held-out relative error that 90% of new points stay below
  double median_error = 0;  ///< median held-out relative error
  std::size_t trials = 0;
  double min_blocks_per_row = 0;
  double max_blocks_per_row = 0;
  double max_active_blocks = 0;
  double scale_rows = 1;  ///< tokens per query block over the trials' (1 unless scaled)
  double scale_blocks = 1;  ///< pairs per block over the trials'

  /// 0 when nothing is kept. Outside the measured blocks per row or call size the interval doubles.
  [[nodiscard]] planner::Estimate At(double heads, double active_rows, double active_blocks) const;
};

class FittedCosts : public planner::Costs {
 public:
  /// Trials that failed, have no samples or hold a time that is not positive never enter; of equal
  /// configurations the newest counts.
  /// errors  Error{kNotFound} when the database holds no trial, none of this device, no attention
  ///         of this head_dim and block, or no copy: one line with what there is and the command
  ///         that measures it;
  ///         Error{kInvalidArgument} for an unknown kernel
  FittedCosts(std::span<const db::StoredTrial> trials,
              std::span<const db::StoredEnvironment> environments,
              const FitRequest& request);

  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  /// errors  Error{kNotFound} naming the rank count and the command, when no trial has it and none
  ///         above and below has
  [[nodiscard]] planner::Estimate AllToAll(int ranks, std::int64_t max_rank_bytes) const override;
  [[nodiscard]] planner::Estimate AllToAllAmong(std::span<const int> ranks,
                                                std::int64_t max_rank_bytes) const override;
  [[nodiscard]] planner::Estimate Hop(int ranks, std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate HopAround(std::span<const int> ring,
                                            std::int64_t bytes) const override;
  [[nodiscard]] planner::OverlapSlowdownEstimate EstimateOverlapSlowdown(planner::Traffic traffic,
                                                                         int ranks) const override;
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override;
  [[nodiscard]] CostSource source() const override { return CostSource::kFitted; }

  [[nodiscard]] const Provenance& device() const { return device_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  /// The kernel that is fastest on the typical call, or the one that was asked for.
  [[nodiscard]] const std::string& kernel() const { return kernel_; }
  /// Kernels that a (step, layer) may run, kernel() first: all that were measured on the workload's
  /// blocks, unless one was asked for or costs are scaled from other blocks.
  [[nodiscard]] const std::vector<std::string>& kernels() const { return kernels_; }
  [[nodiscard]] const AttentionFit& attention_fit(const std::string& kernel) const;
  /// What the numbers rest on and where they were stretched, one sentence each. After pricing,
  /// sizes and rank counts that were asked outside the measured ones are among them.
  [[nodiscard]] std::vector<std::string> Remarks() const;

 private:
  [[nodiscard]] planner::Estimate Exchange(const RankCurves& curves,
                                           int ranks,
                                           int hosts,
                                           double bytes) const;

  Provenance device_;
  DType dtype_ = DType::kF32;
  std::string kernel_;
  std::vector<std::string> kernels_;
  std::map<std::string, AttentionFit> fits_;
  Curve copy_;
  Curve merge_;
  int merge_head_dim_ = 0;
  RankCurves all_to_all_;
  RankCurves hop_;
  std::optional<OverlapSlowdownFit> beside_all_to_all_;
  std::optional<OverlapSlowdownFit> beside_hop_;
  bool allow_scaled_ = false;
  std::string profile_command_;
  std::vector<std::string> remarks_;
  mutable std::atomic<bool> copy_outside_{false};
  mutable std::atomic<bool> merge_outside_{false};
};

}  // namespace dbsp::tuner
