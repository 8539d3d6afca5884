// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/row_loads.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "planner/workload/distinct_masks.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {

std::vector<std::int64_t> RowLoads::HeadTotals() const {
  std::vector<std::int64_t> totals;
  for (int h = 0; h < heads; ++h) {
    const auto begin = blocks.begin() + static_cast<std::ptrdiff_t>(h) * rows;
    totals.push_back(std::accumulate(begin, begin + rows, std::int64_t{0}));
  }
  return totals;
}

RowLoads RowLoadsOf(const LayerMasks& masks, double row_price, const LayerCounts* counts) {
  RowLoads loads{masks.heads(), masks.rows(), {}};
  const auto rows = static_cast<std::size_t>(loads.rows);
  loads.blocks.resize(static_cast<std::size_t>(loads.heads) * rows);
  const auto put = [&](std::size_t head, const std::vector<std::int32_t>& of_rows) {
    std::ranges::copy(of_rows, loads.blocks.begin() + static_cast<std::ptrdiff_t>(head * rows));
  };
  if (counts != nullptr) {
    for (std::size_t h = 0; h < masks.head.size(); ++h) {
      const BlockMask* mask = masks.head[h].get();
      put(h, row_price > 0 ? counts->PricedRows(mask, row_price) : counts->Of(mask).row_blocks);
    }
    return loads;
  }
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    std::vector<std::int32_t> of_rows = RowCounts(*entry.mask);
    for (std::int32_t& load : of_rows) load = row_price > 0 ? PricedLoad(load, row_price) : load;
    for (const int head : entry.heads) put(static_cast<std::size_t>(head), of_rows);
  }
  return loads;
}

RowLoads SpreadLoads(std::span<const std::int64_t> head_counts, int rows) {
  DBSP_CHECK(rows >= 1);
  RowLoads loads{static_cast<int>(head_counts.size()), rows, {}};
  for (const std::int64_t count : head_counts) {
    for (std::int64_t r = 0; r < rows; ++r) {
      loads.blocks.push_back(static_cast<std::int32_t>(count * (r + 1) / rows - count * r / rows));
    }
  }
  return loads;
}

std::vector<std::int64_t> RankLoads(const RowLoads& loads, const Partition& partition) {
  DBSP_CHECK(partition.heads == loads.heads && partition.q_blocks == loads.rows);
  std::vector<std::int64_t> load(partition.ranks, 0);
  const auto rows = static_cast<std::size_t>(loads.rows);
  for (const HeadGroup& group : partition.groups) {
    std::vector<std::int64_t> part(group.ranks.size(), 0);  // [ring index]
    for (const int head : group.heads) {
      const auto begin = loads.blocks.begin() + static_cast<std::ptrdiff_t>(head) * loads.rows;
      if (group.row_owner.empty()) {
        part.front() += std::accumulate(begin, begin + loads.rows, std::int64_t{0});
        continue;
      }
      for (std::size_t r = 0; r < rows; ++r) {
        part[group.row_owner[r]] += begin[static_cast<std::ptrdiff_t>(r)];
      }
    }
    for (std::size_t i = 0; i < part.size(); ++i) load[group.ranks[i]] += part[i];
  }
  return load;
}

}  // namespace dbsp::planner
