// SPDX-License-Identifier: Apache-2.0
// Block lists of synthetic attention trials. They depend on the configuration only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/records.h"

namespace dbsp::profiler {

/// Key block lists of every (head, query block), heads outermost, in the kernels' format.
struct BlockLists {
  std::vector<std::int64_t> begin;  ///< [heads * q_blocks + 1] into list
  std::vector<int> list;  ///< ascending within a row
};

/// "dense"; "uniform": equal rows, random columns; "skewed": active blocks of row i proportional to
/// i, random columns; "band": equal rows, columns around the diagonal; "runs8": equal rows, runs of
/// 8 columns at random places, with a column between two runs where there is room. "runsN" is a
/// pattern for every N from 2.
[[nodiscard]] std::vector<std::string> PatternNames();

/// The configuration with active_blocks and active_rows set for `density`. With config.lists, also
/// the statistics of the lists for the same step. The number of runs is the expected one, because
/// drawing the lists of all trials of a suite would take seconds.
/// requires heads, q_blocks, k_blocks >= 1, 0 <= density <= 1
[[nodiscard]] AttentionConfig WithDensity(AttentionConfig config, double density);

/// Lists with exactly config.active_blocks blocks. The same configuration gives the same lists.
/// errors  Error{kInvalidArgument} for an unknown pattern, or more active blocks than blocks
[[nodiscard]] BlockLists MakeLists(const AttentionConfig& config);

}  // namespace dbsp::profiler
