// SPDX-License-Identifier: Apache-2.0
// Block masks from array files, in the layouts that sparse-attention codes write.
//
//   dense     [.., Q, K], or [.., S, S] with one element per pair of tokens; 0 = inactive, 1 or
//             255 = active (ValueRule: other values)
//   BSR       indptr [.., Q + 1] and indices [nnz] or [.., n]: indptr continues over all masks or
//             starts at 0 for each
//   LUT       lut [.., Q, n] whose rows hold a first column and then differences, and counts
//             valid_block_num [.., Q]
//   indices   kv_num_blocks [.., Q] and kv_indices [.., Q, n] (FlexAttention): columns in any order
//   ragged    lut_start, lut_count [.., Q] or [B H Q], and kv_block_indices [nnz] (AITER)
//   ranges    q_ranges, k_ranges [n, 2] of tokens, attn_type_map [n] (MagiAttention)
//   variable  block_mask_map [.., q, k], block_row_sz [.., q], block_col_sz [.., k] (FlashInfer)
//   packed    mask_bits u1 [.., Q, ceil(K / 8)], the low bit first; with mask_index [..] they are
//             [N, Q, ceil(K / 8)]
//
// mask_names.h finds the arrays, and mask_axes.h resolves the dimensions before Q.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "core/block_mask.h"
#include "planner/workload/mask_array_options.h"
#include "planner/workload/mask_axes.h"
#include "planner/workload/mask_names.h"

namespace dbsp {

/// Which masks of a file to read. An axis of size 1 holds for every index.
struct MaskIndex {
  std::int64_t time = 0;  ///< entry over the steps (TimeOfStep)
  std::int64_t layer = 0;
  std::int64_t pass = 0;
  std::int64_t batch = 0;
};

class MaskReader;

/// Masks of a file, read for one index at a time.
/// threads  const members are safe concurrently
class MaskArrayFile {
 public:
  /// Opens the file and checks its shapes.
  /// errors   those of FindMaskArrays, ResolveAxes and ArrayFile; Error{kMismatch} with expected
  ///          and found sizes; Error{kInvalidArgument} for options that the layout does not have
  MaskArrayFile(const std::filesystem::path& path,
                const MaskArrayOptions& options,
                const MaskArraySizes& sizes);
  ~MaskArrayFile();
  MaskArrayFile(MaskArrayFile&&) noexcept;
  MaskArrayFile& operator=(MaskArrayFile&&) noexcept;

  [[nodiscard]] MaskLayout layout() const;
  [[nodiscard]] const MaskAxes& axes() const;
  /// How a table with counts is read; kByName for other layouts.
  [[nodiscard]] TableCode table() const;

  /// Masks of all heads. Equal masks are one object.
  /// errors   Error{kInvalidArgument} for an index outside the axes; Error{kCorruptInput} for an
  ///          element that is no element of a mask, a column that is out of range or appears twice,
  ///          or counts that do not fit
  [[nodiscard]] LayerMasks Read(const MaskIndex& index) const;
  /// Reads every mask of the file that has not been read, so that later reads do not fail. errors
  /// as Read
  void CheckAll() const;
  /// Arrays, types, values and axes, one sentence per line. Calls CheckAll().
  [[nodiscard]] std::vector<std::string> Describe() const;

 private:
  std::unique_ptr<MaskReader> reader_;
};

}  // namespace dbsp
