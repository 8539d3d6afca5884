// SPDX-License-Identifier: Apache-2.0
// Division of weighted items into parts: db-SP's greedy rule, which it uses for heads and for
// blocks, and the contiguous division. Both work on counts alone, so they also balance measured
// counts without masks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Part of every item by db-SP's greedy rule. Items are taken in the order of descending weight;
/// equal weights stay in the order that libstdc++'s std::sort leaves (docs/planner.md gives the
/// reason). Each item goes to the part with the smallest key among those with fewer than ceil(items
/// / parts) items:
///   key[g] = load[g] - (g == home[item] ? reward * weight : 0)
/// The lower part wins a tie. For items of weight 0 the part with fewer items wins, so no part
/// stays empty if there are enough items.
/// shape    weights[items]; home[items], or empty without homes
/// requires weights >= 0; reward >= 0 and finite
/// returns  owner[items] in [0, parts)
/// errors   Error{kInvalidArgument} if a requirement does not hold
/// source   db-SP (arXiv 2511.23113), released code. Equal counts are upper limits here, so items
///          need not be divisible.
[[nodiscard]] std::vector<int> GreedyOwners(std::span<const std::int64_t> weights,
                                            int parts,
                                            double reward = 0.0,
                                            std::span<const int> home = {});

/// Part of every item: floor(i * parts / items). Part sizes differ by at most one.
/// errors  Error{kInvalidArgument} if items < 0 or parts < 1
[[nodiscard]] std::vector<int> ContiguousOwners(int items, int parts);

/// Heaviest part over the mean part; 1 if all weights are 0.
/// requires owner[i] in [0, parts)
[[nodiscard]] double MaxOverMean(std::span<const std::int64_t> weights,
                                 std::span<const int> owner,
                                 int parts);

}  // namespace dbsp::planner
