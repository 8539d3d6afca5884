// SPDX-License-Identifier: Apache-2.0
// Numbers in .csv files. Every error names file, line and column.
#pragma once

#include <filesystem>

#include "core/arrays/array.h"

namespace dbsp {

/// A sparsity profile: header `Step,Layer,Head,Sparsity`, one row per head of a complete grid, in
/// any order. Step counts from 1, Layer and Head from 0. Despite its name the last column is the
/// density: the fraction of active blocks, 0 to 1.
/// returns  f8 [steps, layers, heads]
/// errors   Error{kCorruptInput} "FILE: line L, column C: ..." for a malformed number, a cell that
///          appears twice, or a missing cell; Error{kNotFound, kIo}
[[nodiscard]] Array ReadSparsityCsv(const std::filesystem::path& path);

/// Any table of numbers. A first line with a field that is not a number is a heading and is
/// skipped. returns  f8 [rows, columns] errors   Error{kCorruptInput} for rows of unequal length,
/// no rows, or a field that is not a
///          finite number; Error{kNotFound, kIo}
[[nodiscard]] Array ReadNumericCsv(const std::filesystem::path& path);

/// Whether the first line is the heading ReadSparsityCsv expects.
[[nodiscard]] bool IsSparsityCsv(const std::filesystem::path& path);

}  // namespace dbsp
