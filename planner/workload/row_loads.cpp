// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/row_loads.h"

#include <cmath>
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

RowLoads RowLoadsOf(const LayerMasks& masks, double row_price) {
  RowLoads loads{masks.heads(), masks.rows(), {}};
  const auto rows = static_cast<std::size_t>(loads.rows);
  loads.blocks.resize(static_cast<std::size_t>(loads.heads) * rows);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    std::vector<std::int32_t> counts = RowCounts(*entry.mask);
    for (std::int32_t& count : counts) {
      if (row_price <= 0 || count == 0) continue;
      count = static_cast<std::int32_t>(kLoadUnit * (count + row_price) + 0.5);
    }
    for (const int head : entry.heads) {
      std::ranges::copy(counts,
                        loads.blocks.begin() +
                            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(head) * rows));
    }
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
    for (const int head : group.heads) {
      for (std::size_t r = 0; r < rows; ++r) {
        const auto at = group.row_owner.empty() ? 0 : static_cast<std::size_t>(group.row_owner[r]);
        load[group.ranks[at]] += loads.At(head, r);
      }
    }
  }
  return load;
}

}  // namespace dbsp::planner
