// SPDX-License-Identifier: Apache-2.0
// Active blocks or kept fractions per (step, layer, head), as measured elsewhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::planner {

/// Active blocks of every head: kept[(step * layers + layer) * heads + head], for masks of
/// shape.q_blocks() x shape.k_blocks().
using DensityCounts = std::vector<std::uint32_t>;

/// A profile as text with the header "Step,Layer,Head,Sparsity": steps count from 1, layers and
/// heads from 0, and the column named Sparsity holds the kept fraction (SVOO's convention).
/// errors  Error{kCorruptInput} naming file and line; Error{kMismatch} when the grid is not the
///         model's
[[nodiscard]] DensityCounts DensityFromCsv(const std::string& text,
                                           const std::string& origin,
                                           const ModelShape& model,
                                           const AttentionShape& shape);

/// A log of JSON lines {"timestep", "layer", "density": [passes][heads], ...} (Sparse-VideoGen 2's
/// --logging_file), kept fractions; `pass` chooses the CFG pass. The distinct timesteps in order of
/// appearance are the steps; other keys are ignored.
/// errors  as DensityFromCsv, naming file, line and key
[[nodiscard]] DensityCounts DensityFromJsonLines(const std::string& text,
                                                 const std::string& origin,
                                                 std::int64_t pass,
                                                 const ModelShape& model,
                                                 const AttentionShape& shape);

/// A .npy of shape [steps, layers, heads]: integers are counts of active blocks out of `total` (0 =
/// the blocks of `shape`), floats are fractions from 0 to 1.
/// errors  as DensityFromCsv, and Error{kCorruptInput} naming the index of a bad value
[[nodiscard]] DensityCounts DensityFromArray(const std::filesystem::path& path,
                                             std::int64_t total,
                                             const ModelShape& model,
                                             const AttentionShape& shape);

}  // namespace dbsp::planner
