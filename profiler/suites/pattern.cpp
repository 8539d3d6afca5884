// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/pattern.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <random>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::profiler {
namespace {

constexpr std::string_view kRuns = "runs";

/// N of "runsN"; 1 for other patterns. Nothing for a number that no pattern has.
std::optional<int> RunLength(std::string_view pattern) {
  if (!pattern.starts_with(kRuns)) return 1;
  const std::string_view digits = pattern.substr(kRuns.size());
  int length = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (problem != std::errc() || end != digits.data() + digits.size() || length < 2) {
    return std::nullopt;
  }
  return length;
}

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

/// How `count` columns of a row are grouped. `count` runs of one column are single columns.
struct Grouping {
  std::int64_t runs = 0;
  std::int64_t free = 0;  ///< columns between the runs and at both ends that are placed freely
  bool apart = false;  ///< a column that is not listed follows every run but the last
};
Grouping GroupingOf(std::int64_t count, int length, int columns) {
  Grouping grouping{.runs = (count + length - 1) / length, .free = columns - count};
  grouping.apart = length > 1 && grouping.free >= grouping.runs - 1;
  if (grouping.apart && grouping.runs > 0) grouping.free -= grouping.runs - 1;
  return grouping;
}

/// Expected number of runs of successive columns in a row of `count` columns. A group begins a run
/// if a free column or the beginning of the row is before it.
double ExpectedRuns(std::int64_t count, const AttentionConfig& config) {
  if (count == 0) return 0;
  if (config.pattern == "dense" || config.pattern == "band") return 1;
  const Grouping g = GroupingOf(count, RunLength(config.pattern).value_or(1), config.k_blocks);
  const auto runs = static_cast<double>(g.runs);
  const auto free = static_cast<double>(g.free);
  return g.apart ? runs : runs * (free + 1) / (runs + free);
}

ListStatistics StatisticsOf(const std::vector<int>& counts, const AttentionConfig& config) {
  ListStatistics statistics{.step = config.lists->step};
  double runs = 0;
  for (const int count : counts) {
    statistics.padded_keys += PaddedTo(count, statistics.step);
    statistics.max_keys = std::max<std::int64_t>(statistics.max_keys, count);
    runs += ExpectedRuns(count, config);
  }
  statistics.runs = std::llround(runs);
  return statistics;
}

/// Draws a row by selection sampling, which keeps the order: the next place is a group with
/// probability groups left / places left.
void AppendRandom(int count,
                  int length,
                  const AttentionConfig& config,
                  std::mt19937_64& random,
                  std::vector<int>& list) {
  const Grouping grouping = GroupingOf(count, length, config.k_blocks);
  std::int64_t needed = grouping.runs;
  std::int64_t left = grouping.runs + grouping.free;
  int column = 0;
  for (int listed = 0; needed > 0; --left) {
    if (random() % static_cast<std::uint64_t>(left) >= static_cast<std::uint64_t>(needed)) {
      ++column;
      continue;
    }
    for (int i = 0; i < length && listed < count; ++i, ++listed) list.push_back(column++);
    --needed;
    column += grouping.apart ? 1 : 0;
  }
}

}  // namespace

std::vector<std::string> PatternNames() { return {"dense", "uniform", "skewed", "band", "runs8"}; }

AttentionConfig WithDensity(AttentionConfig config, double density) {
  const auto blocks = static_cast<double>(BlocksOf(config));
  config.active_blocks =
      config.pattern == "dense" ? BlocksOf(config) : std::llround(density * blocks);
  const auto counts = RowCounts(config);
  config.active_rows = std::count_if(counts.begin(), counts.end(), [](int n) { return n > 0; });
  if (config.lists) config.lists = StatisticsOf(counts, config);
  return config;
}

BlockLists MakeLists(const AttentionConfig& config) {
  const auto names = PatternNames();
  const std::optional<int> length = RunLength(config.pattern);
  const bool known = std::find(names.begin(), names.end(), config.pattern) != names.end() ||
                     length.value_or(1) > 1;
  if (!known) {
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
      AppendRandom(count, *length, config, random, lists.list);
    }
    lists.begin.push_back(static_cast<std::int64_t>(lists.list.size()));
    ++row;
  }
  return lists;
}

}  // namespace dbsp::profiler
