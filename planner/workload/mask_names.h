// SPDX-License-Identifier: Apache-2.0
// Finds the arrays of one mask in a file by their names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/arrays/array.h"

namespace dbsp {

enum class MaskLayout : std::uint8_t {
  kDense,  ///< one element per block
  kBsr,  ///< row pointers and columns
  kLut,  ///< counts and steps from column to column (SpargeAttn)
  kIndices,  ///< counts and columns (FlexAttention)
  kRagged,  ///< starts and counts in one list of columns (AITER)
  kRanges,  ///< ranges of query and key tokens (MagiAttention)
  kVariable,  ///< one element per block of variable size (FlashInfer, Sparse-VideoGen 2)
  kPacked  ///< eight blocks per byte
};

/// Words for messages.
[[nodiscard]] const char* NameOf(MaskLayout layout);

/// The arrays of one mask.
struct MaskArrays {
  MaskLayout layout = MaskLayout::kDense;
  /// Dense: one array, or one per entry of `grid`. kBsr, kLut, kIndices: the pointers or counts,
  /// then the columns; kIndices may have a second pair, whose blocks are active too. kRagged:
  /// starts, counts, columns. kRanges: of queries, of keys, and often the types. kVariable: the
  /// mask, sizes of rows, sizes of columns. kPacked: the bits, and often the number of the mask of
  /// each place.
  std::vector<std::string> names;
  std::string shown;  ///< name in messages and for option `name`
  /// kLut, kIndices: names of each entry of `grid`, and of a mask without one.
  std::size_t parts = 1;
  bool by_columns = false;  ///< kIndices: lists of the rows of each column
  std::vector<std::int64_t> grid = {};  ///< sizes of the axes that the names number, often none
  std::string values =
      {};  ///< kBsr: array of the elements, which must all be active; "" without it
  std::string tiles = {};  ///< kIndices: array of the valid tokens of each tile; "" without it
  bool tuple = false;  ///< kLut, kIndices: found by the places in a tuple, not by names
};

/// `name` is that of an array, of a pair (with or without the ending that tells its part) or of a
/// numbered series ("layers.*"). "" if the file has one mask.
/// errors  Error{kInvalidArgument} if several masks are possible, with their names, or if the name
///         is one part of a layout whose other part is missing; Error{kNotFound} for an unknown
///         name; Error{kCorruptInput} for an array that cannot be read
[[nodiscard]] MaskArrays FindMaskArrays(const std::filesystem::path& path, const std::string& name);

}  // namespace dbsp
