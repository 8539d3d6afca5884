// SPDX-License-Identifier: Apache-2.0
// Block lists of synthetic attention trials, a function of the configuration alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/records.h"

namespace dbsp::profiler {

/// Key block lists of every (head, query block), heads outermost, in the form the kernels take.
struct BlockLists {
  std::vector<std::int64_t> begin;  ///< [heads * q_blocks + 1] into list
  std::vector<int> list;  ///< ascending within a row
};

/// Names: "dense", "uniform" (rows alike, random columns), "skewed" (row i keeps in proportion to
/// i, random columns), "band" (rows alike, columns round the diagonal).
[[nodiscard]] std::vector<std::string> PatternNames();

/// A configuration with active_blocks and active_rows filled in for `density` of its blocks.
/// requires heads, q_blocks, k_blocks >= 1, 0 <= density <= 1
[[nodiscard]] AttentionConfig WithDensity(AttentionConfig config, double density);

/// Lists with exactly config.active_blocks blocks. The same configuration gives the same lists.
/// errors  Error{kInvalidArgument} for an unknown pattern, or more blocks than there are
[[nodiscard]] BlockLists MakeLists(const AttentionConfig& config);

}  // namespace dbsp::profiler
