// SPDX-License-Identifier: Apache-2.0
#include "tuner/make_plan.h"

#include <map>

#include "core/error.h"
#include "core/file.h"
#include "tuner/parallel.h"

namespace dbsp::tuner {
namespace {

void Append(const std::vector<int>& values, std::string& bytes) {
  const auto size = static_cast<int>(values.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int));
}

/// Equal keys = equal partitions of one workload on the same ranks.
std::string PartitionKey(const Partition& partition) {
  std::string bytes;
  for (const HeadGroup& group : partition.groups) {
    Append(group.heads, bytes);
    Append(group.ranks, bytes);
    Append(group.row_owner, bytes);
    Append(group.col_owner, bytes);
  }
  return HashBytes(bytes);
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
  std::vector<CellPlan> planned(result.classes.size());
  ParallelFor(result.classes.size(), options.threads, [&](std::size_t c) {
    const CellClass& cls = result.classes[c];
    const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
    planned[c] = PlanCellOf(result.shape,
                            masks.At(cls.step, cls.layer),
                            result.candidates[chosen].strategy,
                            costs,
                            options);
    if (planned[c].prediction.total_ns != cls.scores[chosen].total_ns) {
      Fail(ErrorCode::kInternal,
           "step {}, layer {}: {} was chosen at {} ns and planned at {} ns",
           cls.step,
           cls.layer,
           NameOfCandidate(result.candidates[chosen]),
           cls.scores[chosen].total_ns,
           planned[c].prediction.total_ns);
    }
  });

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
  plan.layouts = {{"given", {}}};

  std::map<std::string, int> partition_of_key;
  std::map<std::pair<int, int>, int> strategy_of;  // (candidate, partition)
  std::vector<int> strategy_of_class;
  for (std::size_t c = 0; c < planned.size(); ++c) {
    const auto [partition, new_partition] = partition_of_key.try_emplace(
        PartitionKey(planned[c].partition), static_cast<int>(plan.partitions.size()));
    if (new_partition) plan.partitions.push_back(std::move(planned[c].partition));
    const int chosen = result.classes[c].choice.chosen;
    const auto [strategy, new_strategy] = strategy_of.try_emplace(
        {chosen, partition->second}, static_cast<int>(plan.strategies.size()));
    if (new_strategy) {
      plan.strategies.push_back(result.candidates[static_cast<std::size_t>(chosen)].strategy);
      plan.strategies.back().partition = partition->second;
    }
    strategy_of_class.push_back(strategy->second);
    plan.predictions.push_back(std::move(planned[c].prediction));
  }
  for (const SearchCell& cell : result.cells) {
    plan.cells.push_back(
        {cell.step, cell.layer, strategy_of_class[static_cast<std::size_t>(cell.cls)], cell.cls});
  }
  return plan;
}

}  // namespace dbsp::tuner
