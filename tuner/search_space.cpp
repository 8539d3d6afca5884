// SPDX-License-Identifier: Apache-2.0
#include "tuner/search_space.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "tuner/layouts.h"

namespace dbsp::tuner {
namespace {

/// Index of `layout` in the space, which gets it where it is new.
int PlaceOf(const TokenLayout& layout, SearchSpace& space) {
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
    std::vector<int> place;
    for (const TokenLayout& layout : layouts) place.push_back(PlaceOf(layout, space));
    for (Candidate& candidate : candidates) {
      candidate.strategy.layout = place[candidate.strategy.layout];
      space.candidates.push_back(std::move(candidate));
    }
  }
  return space;
}

}  // namespace dbsp::tuner
