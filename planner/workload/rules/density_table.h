// SPDX-License-Identifier: Apache-2.0
// Active blocks or densities per (step, layer, head), as measured elsewhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::planner {

/// Active blocks of every head: counts[(step * layers + layer) * heads + head], for masks of
/// shape.q_blocks() x shape.k_blocks().
using DensityCounts = std::vector<std::uint32_t>;

/// Reads a profile with the header "Step,Layer,Head,Sparsity". Steps count from 1, layers and heads
/// from 0. The column named Sparsity holds the density, the fraction of active blocks (SVOO's
/// convention).
/// errors  Error{kCorruptInput} with file and line; Error{kMismatch} if the sizes are not the
///         model's
[[nodiscard]] DensityCounts DensityFromCsv(const std::string& text,
                                           const std::string& origin,
                                           const ModelShape& model,
                                           const AttentionShape& shape);

/// Reads a log of JSON lines {"timestep", "layer", "density": [passes][heads], ...}
/// (Sparse-VideoGen 2's --logging_file) with densities. `pass` chooses the guidance pass. The
/// distinct timesteps in the order of appearance are the steps. Other keys are ignored.
/// errors  as DensityFromCsv, with file, line and key
[[nodiscard]] DensityCounts DensityFromJsonLines(const std::string& text,
                                                 const std::string& origin,
                                                 std::int64_t pass,
                                                 const ModelShape& model,
                                                 const AttentionShape& shape);

/// Reads a .npy of shape [steps, layers, heads]. Integers are counts of active blocks out of
/// `total` (0 = the blocks of `shape`); floats are densities from 0 to 1.
/// errors  as DensityFromCsv; Error{kCorruptInput} with the index of a bad value
[[nodiscard]] DensityCounts DensityFromArray(const std::filesystem::path& path,
                                             std::int64_t total,
                                             const ModelShape& model,
                                             const AttentionShape& shape);

}  // namespace dbsp::planner
