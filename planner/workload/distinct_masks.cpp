// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/distinct_masks.h"

#include <unordered_map>

#include "core/error.h"

namespace dbsp::planner {

std::vector<DistinctMask> DistinctMasks(const LayerMasks& masks) {
  std::vector<DistinctMask> distinct;
  std::unordered_map<const BlockMask*, std::size_t> index;
  for (int h = 0; h < masks.heads(); ++h) {
    const BlockMask* mask = masks.head[h].get();
    if (mask == nullptr) Fail(ErrorCode::kInvalidArgument, "head {} has no mask", h);
    const auto [at, fresh] = index.try_emplace(mask, distinct.size());
    if (fresh) distinct.push_back({mask, {}});
    distinct[at->second].heads.push_back(h);
  }
  for (const DistinctMask& entry : distinct) {
    if (entry.mask->rows() != distinct.front().mask->rows() ||
        entry.mask->cols() != distinct.front().mask->cols()) {
      Fail(ErrorCode::kInvalidArgument,
           "head {} has {} x {} blocks, head 0 has {} x {}",
           entry.heads.front(),
           entry.mask->rows(),
           entry.mask->cols(),
           distinct.front().mask->rows(),
           distinct.front().mask->cols());
    }
  }
  return distinct;
}

}  // namespace dbsp::planner
