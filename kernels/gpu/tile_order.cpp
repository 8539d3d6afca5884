// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/tile_order.h"

#include <algorithm>
#include <cstddef>

#include "core/error.h"

namespace dbsp::kernels::gpu {

int WeightClass(std::int64_t weight) {
  // Multiplication instead of log() gives the same result on every machine.
  int result = 0;
  for (double bound = 1.5; bound <= static_cast<double>(weight); bound *= 1.5) ++result;
  return result;
}

std::vector<std::int32_t> TileOrder(std::span<const std::int32_t> begin, int q_blocks, int group) {
  if (begin.empty() || q_blocks < 1 || group < 1 ||
      (begin.size() - 1) % static_cast<std::size_t>(q_blocks) != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "tile order: {} list bounds with {} query blocks a head in groups of {}; expected a "
         "multiple of the query blocks plus 1 bounds and groups of at least 1",
         begin.size(),
         q_blocks,
         group);
  }
  if (const auto at = std::is_sorted_until(begin.begin(), begin.end()); at != begin.end()) {
    Fail(ErrorCode::kInvalidArgument,
         "tile order: list bound {} is {}, below the one before it; bounds ascend",
         at - begin.begin(),
         *at);
  }
  const auto tiles = static_cast<std::int64_t>(begin.size()) - 1;
  std::vector<std::vector<std::int32_t>> classes;
  for (std::int64_t head = 0; head < tiles; head += q_blocks) {
    for (int block = 0; block < q_blocks; block += group) {
      const std::int64_t first = head + block;
      const std::int64_t last = head + std::min(block + group, q_blocks);
      // The warpgroups of a thread block share the tensor cores, so the weight is the sum of all
      // lists.
      const std::int64_t weight = begin[last] - begin[first];
      if (weight == 0) continue;
      const auto number = static_cast<std::size_t>(WeightClass(weight));
      if (classes.size() <= number) classes.resize(number + 1);
      classes[number].push_back(static_cast<std::int32_t>(first));
    }
  }
  std::vector<std::int32_t> order;
  for (auto bucket = classes.rbegin(); bucket != classes.rend(); ++bucket) {
    order.insert(order.end(), bucket->begin(), bucket->end());
  }
  return order;
}

}  // namespace dbsp::kernels::gpu
