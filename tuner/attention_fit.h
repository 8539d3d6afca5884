// SPDX-License-Identifier: Apache-2.0
// Attention time of every measured kernel, fitted to the trials of a database.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/records.h"
#include "core/shape.h"
#include "planner/timeline/costs.h"
#include "tuner/fit_request.h"
#include "tuner/statistics.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Half width of the interval added to a number that was measured on another block size, or for a
/// merge with another head_dim. The block size changes how often a kernel reuses K and V:
/// MagiAttention's token gather reaches 0.8 of the rate of its 128-blocks (notes on published
/// rates). A half is deliberately wider than that.
inline constexpr double kScaledHalf = 0.5;

/// Attention time of one call: theta . (heads, active rows, active blocks) nanoseconds. The fit
/// minimises relative errors and has no negative coefficient.
struct AttentionFit {
  std::string kernel;
  BlockSize block;  ///< block size of the trials
  FitRow theta{};
  double error_bound = 0;  ///< bound on the held-out relative error for 90% of new points
  double median_error = 0;  ///< median held-out relative error
  std::size_t trials = 0;
  double min_blocks_per_row = 0;
  double max_blocks_per_row = 0;
  double max_active_blocks = 0;
  double scale_rows = 1;  ///< tokens per query block over those of the trials (1 unless scaled)
  double scale_blocks = 1;  ///< (query, key) pairs per block over those of the trials

  /// True if trials cover the call: its blocks per row lie between theirs, and it has at most four
  /// times the largest measured number of active blocks.
  [[nodiscard]] bool Covers(double active_rows, double active_blocks) const;
  /// 0 without active blocks. The interval is twice as wide for calls that Covers() refuses.
  [[nodiscard]] planner::Estimate At(double heads, double active_rows, double active_blocks) const;
};

/// Fits by kernel name, of the request's head_dim and block size. Without trials of that block size
/// and with request.allow_scaled, each kernel is scaled from its nearest measured block size.
/// Trials on blocks that a kernel does not support according to request.kernels are left out.
/// remarks  receives a sentence for whatever is scaled or left out
/// errors   Error{kNotFound} when no kernel can be fitted; the message lists what was measured and
///          the command that adds measurements
[[nodiscard]] std::map<std::string, AttentionFit> FitKernels(const TrialSelection& selection,
                                                             const FitRequest& request,
                                                             DType dtype,
                                                             std::vector<std::string>& remarks);

}  // namespace dbsp::tuner
