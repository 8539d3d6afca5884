// SPDX-License-Identifier: Apache-2.0
#include "replay/copy_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace dbsp::replay {
namespace {

const std::vector<planner::BlockItem>& ItemsOf(const planner::ExchangeRound& round,
                                               int ranks,
                                               int src,
                                               int dst) {
  return round.items.at(static_cast<std::size_t>(src) * ranks + dst);
}

bool OfQueries(planner::Tensor tensor) {
  return tensor == planner::Tensor::kQ || tensor == planner::Tensor::kO;
}

}  // namespace

void BlockOffsets::Sort() { std::sort(offsets_.begin(), offsets_.end()); }

std::int64_t BlockOffsets::Find(const planner::BlockItem& item, const char* what, int rank) const {
  const auto found = std::lower_bound(
      offsets_.begin(),
      offsets_.end(),
      item,
      [](const auto& entry, const planner::BlockItem& wanted) { return entry.first < wanted; });
  if (found == offsets_.end() || found->first != item) {
    Fail(ErrorCode::kInternal,
         "rank {}: the schedule {} {}, which is not in its memory",
         rank,
         what,
         Describe(item));
  }
  return found->second;
}

std::int64_t CopyPlan::Total(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::int64_t TokensOf(std::span<const kernels::CopyItem> items) {
  std::int64_t tokens = 0;
  for (const kernels::CopyItem& item : items) tokens += item.tokens;
  return tokens;
}

int TokensOf(const AttentionShape& shape, const planner::BlockItem& item) {
  return OfQueries(item.tensor) ? shape.q_tokens(item.block) : shape.k_tokens(item.block);
}

std::int64_t FirstTokenOf(const AttentionShape& shape, const planner::BlockItem& item) {
  return static_cast<std::int64_t>(item.block) *
         (OfQueries(item.tensor) ? shape.block.q : shape.block.k);
}

std::string Describe(const planner::BlockItem& item) {
  constexpr const char* kNames[] = {"Q", "K", "V", "O"};
  return fmt::format(
      "{} of head {}, block {}", kNames[static_cast<int>(item.tensor)], item.head, item.block);
}

BlockOffsets PackedOffsets(const AttentionShape& shape,
                           const planner::ExchangeRound& round,
                           int ranks,
                           int rank) {
  BlockOffsets offsets;
  std::int64_t offset = 0;
  for (int src = 0; src < ranks; ++src) {
    for (const planner::BlockItem& item : ItemsOf(round, ranks, src, rank)) {
      offsets.Add(item, offset);
      offset += static_cast<std::int64_t>(TokensOf(shape, item)) * shape.head_dim;
    }
  }
  offsets.Sort();
  return offsets;
}

CopyPlan MakeCopyPlan(const AttentionShape& shape,
                      const planner::ExchangeRound& round,
                      int ranks,
                      int rank,
                      const BlockOffsets& source,
                      const BlockOffsets& target) {
  CopyPlan plan;
  std::int64_t sent = 0;
  std::int64_t received = 0;
  for (int other = 0; other < ranks; ++other) {
    plan.send_offsets.push_back(sent);
    for (const planner::BlockItem& item : ItemsOf(round, ranks, rank, other)) {
      const int tokens = TokensOf(shape, item);
      plan.pack.push_back({source.Find(item, "sends", rank), sent, tokens});
      sent += static_cast<std::int64_t>(tokens) * shape.head_dim;
    }
    plan.send_counts.push_back(sent - plan.send_offsets.back());

    plan.recv_offsets.push_back(received);
    for (const planner::BlockItem& item : ItemsOf(round, ranks, other, rank)) {
      const int tokens = TokensOf(shape, item);
      plan.unpack.push_back({received, target.Find(item, "receives", rank), tokens});
      received += static_cast<std::int64_t>(tokens) * shape.head_dim;
    }
    plan.recv_counts.push_back(received - plan.recv_offsets.back());
  }
  return plan;
}

}  // namespace dbsp::replay
