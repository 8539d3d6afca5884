// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
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

/// Whether the lists of two strategies follow the same rule.
bool SameRules(const Strategy& a, const Strategy& b) {
  return a.family == b.family && a.ulysses_degree == b.ulysses_degree &&
         a.ring_degree == b.ring_degree && a.exchange == b.exchange && a.chunks == b.chunks &&
         a.layout == b.layout && a.cfg_degree == b.cfg_degree;
}

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
  std::multimap<std::size_t, std::pair<std::size_t, Partition>> checked;
  for (std::size_t i = 0; i < plan.strategies.size(); ++i) {
    const Strategy& strategy = plan.strategies[i];
    Partition small = OneHeadEach(plan.partitions[strategy.partition]);
    const std::size_t key = KeyOf(small);
    const auto [first, last] = checked.equal_range(key);
    const bool seen = std::any_of(first, last, [&](const auto& entry) {
      return SameRules(plan.strategies[entry.second.first], strategy) &&
             entry.second.second == small;
    });
    if (seen) continue;
    if (const Status lists = CheckStrategy(plan, strategy, small); !lists.ok()) {
      Fail(code, "{}: key 'strategies[{}]': {}", origin, i, lists.message());
    }
    checked.emplace(key, std::pair(i, std::move(small)));
  }
}

}  // namespace dbsp::planner
