// SPDX-License-Identifier: Apache-2.0
// Active blocks or densities per (step, layer, head), as measured elsewhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/shape.h"
#include "planner/workload/rules/rule.h"

namespace dbsp::planner {

/// Active blocks of every head: counts[(step * layers + layer) * heads + head], for masks of
/// shape.q_blocks() x shape.k_blocks(). Cells that a file lacks because they are dense have all.
using DensityCounts = std::vector<std::uint32_t>;

/// Reads a profile with the columns Step, Layer, Head and Sparsity in any order. Steps count from
/// 1, layers and heads from 0. The column named Sparsity holds the density, the fraction of active
/// blocks (SVOO's convention). Only cells of context.dense may be missing.
/// errors  Error{kCorruptInput} with file, line and column; Error{kMismatch} if the sizes are not
///         the model's
[[nodiscard]] DensityCounts DensityFromCsv(const std::string& text,
                                           const std::string& origin,
                                           const RuleContext& context);

/// Reads a log of JSON lines {"timestep", "layer", "density": [batch][heads], ...}
/// (Sparse-VideoGen 2's --logging_file) with densities. The distinct timesteps in the order of
/// appearance are the steps. The log has no lines for dense cells, so its first step is the first
/// one after context.dense.steps if it has that many steps fewer than the model. The n-th list of a
/// (timestep, layer), over all its lines, is guidance pass n. `pass` chooses one. Other keys are
/// ignored.
/// errors  as DensityFromCsv, with file, line and key
[[nodiscard]] DensityCounts DensityFromJsonLines(const std::string& text,
                                                 const std::string& origin,
                                                 std::int64_t pass,
                                                 const RuleContext& context);

/// Reads a .npy of shape [steps, layers, heads]. Integers are counts of active blocks out of
/// `total` (0 = the blocks of the workload); floats are densities from 0 to 1.
/// errors  as DensityFromCsv; Error{kCorruptInput} with the index of a bad value
[[nodiscard]] DensityCounts DensityFromArray(const std::filesystem::path& path,
                                             std::int64_t total,
                                             const RuleContext& context);

}  // namespace dbsp::planner
