// SPDX-License-Identifier: Apache-2.0
#include "tuner/search_space.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "tuner/layouts.h"

namespace dbsp::tuner {
namespace {

/// Index of `layout` in space.layouts. Appends it when it is new.
int LayoutIndexIn(SearchSpace& space, const TokenLayout& layout) {
  const auto found = std::ranges::find(space.layouts, layout);
  if (found != space.layouts.end()) return static_cast<int>(found - space.layouts.begin());
  space.layouts.push_back(layout);
  return static_cast<int>(space.layouts.size()) - 1;
}

}  // namespace

SearchSpace MakeSearchSpace(const SpaceRequest& request,
                            const Workload& workload,
                            planner::MaskSource& masks,
                            const planner::Costs& costs,
                            const SearchOptions& options) {
  SearchSpace space;
  CandidateOptions variants = request.variants;
  for (const int degree : request.cfg_degrees) {
    variants.cfg_degree = degree;
    variants.layouts = {"given"};
    const auto make = [&] {
      return MakeCandidates(
          request.families, options.ranks, workload.model.heads, request.kernel, variants);
    };
    std::vector<Candidate> candidates = make();
    const std::vector<TokenLayout> layouts =
        ChooseLayouts(request.layout, workload, masks, costs, candidates, options);
    for (std::size_t i = 1; i < layouts.size(); ++i) variants.layouts.push_back(layouts[i].name);
    if (layouts.size() > 1) candidates = make();
    std::vector<int> index_in_space;  // of every entry of `layouts`
    for (const TokenLayout& layout : layouts) {
      index_in_space.push_back(LayoutIndexIn(space, layout));
    }
    for (Candidate& candidate : candidates) {
      candidate.strategy.layout = index_in_space[candidate.strategy.layout];
      space.candidates.push_back(std::move(candidate));
    }
  }
  return space;
}

}  // namespace dbsp::tuner
