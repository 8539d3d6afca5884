// SPDX-License-Identifier: Apache-2.0
// Items with weights onto parts: db-SP's greedy, which it uses for heads and for blocks, and the
// contiguous split it is compared with. Works on counts alone, so measured counts without masks
// (heads of a trace) are balanced by the same code.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Part of every item: items by falling weight (equal weights in the order libstdc++'s std::sort
/// leaves them, docs/planner.md says why), each to the part with the smallest key that holds fewer
/// than ceil(items / parts) of them, where
///   key[g] = load[g] - (g == home[item] ? reward * weight : 0)
/// and the lower part wins a tie. Items of weight 0 break ties by the number of items held, so that
/// no part stays empty while there are items enough.
/// shape    weights[items]; home[items], or empty when there is no home
/// requires weights >= 0, reward >= 0 and finite
/// returns  owner[items], each in [0, parts)
/// errors   Error{kInvalidArgument} when a requirement does not hold
/// source   db-SP (arXiv 2511.23113), released code; equal counts are caps here, so that items need
///          not be divisible
[[nodiscard]] std::vector<int> GreedyOwners(std::span<const std::int64_t> weights,
                                            int parts,
                                            double reward = 0.0,
                                            std::span<const int> home = {});

/// Item i to part floor(i * parts / items): parts differ by one item at most.
/// errors  Error{kInvalidArgument} when items < 0 or parts < 1
[[nodiscard]] std::vector<int> ContiguousOwners(int items, int parts);

/// Heaviest part over the mean part; 1 when nothing weighs.
/// requires owner[i] in [0, parts)
[[nodiscard]] double MaxOverMean(std::span<const std::int64_t> weights,
                                 std::span<const int> owner,
                                 int parts);

}  // namespace dbsp::planner
