// SPDX-License-Identifier: Apache-2.0
// Whole heads onto parts by local search: what greedy leaves is taken away by exchanging few heads
// between the heaviest part and another.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

struct HeadSearchOptions {
  /// Heads a part may hold above ceil(heads / parts) where that lowers the heaviest part.
  int extra_heads = 1;
  /// Random restarts of the descent; none are made once max / mean is `good_enough`.
  int kicks = 40;
  double good_enough = 1.001;
  /// An uneven split is taken only where it lowers max / mean by more than this: more heads on a
  /// rank are more bytes to it.
  double uneven_gain = 0.0005;
};

/// Part of every head: GreedyOwners, then exchanges of at most two heads against at most two, then
/// the same again from random exchanges, the best seen being returned; never worse than greedy.
/// shape    weights[heads]
/// requires weights >= 0
/// errors   Error{kInvalidArgument} when parts < 1 or a weight is negative
/// source   greedy: db-SP; exchanges: the interchange heuristic of multiprocessor scheduling (Finn
///          and Horowitz 1979), with pairs
[[nodiscard]] std::vector<int> SearchHeadOwners(std::span<const std::int64_t> weights,
                                                int parts,
                                                const HeadSearchOptions& options = {});

}  // namespace dbsp::planner
