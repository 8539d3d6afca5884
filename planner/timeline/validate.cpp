// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/plan_check.h"
#include "planner/timeline/schedule_check.h"
#include "planner/workload/token_layout.h"

namespace dbsp::planner {
namespace {

/// Checks that the sorted, distinct cells are a full rectangle of steps and layers.
void CheckCells(const Plan& plan, const std::string& origin, ErrorCode code) {
  if (plan.cells.empty()) Fail(code, "{}: key 'cells': expected at least one, found none", origin);
  const int first_step = plan.cells.front().step;
  const int first_layer = plan.cells.front().layer;
  const int last_layer = plan.cells.back().layer;
  int step = first_step;
  int layer = first_layer;
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    if (plan.cells[i].step != step || plan.cells[i].layer != layer) {
      Fail(code,
           "{}: key 'cells[{}]': expected step {} layer {}, found step {} layer {}; a plan holds "
           "every layer of every step in its range",
           origin,
           i,
           step,
           layer,
           plan.cells[i].step,
           plan.cells[i].layer);
    }
    if (++layer > last_layer) {
      layer = first_layer;
      ++step;
    }
  }
}

/// Tokens are permuted once, where they enter the model. All cells and all fallback strategies of
/// contracts therefore have one layout, which consists of whole units of the shape.
void CheckLayouts(const Plan& plan, const std::string& origin, ErrorCode code) {
  for (std::size_t i = 0; i < plan.layouts.size(); ++i) {
    try {
      (void)TokenOrder(plan.layouts[i], plan.shape);
    } catch (const Error& error) {
      Fail(code, "{}: key 'layouts[{}]': {}", origin, i, error.what());
    }
  }
  const auto layout_of = [&](int strategy) { return plan.strategies[strategy].layout; };
  const int layout = layout_of(plan.cells.front().strategy);
  const auto check = [&](const char* key, std::size_t i, int strategy) {
    if (layout_of(strategy) == layout) return;
    Fail(code,
         "{}: key '{}[{}]': expected layout {} as in the first cell, found {}; a plan orders its "
         "tokens once",
         origin,
         key,
         i,
         layout,
         layout_of(strategy));
  };
  for (std::size_t i = 0; i < plan.cells.size(); ++i) check("cells", i, plan.cells[i].strategy);
  for (std::size_t i = 0; i < plan.contracts.size(); ++i) {
    check("contracts", i, plan.contracts[i].fallback);
  }
}

/// The same partition with one head per chunk in every group that has heads.
Partition OneHeadEach(const Partition& partition) {
  Partition small = partition;
  small.heads = 0;
  small.chunk_of_head.clear();
  for (HeadGroup& group : small.groups) {
    std::set<int> chunks;
    for (const int head : group.heads) {
      chunks.insert(partition.chunk_of_head.empty() ? 0 : partition.chunk_of_head[head]);
    }
    group.heads.clear();
    for (const int chunk : chunks) {
      group.heads.push_back(small.heads++);
      if (!partition.chunk_of_head.empty()) small.chunk_of_head.push_back(chunk);
    }
  }
  return small;
}

/// A nearly empty mask: one column per row, and none in every third row.
BlockMask Diagonal(int rows, int cols) {
  BlockMask mask(rows, cols);
  for (int i = 0; i < rows; ++i) {
    if (i % 3 != 2) mask.Set(i, static_cast<int>(static_cast<std::int64_t>(i) * cols / rows));
  }
  return mask;
}

/// Hash of a partition.
std::size_t KeyOf(const Partition& partition) {
  std::size_t key = partition.groups.size();
  const auto add = [&](const std::vector<int>& values) {
    for (const int value : values) key = key * 1099511628211U + static_cast<std::size_t>(value);
  };
  for (const HeadGroup& group : partition.groups) {
    add(group.ranks);
    add(group.row_owner);
    add(group.col_owner);
  }
  return key;
}

/// What the lists of a strategy depend on beside its partition: the exchange, and the grid of ranks
/// where the two rounds of dbsp use it.
struct ListRule {
  Exchange exchange = Exchange::kAllToAll;
  int ulysses = 0;
  int ring = 0;
  auto operator<=>(const ListRule&) const = default;
};

ListRule RuleOf(const Strategy& strategy) {
  const bool grid = strategy.family == Family::kDbsp && strategy.exchange == Exchange::kRing;
  return {strategy.exchange, grid ? strategy.ulysses_degree : 0, grid ? strategy.ring_degree : 0};
}

/// Refuses a plan whose check would not end in reasonable time and memory, such as one of thousands
/// of partitions for thousands of ranks.
class WorkBudget {
 public:
  WorkBudget(const std::string& origin, const AttentionShape& shape)
      : origin_(origin), rows_(shape.q_blocks()), cols_(shape.k_blocks()) {}

  void Take(std::size_t strategy, const Partition& partition) {
    const double ranks = partition.ranks;
    const double lists = 2.0 * (1 + static_cast<double>(partition.chunk_of_head.size()));
    const double places = (rows_ + cols_) * (partition.heads + 1) * (1 + ranks / 64);
    const double work = lists * (ranks * ranks + places) + rows_ * cols_ / 32;
    left_ -= work;
    if (work <= kMost && left_ >= 0) return;
    Fail(ErrorCode::kInvalidArgument,
         "{}: key 'strategies[{}]': this plan is too large to check: {} ranks, {} x {} blocks; "
         "expected fewer ranks, larger blocks or fewer partitions",
         origin_,
         strategy,
         partition.ranks,
         rows_,
         cols_);
  }

 private:
  static constexpr double kMost = 1LL << 27;  ///< of one strategy: some gigabytes
  const std::string& origin_;
  double rows_;
  double cols_;
  double left_ = 1LL << 34;  ///< of all strategies
};

Status CheckStrategy(const Plan& plan, const Strategy& strategy, const Partition& partition) {
  AttentionShape shape = plan.shape;
  shape.heads = partition.heads;
  const HomeLayout home = MakeHomeLayout(shape, partition.ranks);
  std::vector<BlockMask> tried{BlockMask::Full(shape.q_blocks(), shape.k_blocks())};
  if (strategy.exchange == Exchange::kNeeded) {
    tried.push_back(Diagonal(shape.q_blocks(), shape.k_blocks()));
  }
  for (BlockMask& mask : tried) {
    LayerMasks masks;
    masks.head.assign(shape.heads, std::make_shared<BlockMask>(std::move(mask)));
    try {
      Status lists =
          CheckSchedule(shape, masks, home, BuildSchedule(shape, masks, partition, strategy, home));
      if (!lists.ok()) return lists;
    } catch (const Error& error) {
      return Status(error.what());
    }
  }
  return {};
}

}  // namespace

void ValidatePlan(const Plan& plan, const std::string& origin, ErrorCode code) {
  CheckPlan(plan, origin, code);
  CheckCells(plan, origin, code);
  CheckLayouts(plan, origin, code);
  // Partitions that differ only in their heads are equal once one head stands for its group. A plan
  // of whole heads has thousands of partitions, which then become one.
  std::set<std::pair<int, ListRule>> seen;  // by index of the partition
  std::multimap<std::size_t, std::pair<ListRule, Partition>> checked;
  WorkBudget budget(origin, plan.shape);
  for (std::size_t i = 0; i < plan.strategies.size(); ++i) {
    const Strategy& strategy = plan.strategies[i];
    const ListRule rule = RuleOf(strategy);
    if (!seen.insert({strategy.partition, rule}).second) continue;
    Partition small = OneHeadEach(plan.partitions[strategy.partition]);
    const std::size_t key = KeyOf(small);
    const auto [first, last] = checked.equal_range(key);
    const bool known = std::any_of(first, last, [&](const auto& entry) {
      return entry.second.first == rule && entry.second.second == small;
    });
    if (known) continue;
    budget.Take(i, small);
    if (const Status lists = CheckStrategy(plan, strategy, small); !lists.ok()) {
      Fail(code, "{}: key 'strategies[{}]': {}", origin, i, lists.message());
    }
    checked.emplace(key, std::pair(rule, std::move(small)));
  }
}

}  // namespace dbsp::planner
