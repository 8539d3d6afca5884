// SPDX-License-Identifier: Apache-2.0
// Division of whole heads into parts by local search: exchanges of few heads between the heaviest
// part and another remove the imbalance that the greedy rule leaves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

struct HeadSearchOptions {
  /// Heads that a part may hold above ceil(heads / parts), if that makes the heaviest part lighter.
  int extra_heads = 1;
  /// Random restarts of the descent. No restart follows once max / mean is at most `good_enough`.
  int kicks = 40;
  double good_enough = 1.001;
  /// Uneven counts are used only if they lower max / mean by more than this: more heads on a rank
  /// mean more bytes to it.
  double uneven_gain = 0.0005;
};

/// Part of every head: GreedyOwners, then exchanges of at most two heads for at most two, then the
/// same again after random exchanges. The best division seen is returned; it is never worse than
/// the greedy one.
/// shape    weights[heads]
/// requires weights >= 0
/// errors   Error{kInvalidArgument} if parts < 1 or a weight is negative
/// source   greedy: db-SP; exchanges: the interchange heuristic of multiprocessor scheduling (Finn
///          and Horowitz 1979), here with pairs
[[nodiscard]] std::vector<int> SearchHeadOwners(std::span<const std::int64_t> weights,
                                                int parts,
                                                const HeadSearchOptions& options = {});

}  // namespace dbsp::planner
