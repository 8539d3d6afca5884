// SPDX-License-Identifier: Apache-2.0
#include "tuner/reuse.h"

#include <map>

#include "core/parallel_for.h"
#include "planner/placement/reuse.h"

namespace dbsp::tuner {
namespace {

/// Chooses the plans of one layer, step by step.
class LayerReuse {
 public:
  LayerReuse(planner::MaskSource& masks,
             const planner::Costs& costs,
             const SearchResult& result,
             std::span<const CellPlan> planned,
             const SearchOptions& options)
      : masks_(masks),
        costs_(costs),
        result_(result),
        planned_(planned),
        options_(options),
        rule_(options.replan_ns) {}

  CellUse Next(const SearchCell& cell) {
    const double own_ns = StepNs(planned_[cell.cls].prediction, cell.cls);
    if (rule_.plans() == 0 || cell.cls == in_use_) {
      if (rule_.Replan(own_ns, own_ns)) in_use_ = cell.cls;
      return {in_use_, std::nullopt};
    }
    const auto [predicted, fresh] = predicted_.try_emplace({in_use_, cell.cls});
    if (fresh) predicted->second = PredictInUse(cell);
    if (rule_.Replan(StepNs(predicted->second, in_use_), own_ns)) {
      in_use_ = cell.cls;
      return {in_use_, std::nullopt};
    }
    return {in_use_, predicted->second};
  }

 private:
  /// Time of all guidance passes of a step.
  [[nodiscard]] double StepNs(const Prediction& prediction, int cls) const {
    const auto chosen = static_cast<std::size_t>(result_.classes[cls].choice.chosen);
    return static_cast<double>(prediction.total_ns) * result_.WavesOf(chosen);
  }

  /// Prediction of the plan in use on the masks of `cell`.
  [[nodiscard]] Prediction PredictInUse(const SearchCell& cell) const {
    const auto cls = static_cast<std::size_t>(in_use_);
    const auto chosen = static_cast<std::size_t>(result_.classes[cls].choice.chosen);
    Strategy strategy = result_.candidates[chosen].strategy;
    strategy.kernel = planned_[cls].kernel;
    return PredictOn(result_.shape,
                     masks_.At(cell.step, cell.layer),
                     planned_[cls].partition,
                     strategy,
                     costs_,
                     options_);
  }

  planner::MaskSource& masks_;
  const planner::Costs& costs_;
  const SearchResult& result_;
  std::span<const CellPlan> planned_;
  const SearchOptions& options_;
  planner::ReuseRule rule_;
  int in_use_ = 0;
  std::map<std::pair<int, int>, Prediction> predicted_;  ///< by (class in use, class of the cell)
};

}  // namespace

std::vector<CellUse> ChooseReuse(planner::MaskSource& masks,
                                 const planner::Costs& costs,
                                 const SearchResult& result,
                                 std::span<const CellPlan> planned,
                                 const SearchOptions& options) {
  std::vector<CellUse> uses;
  for (const SearchCell& cell : result.cells) uses.push_back({cell.cls, std::nullopt});
  if (options.replan_ns <= 0) return uses;
  const int layers = options.layers.end - options.layers.begin;
  ParallelFor(layers, options.threads, [&](int layer) {
    LayerReuse reuse(masks, costs, result, planned, options);
    for (std::size_t i = layer; i < uses.size(); i += layers) uses[i] = reuse.Next(result.cells[i]);
  });
  return uses;
}

}  // namespace dbsp::tuner
