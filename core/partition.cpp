// SPDX-License-Identifier: Apache-2.0
#include "core/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace dbsp {
namespace {

Status ValidateOwners(const std::vector<int>& owner,
                      const char* what,
                      int expected,
                      std::size_t ring,
                      std::size_t group) {
  if (owner.size() != static_cast<std::size_t>(expected)) {
    return Status(fmt::format(
        "group {}: {} has {} entries, expected {}", group, what, owner.size(), expected));
  }
  for (std::size_t i = 0; i < owner.size(); ++i) {
    if (owner[i] < 0 || static_cast<std::size_t>(owner[i]) >= ring) {
      return Status(fmt::format(
          "group {}: {}[{}] = {} is no ring index (ring of {})", group, what, i, owner[i], ring));
    }
  }
  return {};
}

Status ValidateGroup(const Partition& partition, std::size_t g, bool needs_columns) {
  const HeadGroup& group = partition.groups[g];
  if (group.ranks.empty()) return Status(fmt::format("group {} has no rank", g));
  std::vector<bool> seen(partition.ranks, false);
  for (const int rank : group.ranks) {
    if (rank < 0 || rank >= partition.ranks) {
      return Status(
          fmt::format("group {}: rank {} is out of range (ranks: {})", g, rank, partition.ranks));
    }
    if (seen[rank]) return Status(fmt::format("group {}: rank {} twice", g, rank));
    seen[rank] = true;
  }
  const bool split = group.ranks.size() > 1;
  if (split) {
    Status rows =
        ValidateOwners(group.row_owner, "row_owner", partition.q_blocks, group.ranks.size(), g);
    if (!rows.ok()) return rows;
  } else if (!group.row_owner.empty()) {
    return Status(fmt::format("group {}: row_owner given for a single rank", g));
  }
  if (split && needs_columns) {
    return ValidateOwners(group.col_owner, "col_owner", partition.k_blocks, group.ranks.size(), g);
  }
  if (!group.col_owner.empty()) {
    return Status(fmt::format("group {}: col_owner given where no ring needs it", g));
  }
  return {};
}

Status ValidateChunks(const Partition& partition) {
  const std::vector<int>& chunk = partition.chunk_of_head;
  if (chunk.empty()) return {};
  if (chunk.size() != static_cast<std::size_t>(partition.heads)) {
    return Status(
        fmt::format("chunk_of_head has {} entries, expected {}", chunk.size(), partition.heads));
  }
  std::vector<bool> used(chunk.size(), false);
  int last = 0;
  for (std::size_t h = 0; h < chunk.size(); ++h) {
    if (chunk[h] < 0 || chunk[h] >= partition.heads) {
      return Status(fmt::format("chunk_of_head[{}] = {} is out of range", h, chunk[h]));
    }
    used[chunk[h]] = true;
    last = std::max(last, chunk[h]);
  }
  for (int c = 0; c <= std::max(last, 1); ++c) {
    if (static_cast<std::size_t>(c) >= used.size() || !used[c]) {
      return Status(fmt::format("chunk {} has no head", c));
    }
  }
  return {};
}

}  // namespace

Status ValidatePartition(const Partition& partition, bool needs_columns) {
  if (partition.ranks < 1 || partition.heads < 1) {
    return Status(fmt::format("{} heads on {} ranks", partition.heads, partition.ranks));
  }
  std::vector<int> uses(partition.heads, 0);
  for (std::size_t g = 0; g < partition.groups.size(); ++g) {
    for (const int head : partition.groups[g].heads) {
      if (head < 0 || head >= partition.heads) {
        return Status(
            fmt::format("group {}: head {} is out of range (heads: {})", g, head, partition.heads));
      }
      ++uses[head];
    }
    Status status = ValidateGroup(partition, g, needs_columns);
    if (!status.ok()) return status;
  }
  for (std::size_t h = 0; h < uses.size(); ++h) {
    if (uses[h] != 1) return Status(fmt::format("head {} is in {} groups, expected 1", h, uses[h]));
  }
  return ValidateChunks(partition);
}

std::vector<std::int64_t> CeilSplit(std::int64_t items, int parts) {
  if (parts < 1 || items < 0) {
    Fail(ErrorCode::kInvalidArgument, "cannot split {} items into {} parts", items, parts);
  }
  const std::int64_t each = (items + parts - 1) / parts;
  std::vector<std::int64_t> begin(static_cast<std::size_t>(parts) + 1);
  for (int p = 0; p <= parts; ++p) {
    begin[p] = std::min(items, each * p);
  }
  return begin;
}

int HomeLayout::RankOf(std::int64_t token) const {
  const auto next = std::upper_bound(begin.begin(), begin.end(), token);
  return static_cast<int>(next - begin.begin()) - 1;
}

HomeLayout MakeHomeLayout(const AttentionShape& shape, int ranks) {
  const std::int64_t unit = std::lcm(shape.block.q, shape.block.k);
  HomeLayout home;
  home.begin = CeilSplit((shape.tokens + unit - 1) / unit, ranks);
  for (std::int64_t& begin : home.begin) begin = std::min(begin * unit, shape.tokens);
  return home;
}

}  // namespace dbsp
