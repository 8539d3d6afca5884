// SPDX-License-Identifier: Apache-2.0
// Time of gather attention over lists of single keys, and of making the lists, fitted to the trials
// of a database. Nothing here chooses a kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/list_statistics.h"
#include "core/shape.h"
#include "planner/timeline/costs.h"
#include "tuner/statistics.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// What one call of gather attention computes.
struct GatherWork {
  std::int64_t heads = 1;
  std::int64_t rows = 0;  ///< lists with at least one key
  std::int64_t keys = 0;  ///< of all lists
  ListStatistics lists;
};

/// The work of one head.
/// begin  [query blocks + 1] offsets into keys, from KeyLists of kernels/key_lists.h
/// keys   ascending within a list
/// step   keys that the kernel computes together (GatherFit::step)
[[nodiscard]] GatherWork WorkOfHead(std::span<const std::int32_t> begin,
                                    std::span<const std::int32_t> keys,
                                    int step);

/// theta . (heads, lists with a key, keys, padding keys, runs, keys of the largest list)
/// nanoseconds. Padding keys fill the last step of each list. The largest list counts on a GPU,
/// which computes lists at the same time. No coefficient is negative, and one that explains nothing
/// is 0.
struct GatherFit {
  std::string kernel;
  int queries = 0;  ///< M, per list
  int head_dim = 0;
  int step = 0;
  WideFitRow theta{};
  double error_bound = 0;  ///< bound on the held-out relative error for 90% of new points
  double median_error = 0;  ///< median held-out relative error
  std::size_t trials = 0;
  double min_keys_per_row = 0;  ///< mean of a trial, smallest and largest of the trials
  double max_keys_per_row = 0;
  double max_keys = 0;  ///< of all lists of a trial

  /// True if trials cover the work: its mean list lies between theirs, and it has at most four
  /// times as many keys.
  [[nodiscard]] bool Covers(const GatherWork& work) const;
  /// 0 without keys. The interval is twice as wide where Covers() is false.
  [[nodiscard]] planner::Estimate At(const GatherWork& work) const;
};

/// One fit per kernel and number of queries, of trials of this head_dim that have statistics of
/// their lists, at least 8.
/// remarks  receives a sentence per fit with its held-out error, and one per group of too few
/// trials
[[nodiscard]] std::vector<GatherFit> FitGathers(const TrialSelection& selection,
                                                int head_dim,
                                                DType dtype,
                                                std::vector<std::string>& remarks);

/// Size of the lists that a call makes, or makes bits for.
struct ListMaking {
  std::int64_t rows = 0;  ///< lists
  int queries = 0;  ///< M, per list
  std::int64_t k_tokens = 0;
  std::int64_t keys = 0;  ///< listed; not used by predictors
};

/// Time of one op of LocalConfig that makes lists: theta . (rows, rows x key tokens, third)
/// nanoseconds. The third column is the listed keys (key_lists), the scores of single queries
/// (threshold_keys) or the queries (top_cdf_keys).
struct ListFit {
  std::string op;
  FitRow theta{};
  double error_bound = 0;
  double median_error = 0;
  std::size_t trials = 0;

  [[nodiscard]] planner::Estimate At(const ListMaking& making) const;
};

/// Nothing with fewer than 4 trials of the op at this head_dim. Trials on the CPU are in fp32.
[[nodiscard]] std::optional<ListFit> FitLists(const TrialSelection& selection,
                                              std::string_view op,
                                              int head_dim);

/// Whether gather attention, with its lists made once for `steps` denoising steps, is faster than
/// attention over blocks of the same head. Compares the estimates, not their intervals.
/// requires steps >= 1
[[nodiscard]] bool GatherIsFaster(const planner::Estimate& gather,
                                  const planner::Estimate& list_making,
                                  int steps,
                                  const planner::Estimate& blocks);

}  // namespace dbsp::tuner
