// SPDX-License-Identifier: Apache-2.0
#include "tuner/make_plan.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/parallel_for.h"
#include "planner/timeline/contract.h"
#include "tuner/fallback.h"
#include "tuner/reuse.h"

namespace dbsp::tuner {
namespace {

void Append(const std::vector<int>& values, std::string& bytes) {
  const auto size = static_cast<int>(values.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int));
}

/// Partitions of one workload on the same ranks are equal exactly when their keys are.
std::string PartitionKey(const Partition& partition) {
  std::string bytes;
  for (const HeadGroup& group : partition.groups) {
    Append(group.heads, bytes);
    Append(group.ranks, bytes);
    Append(group.row_owner, bytes);
    Append(group.col_owner, bytes);
  }
  Append(partition.chunk_of_head, bytes);
  return HashBytes(bytes);
}

/// Adds strategies and their partitions to a plan and stores equal ones once.
class PlanBuilder {
 public:
  explicit PlanBuilder(Plan& plan) : plan_(plan) {}

  /// Returns the index of `strategy` with `partition` in the plan.
  int Add(Strategy strategy, const Partition& partition) {
    const auto [at, fresh] = partition_of_key_.try_emplace(
        PartitionKey(partition), static_cast<int>(plan_.partitions.size()));
    if (fresh) plan_.partitions.push_back(partition);
    strategy.partition = at->second;
    std::vector<int>& known = strategies_of_[at->second];
    for (const int index : known) {
      if (plan_.strategies[index] == strategy) return index;
    }
    known.push_back(static_cast<int>(plan_.strategies.size()));
    plan_.strategies.push_back(std::move(strategy));
    return known.back();
  }

 private:
  Plan& plan_;
  std::map<std::string, int> partition_of_key_;
  std::map<int, std::vector<int>> strategies_of_;  ///< by partition
};

Plan PlanWithoutCells(const Workload& workload,
                      const planner::Costs& costs,
                      const SearchResult& result,
                      const SearchOptions& options,
                      const PlanOrigin& origin) {
  Plan plan;
  plan.workload_hash = HashOf(workload);
  plan.workload_name = workload.model.name;
  plan.workload_json = WorkloadToJson(workload);
  plan.database_hash = origin.database_hash;
  plan.cluster = origin.cluster;
  plan.device = origin.device;
  plan.created_utc = NowUtc();
  plan.generator = origin.generator;
  plan.costs = costs.source();
  plan.ranks = result.ranks;
  plan.passes = result.passes;
  plan.dtype = options.dtype;
  plan.shape = result.shape;
  plan.fits = origin.fits;
  if (result.distribution.layout > 0) {
    plan.layouts = options.layouts;
  } else {
    plan.layouts = {{"given", {}}};
  }
  return plan;
}

/// Parts of a plan that are computed from the masks of one class.
struct ClassPlan {
  CellPlan cell;
  Contract contract;  ///< without its fallback, which is chosen for the whole plan
  std::vector<std::vector<std::int64_t>> baseline_loads;  ///< [baseline][rank]
};

ClassPlan MakeClassPlan(planner::MaskSource& masks,
                        const planner::Costs& costs,
                        const SearchResult& result,
                        const CellClass& cls,
                        const BaselineLoads& baselines,
                        const SearchOptions& options) {
  const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
  const Strategy& strategy = result.candidates[chosen].strategy;
  const LayerMasks own = masks.At(cls.step, cls.layer);
  ClassPlan plan{MakeCellPlan(result.shape, own, strategy, costs, options), {}, baselines.On(own)};
  if (plan.cell.prediction.total_ns != cls.scores[chosen].total_ns) {
    Fail(ErrorCode::kInternal,
         "step {}, layer {}: {} was chosen for its {} ns but its plan takes {} ns",
         cls.step,
         cls.layer,
         NameOfCandidate(result.candidates[chosen]),
         cls.scores[chosen].total_ns,
         plan.cell.prediction.total_ns);
  }
  plan.contract = planner::MakeContract(InLayoutOrder(result.shape, own, strategy, options),
                                        plan.cell.partition,
                                        strategy.exchange,
                                        options.contract_tolerance,
                                        0);
  return plan;
}

/// Adds the time of a class to the baseline of the same family, or the reason why there is none.
void AddTime(const std::vector<PricedBaseline>& priced, std::size_t cls, Baseline& baseline) {
  const auto found = std::ranges::find(priced, baseline.family, &PricedBaseline::family);
  if (found == priced.end()) return;
  baseline.missing = found->missing;
  if (!found->times.empty()) baseline.times.push_back(found->times[cls]);
}

/// The fastest candidate of the plan's token distribution whose order with the chosen one may flip.
int RivalOf(const SearchResult& result, const CellClass& cls) {
  const Score& chosen = cls.scores[cls.choice.chosen];
  int rival = -1;
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const Candidate& candidate = result.candidates[i];
    const Score& score = cls.scores[i];
    if (!candidate.excluded.empty() || DistributionOf(candidate.strategy) != result.distribution ||
        score.same_as == chosen.same_as ||
        (score.compute_ns == chosen.compute_ns && score.exchange_ns == chosen.exchange_ns)) {
      continue;
    }
    const bool close =
        score.total_ns >= chosen.total_ns ? MayFlip(score, chosen) : MayFlip(chosen, score);
    if (close && (rival < 0 || score.total_ns < cls.scores[rival].total_ns)) {
      rival = static_cast<int>(i);
    }
  }
  return rival;
}

std::vector<CloseCall> CloseCallsOf(const SearchResult& result) {
  std::vector<int> rivals;
  for (const CellClass& cls : result.classes) {
    rivals.push_back(cls.choice.close ? RivalOf(result, cls) : -1);
  }
  std::vector<CloseCall> calls;
  for (const SearchCell& cell : result.cells) {
    const int rival = rivals[cell.cls];
    if (rival < 0) continue;
    calls.push_back({cell.step,
                     cell.layer,
                     NameOfCandidate(result.candidates[rival]),
                     result.classes[cell.cls].scores[rival].total_ns});
  }
  return calls;
}

}  // namespace

std::string RelativeFolder(const std::filesystem::path& from, const std::filesystem::path& to) {
  const auto full = [](const std::filesystem::path& path) {
    return std::filesystem::weakly_canonical(path.empty() ? "." : path);
  };
  const std::filesystem::path relative = full(to).lexically_relative(full(from));
  return relative.empty() ? full(to).generic_string() : relative.generic_string();
}

Plan MakePlan(const Workload& workload,
              planner::MaskSource& masks,
              const planner::Costs& costs,
              const SearchResult& result,
              const SearchOptions& options,
              const PlanOrigin& origin) {
  const BaselineLoads baselines(result.shape, result.ranks);
  std::vector<CellPlan> planned(result.classes.size());
  std::vector<Contract> contracts(result.classes.size());
  std::vector<std::vector<std::vector<std::int64_t>>> baseline_loads(result.classes.size());
  ParallelFor(static_cast<int>(result.classes.size()), options.threads, [&](int c) {
    ClassPlan made = MakeClassPlan(masks, costs, result, result.classes[c], baselines, options);
    planned[c] = std::move(made.cell);
    contracts[c] = std::move(made.contract);
    baseline_loads[c] = std::move(made.baseline_loads);
  });
  std::vector<CellUse> uses = ChooseReuse(masks, costs, result, planned, options);

  Plan plan = PlanWithoutCells(workload, costs, result, options, origin);
  plan.baselines = baselines.baselines();
  PlanBuilder builder(plan);
  struct Indices {
    int strategy = 0;
    int contract = 0;
  };
  std::map<int, Indices> of_class;
  std::map<std::pair<int, int>, int> prediction_of;  // (class whose plan, class of the masks)
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const SearchCell& cell = result.cells[i];
    const int use = uses[i].plan_class;
    const auto cls = static_cast<std::size_t>(use);
    const auto [at, fresh] = of_class.try_emplace(use);
    if (fresh) {
      const auto chosen = static_cast<std::size_t>(result.classes[cls].choice.chosen);
      Strategy strategy = result.candidates[chosen].strategy;
      strategy.kernel = planned[cls].kernel;
      at->second = {builder.Add(std::move(strategy), planned[cls].partition),
                    static_cast<int>(plan.contracts.size())};
      plan.contracts.push_back(contracts[cls]);
    }
    const auto [prediction, unseen] =
        prediction_of.try_emplace({use, cell.cls}, static_cast<int>(plan.predictions.size()));
    if (unseen) {
      plan.predictions.push_back(uses[i].prediction ? std::move(*uses[i].prediction)
                                                    : planned[cls].prediction);
      for (std::size_t b = 0; b < plan.baselines.size(); ++b) {
        plan.baselines[b].active_blocks.push_back(baseline_loads[cell.cls][b]);
        AddTime(origin.baselines, static_cast<std::size_t>(cell.cls), plan.baselines[b]);
      }
    }
    plan.cells.push_back(
        {cell.step, cell.layer, at->second.strategy, prediction->second, at->second.contract});
  }
  const Fallback fallback = ChooseFallback(result, costs, options);
  const int index = builder.Add(fallback.strategy, fallback.partition);
  for (Contract& contract : plan.contracts) contract.fallback = index;
  plan.close_calls = CloseCallsOf(result);
  return plan;
}

}  // namespace dbsp::tuner
