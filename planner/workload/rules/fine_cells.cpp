// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/fine_cells.h"

#include "core/error.h"

namespace dbsp::planner {

void FineCell::Add(const BlockMask& mask, int queries, BlockSize block) {
  fine.Add(mask, queries);
  active_blocks.push_back(BlocksOfFine(mask, queries, block).Count());
}

void FineCell::Add(const FineMasks& masks, BlockSize block) {
  std::map<const BlockMask*, FineCell> counted;
  for (const BlockMaskPtr& mask : masks.bits.head) {
    const auto [found, first] = counted.try_emplace(mask.get());
    FineCell& one = found->second;
    if (first) one.Add(*mask, masks.queries, block);
    fine.Add(one.fine);
    active_blocks.push_back(one.active_blocks.front());
  }
}

std::shared_ptr<const FineCell> FineCells::Get(const std::string& key,
                                               const std::function<FineCell()>& make) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = cells_.find(key);
    if (found != cells_.end()) return found->second;
  }
  auto cell = std::make_shared<const FineCell>(make());
  const std::lock_guard lock(mutex_);
  return cells_.emplace(key, std::move(cell)).first->second;
}

int ParseQueries(const std::string& rule, const std::string& text) {
  for (const int queries : kListQueries) {
    if (text == std::to_string(queries)) return queries;
  }
  Fail(
      ErrorCode::kInvalidArgument,
      "mask rule '{}': option queries: expected {} or {}, the queries per list of keys that gather "
      "kernels take, found '{}'",
      rule,
      kListQueries[0],
      kListQueries[1],
      text);
}

void RequireFineLimit(const std::string& rule, std::int64_t tokens, int queries) {
  constexpr std::int64_t kMost = (1LL << 32) - 1;
  if ((tokens + queries - 1) / queries * tokens <= kMost) return;
  Fail(ErrorCode::kInvalidArgument,
       "mask rule '{}': {} tokens give {} lists of up to {} keys per head, at most {} keys in all; "
       "use fewer tokens or a block mask",
       rule,
       tokens,
       (tokens + queries - 1) / queries,
       tokens,
       kMost);
}

std::string DerivedNote(int queries, BlockSize block) {
  return fmt::format(
      "each head has a list of single keys per {} queries; a {}x{} block is active if a list names "
      "any key in it, and plans use these block masks",
      queries,
      block.q,
      block.k);
}

}  // namespace dbsp::planner
