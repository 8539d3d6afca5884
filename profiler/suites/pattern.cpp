// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/pattern.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::profiler {
namespace {

std::int64_t BlocksOf(const AttentionConfig& config) {
  return static_cast<std::int64_t>(config.heads) * config.q_blocks * config.k_blocks;
}

/// Number of active blocks of each row. Cumulative rounding makes the sum exact. The excess of a
/// full row goes to the next rows, then to earlier rows.
std::vector<int> RowCounts(const AttentionConfig& config) {
  const int rows = config.heads * config.q_blocks;
  const bool skewed = config.pattern == "skewed";
  const auto weight = [&](int row) { return skewed ? row % config.q_blocks : 1; };
  double total = 0;
  for (int row = 0; row < rows; ++row) total += weight(row);
  std::vector<int> counts(rows);
  double share = 0;
  std::int64_t placed = 0;
  for (int row = 0; row < rows; ++row) {
    share += total > 0 ? weight(row) / total : 1.0 / rows;
    const auto until = std::llround(share * static_cast<double>(config.active_blocks));
    const auto want = std::clamp<std::int64_t>(until - placed, 0, config.k_blocks);
    counts[row] = static_cast<int>(want);
    placed += want;
  }
  for (auto row = counts.rbegin(); row != counts.rend(); ++row) {
    const auto more = std::min<std::int64_t>(config.active_blocks - placed, config.k_blocks - *row);
    *row += static_cast<int>(more);
    placed += more;
  }
  return counts;
}

void AppendBand(const AttentionConfig& config, int row, int count, std::vector<int>& list) {
  const std::int64_t centre =
      static_cast<std::int64_t>(row % config.q_blocks) * config.k_blocks / config.q_blocks;
  const auto first = std::clamp<std::int64_t>(centre - count / 2, 0, config.k_blocks - count);
  for (int i = 0; i < count; ++i) list.push_back(static_cast<int>(first) + i);
}

}  // namespace

std::vector<std::string> PatternNames() { return {"dense", "uniform", "skewed", "band"}; }

AttentionConfig WithDensity(AttentionConfig config, double density) {
  const auto blocks = static_cast<double>(BlocksOf(config));
  config.active_blocks =
      config.pattern == "dense" ? BlocksOf(config) : std::llround(density * blocks);
  const auto counts = RowCounts(config);
  config.active_rows = std::count_if(counts.begin(), counts.end(), [](int n) { return n > 0; });
  return config;
}

BlockLists MakeLists(const AttentionConfig& config) {
  const auto names = PatternNames();
  if (std::find(names.begin(), names.end(), config.pattern) == names.end()) {
    throw Error(ErrorCode::kInvalidArgument, UnknownName("pattern", config.pattern, names));
  }
  if (config.active_blocks < 0 || config.active_blocks > BlocksOf(config)) {
    Fail(ErrorCode::kInvalidArgument,
         "attention trial: expected 0 to {} active blocks, found {}",
         BlocksOf(config),
         config.active_blocks);
  }
  BlockLists lists;
  lists.begin.push_back(0);
  std::mt19937_64 random(config.seed);
  int row = 0;
  for (const int count : RowCounts(config)) {
    if (config.pattern == "band") {
      AppendBand(config, row, count, lists.list);
    } else {
      // Selection sampling, which keeps the order: takes a column with probability needed / left.
      int needed = count;
      for (int k = 0; k < config.k_blocks && needed > 0; ++k) {
        const auto left = static_cast<std::uint64_t>(config.k_blocks - k);
        if (random() % left < static_cast<std::uint64_t>(needed)) {
          lists.list.push_back(k);
          --needed;
        }
      }
    }
    lists.begin.push_back(static_cast<std::int64_t>(lists.list.size()));
    ++row;
  }
  return lists;
}

}  // namespace dbsp::profiler
