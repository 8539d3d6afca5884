// SPDX-License-Identifier: Apache-2.0
// Reads the masks of one file in every layout. Its sources are mask_reader.cpp (shapes, axes,
// elements), mask_lists.cpp (lists of columns) and mask_regions.cpp (tokens and bits).
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/arrays/array.h"
#include "core/block_mask.h"
#include "core/error.h"
#include "planner/workload/mask_array_options.h"
#include "planner/workload/mask_axes.h"
#include "planner/workload/mask_names.h"
#include "planner/workload/mask_values.h"

namespace dbsp {

/// The state of a MaskArrayFile, which documents errors and threads.
class MaskReader {
 public:
  /// Opens the file and checks its shapes.
  MaskReader(const std::filesystem::path& path,
             const MaskArrayOptions& options,
             MaskArraySizes wanted);

  // mask_reader.cpp
  void CheckOptions(const MaskArrayOptions& options) const;
  void CheckShapes(const AxesRequest& request);
  /// Sizes of the axes that the shape of the first array has.
  [[nodiscard]] std::vector<std::int64_t> Leading();
  [[nodiscard]] std::string SizeAdvice(std::int64_t rows, std::int64_t wide) const;
  void ReadDense(std::span<const std::int64_t> index, BlockMask& mask) const;
  [[nodiscard]] BlockMask One(std::span<const std::int64_t> index) const;
  [[nodiscard]] std::int64_t Flat(std::span<const std::int64_t> index) const;
  /// The first file of a mask: the index of its entry of arrays.grid says which.
  [[nodiscard]] std::size_t FirstFile(std::span<const std::int64_t> index) const;
  /// Index of the mask after `index`; false behind the last one.
  [[nodiscard]] bool Next(std::vector<std::int64_t>& index) const;

  // mask_lists.cpp
  void CheckSecond(std::size_t at) const;
  void DecideTable();
  void LoadPointers(const std::filesystem::path& path);
  void CheckPadding(std::int64_t total, bool restarted);
  void LoadTiles(const std::filesystem::path& path);
  void LoadStarts();
  void CheckKey(const std::string& name,
                std::span<const std::int64_t> index,
                int row,
                std::int64_t key,
                std::int64_t previous) const;
  void ReadBsr(std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadLists(std::size_t at, std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadRagged(std::span<const std::int64_t> index, BlockMask& mask) const;
  [[nodiscard]] std::int64_t CountAt(const Array& counted,
                                     std::int64_t at,
                                     std::int64_t most,
                                     const std::string& name) const;

  // mask_regions.cpp
  void CheckRanges() const;
  void CheckVariable() const;
  void CheckPacked() const;
  void ReadTokens(std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadRanges(BlockMask& mask) const;
  void ReadVariable(std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadPacked(std::span<const std::int64_t> index, BlockMask& mask) const;
  [[nodiscard]] std::vector<std::int64_t> EndsOf(const ArrayFile& file,
                                                 std::span<const std::int64_t> index) const;

  [[nodiscard]] std::string Subject(std::size_t file) const;
  /// What a column is, for messages.
  [[nodiscard]] const char* Unit() const { return single_keys ? "key" : "block"; }

  /// Expected [rows, cols] of an array whose shape is wrong.
  [[noreturn]] void WrongShape(std::size_t file, const std::string& expected) const;

  template <typename... Args>
  [[noreturn]] void Corrupt(const std::string& name,
                            fmt::format_string<Args...> format,
                            Args&&... args) const {
    Fail(ErrorCode::kCorruptInput,
         "{}: array '{}': {}",
         origin,
         name,
         fmt::format(format, std::forward<Args>(args)...));
  }

  std::string origin;
  MaskArrays arrays;
  std::vector<ArrayFile> files;  ///< of arrays.names
  MaskArraySizes sizes;
  int lists;  ///< lists of an index layout: rows, or columns if arrays.by_columns
  int items;  ///< what a list names: columns, or rows
  TableCode table;
  BitOrder packed;
  bool single_keys;  ///< columns are single keys
  bool one_list_of_pointers = false;  ///< kBsr: [masks * rows + 1], not [masks, rows + 1]
  bool token_pairs = false;  ///< kDense: one element per pair of tokens
  mutable MaskValues values;
  MaskAxes axes;
  std::unique_ptr<std::atomic<bool>[]> read;  ///< [mask] set once it has been read
  Array pointers;  ///< kBsr: all of indptr; kRagged: all starts
  Array list_counts;  ///< kRagged: all counts
  std::vector<std::int64_t> bases;  ///< BSR: first index of each mask
  std::int64_t unused_indices = 0;  ///< BSR: indices behind the last pointer
  std::string note;  ///< what was assumed, one sentence, "" without any
};

}  // namespace dbsp
