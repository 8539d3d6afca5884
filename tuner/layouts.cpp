// SPDX-License-Identifier: Apache-2.0
#include "tuner/layouts.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/parallel_for.h"
#include "planner/workload/token_layout.h"

namespace dbsp::tuner {
namespace {

/// Number of sampled cells, which are spread evenly over the steps and layers of the workload.
constexpr std::size_t kSample = 6;

bool WholeHeads(const Strategy& strategy) {
  return strategy.family == Family::kUlysses && strategy.layout == 0;
}

bool Contiguous(const Strategy& strategy) {
  return (strategy.family == Family::kRing || strategy.family == Family::kUsp) &&
         strategy.exchange == Exchange::kRing;
}

struct Sample {
  AttentionShape shape;
  std::vector<LayerMasks> masks;
};

Sample Draw(const Workload& workload, planner::MaskSource& masks, const SearchOptions& options) {
  const auto layers = static_cast<std::size_t>(options.layers.end - options.layers.begin);
  const std::size_t cells =
      static_cast<std::size_t>(options.steps.end - options.steps.begin) * layers;
  const std::size_t count = std::min(cells, kSample);
  Sample sample{workload.shape(), {}};
  for (std::size_t n = 0; n < count; ++n) {
    const std::size_t cell = (2 * n + 1) * cells / (2 * count);
    sample.masks.push_back(masks.At(options.steps.begin + static_cast<int>(cell / layers),
                                    options.layers.begin + static_cast<int>(cell % layers)));
  }
  return sample;
}

/// Sum over the sample of the shortest predicted time among candidates that `takes` accepts, all of
/// layout 0.
/// Infinite when none of them can run a sampled cell.
template <typename Takes>
double LeastNs(const Sample& sample,
               const std::vector<Candidate>& candidates,
               const planner::Costs& costs,
               const SearchOptions& options,
               Takes&& takes) {
  std::vector<double> least(sample.masks.size(), std::numeric_limits<double>::infinity());
  ParallelFor(static_cast<int>(least.size()), options.threads, [&](int i) {
    const OrderedLayer layer(sample.shape, sample.masks[i], options.layouts.front());
    for (const Candidate& candidate : candidates) {
      if (!takes(candidate.strategy)) continue;
      try {
        const CellPlan plan =
            MakeCellPlan(sample.shape, layer, candidate.strategy, costs, options, 0);
        least[i] = std::min(least[i], static_cast<double>(plan.prediction.total_ns));
      } catch (const Error&) {  // Search() excludes the candidate with the reason
        continue;
      }
    }
  });
  return std::accumulate(least.begin(), least.end(), 0.0);
}

}  // namespace

std::vector<TokenLayout> ChooseLayouts(std::string_view text,
                                       const Workload& workload,
                                       planner::MaskSource& masks,
                                       const planner::Costs& costs,
                                       const std::vector<Candidate>& candidates,
                                       const SearchOptions& options) {
  const AttentionShape shape = workload.shape();
  std::vector<TokenLayout> layouts{planner::MakeLayout("given", shape)};
  if (text == "given") return layouts;
  if (text != "auto") {
    layouts.push_back(planner::MakeLayout(text, shape));
    return layouts;
  }
  if (std::ranges::none_of(candidates, [](const Candidate& c) { return Contiguous(c.strategy); })) {
    return layouts;
  }
  const int ranks = PassRanks(options.ranks, candidates.front().strategy.cfg_degree);
  const Sample sample = Draw(workload, masks, options);
  double least = LeastNs(sample, candidates, costs, options, Contiguous);
  least = std::min(least, LeastNs(sample, candidates, costs, options, WholeHeads));
  for (const std::string& name : planner::LayoutNames(ranks)) {
    if (name == "given") continue;
    SearchOptions own = options;
    own.layouts = {planner::MakeLayout(name, shape)};  // becomes the candidates' layout 0
    const double ns = LeastNs(sample, candidates, costs, own, Contiguous);
    if (ns >= least * (1 - kMinGain)) continue;
    least = ns;
    layouts.resize(1);
    layouts.push_back(own.layouts.front());
  }
  return layouts;
}

}  // namespace dbsp::tuner
