// SPDX-License-Identifier: Apache-2.0
// What a whole video takes beside its attention: given by the user, or estimated from the model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan.h"
#include "core/shape.h"
#include "core/video_time.h"
#include "planner/timeline/costs.h"
#include "tuner/baselines.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// FLOP of one layer and one pass beside self-attention: projections, feed-forward network,
/// cross-attention. Norms, embeddings and modulation are not counted.
[[nodiscard]] double LayerFlopsWithoutAttention(const ModelShape& model);

/// Estimate of RestOfVideo::cell_ns. The FLOP of all passes are divided evenly over the ranks and
/// take as long as the same FLOP of `work`, attention of one rank.
/// errors  Error{kNotFound} when the costs have no such attention
[[nodiscard]] RestOfVideo EstimateRest(const ModelShape& model,
                                       int ranks,
                                       const planner::AttentionWork& work,
                                       const planner::Costs& costs);

/// Parses "3,7-9" as steps in ascending order; "" as none.
/// errors  Error{kInvalidArgument} for text that is not a list within [0, steps), and for all steps
[[nodiscard]] std::vector<int> ParseSkippedSteps(std::string_view text, int steps);

/// Time of a video whose cells all run one candidate; empty when it is excluded.
[[nodiscard]] std::optional<VideoTime> VideoTimeOf(const SearchResult& result,
                                                   const RestOfVideo& rest,
                                                   std::size_t candidate);
/// The same with the strategy that each cell has chosen.
[[nodiscard]] VideoTime VideoTimeOf(const SearchResult& result, const RestOfVideo& rest);

/// Lines such as "plan: whole video 62.1 s: attention 46.4 s (75%), ..." and the gains over the
/// baselines for the whole video. Of fewer than `video_cells` they say how many cells they are of.
[[nodiscard]] std::string VideoLines(const SearchResult& result,
                                     const RestOfVideo& rest,
                                     const std::vector<PricedBaseline>& baselines,
                                     std::int64_t video_cells);

}  // namespace dbsp::tuner
