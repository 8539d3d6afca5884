// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/lists.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "core/error.h"
#include "kernels/key_lists.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::gpu_check {
namespace {

/// Appends the columns of one random row in ascending order. Whole runs are listed with probability
/// `density`. The gaps between listed runs are drawn, so the cost is proportional to the result.
void AppendRandomRow(
    int cols, double density, int run, planner::Prng& prng, std::vector<std::int32_t>& list) {
  const int runs = (cols + run - 1) / run;
  const double log_kept = std::log1p(-density);
  double at = 0.0;
  for (;;) {
    // Gaps of a Bernoulli sequence are geometric.
    if (density < 1.0) at += std::floor(std::log(1.0 - prng.Uniform()) / log_kept);
    if (!(at < runs)) return;
    const int first = static_cast<int>(at) * run;
    const int last = std::min(first + run, cols);
    for (int col = first; col < last; ++col) list.push_back(col);
    at += 1.0;
  }
}

}  // namespace

Lists Full(const Blocks& blocks, int heads) {
  Lists lists;
  lists.q_blocks = blocks.rows();
  lists.list.reserve(static_cast<std::size_t>(heads) * blocks.rows() * blocks.cols());
  for (int row = 0; row < heads * blocks.rows(); ++row) {
    for (int col = 0; col < blocks.cols(); ++col) lists.list.push_back(col);
    lists.begin.push_back(static_cast<std::int32_t>(lists.list.size()));
  }
  return lists;
}

Lists Random(const Blocks& blocks, int heads, double density, int run, std::uint64_t seed) {
  Lists lists;
  lists.q_blocks = blocks.rows();
  for (int head = 0; head < heads; ++head) {
    planner::Prng prng{seed, static_cast<std::uint64_t>(head)};
    for (int row = 0; row < blocks.rows(); ++row) {
      if (density > 0.0) AppendRandomRow(blocks.cols(), density, run, prng, lists.list);
      lists.begin.push_back(static_cast<std::int32_t>(lists.list.size()));
    }
  }
  return lists;
}

Lists FromMask(const BlockMask& mask, const Blocks& blocks, int heads) {
  if (mask.rows() != blocks.rows() || mask.cols() != blocks.cols()) {
    Fail(ErrorCode::kMismatch,
         "lists: the mask has {} x {} blocks, the head has {} x {}",
         mask.rows(),
         mask.cols(),
         blocks.rows(),
         blocks.cols());
  }
  Lists lists;
  lists.q_blocks = blocks.rows();
  for (int head = 0; head < heads; ++head) {
    for (int row = 0; row < mask.rows(); ++row) {
      for (int col = 0; col < mask.cols(); ++col) {
        if (mask.Get(row, col)) lists.list.push_back(col);
      }
      lists.begin.push_back(static_cast<std::int32_t>(lists.list.size()));
    }
  }
  return lists;
}

Lists BlocksOfKeys(const Lists& keys, int k_block) {
  Lists lists;
  lists.q_blocks = keys.q_blocks;
  for (std::int64_t tile = 0; tile < keys.tiles(); ++tile) {
    std::int32_t last = -1;
    for (const std::int32_t key : keys.Tile(tile)) {
      const std::int32_t block = key / k_block;
      if (block != last) lists.list.push_back(block);
      last = block;
    }
    lists.begin.push_back(static_cast<std::int32_t>(lists.list.size()));
  }
  return lists;
}

std::int64_t ActivePairs(const Lists& lists, const Blocks& blocks) {
  std::int64_t pairs = 0;
  for (std::int64_t tile = 0; tile < lists.tiles(); ++tile) {
    const auto row = static_cast<int>(tile % lists.q_blocks);
    const int queries = std::min(blocks.q_block, blocks.q_tokens - row * blocks.q_block);
    std::int64_t keys = 0;
    for (const std::int32_t col : lists.Tile(tile)) {
      keys += std::min(blocks.k_block, blocks.k_tokens - col * blocks.k_block);
    }
    pairs += queries * keys;
  }
  return pairs;
}

namespace {

/// The first entry that does not exceed the one before it; nothing when the list ascends strictly.
std::optional<std::size_t> FirstDescent(std::span<const std::int32_t> list) {
  for (std::size_t i = 1; i < list.size(); ++i) {
    if (list[i] <= list[i - 1]) return i;
  }
  return std::nullopt;
}

/// Number of entries in the runs of kRunKeys consecutive keys with which the list begins.
std::size_t RunsAtTheFront(std::span<const std::int32_t> list) {
  constexpr std::size_t kRun = kernels::kRunKeys;
  std::size_t front = 0;
  while (front + kRun <= list.size()) {
    for (std::size_t i = 1; i < kRun; ++i) {
      if (list[front + i] != list[front] + static_cast<std::int32_t>(i)) return front;
    }
    front += kRun;
  }
  return front;
}

/// True when runs come first, both parts ascend strictly and no key is in both.
bool IsArranged(std::span<const std::int32_t> list) {
  const std::size_t front = RunsAtTheFront(list);
  const auto runs = list.first(front);
  const auto rest = list.subspan(front);
  if (FirstDescent(runs) || FirstDescent(rest)) return false;
  std::vector<std::int32_t> both;
  std::ranges::set_intersection(runs, rest, std::back_inserter(both));
  return both.empty();
}

}  // namespace

void RequireAscending(const Lists& lists, bool keys) {
  for (std::int64_t tile = 0; tile < lists.tiles(); ++tile) {
    const auto list = lists.Tile(tile);
    const auto at = FirstDescent(list);
    if (!list.empty() && list.front() < 0) {
      Fail(ErrorCode::kInternal, "lists: entry 0 of tile {} is {}", tile, list.front());
    }
    if (!at || (keys && IsArranged(list))) continue;
    Fail(ErrorCode::kInternal,
         "lists: entry {} of tile {} is {} after {}; the entries of a tile must ascend strictly",
         *at,
         tile,
         list[*at],
         list[*at - 1]);
  }
}

Array DenseMask(const Lists& lists, int k_blocks) {
  Array mask =
      MakeArray(ArrayType::kU1, {lists.tiles() / lists.q_blocks, lists.q_blocks, k_blocks});
  for (std::int64_t tile = 0; tile < lists.tiles(); ++tile) {
    for (const std::int32_t col : lists.Tile(tile)) {
      mask.bytes[tile * k_blocks + col] = 1;
    }
  }
  return mask;
}

}  // namespace dbsp::gpu_check
