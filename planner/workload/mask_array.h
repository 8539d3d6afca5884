// SPDX-License-Identifier: Apache-2.0
// Block masks from array files, in the layouts that sparse-attention codes write.
//
//   dense   [T, L, H, Q, K], [B, H, Q, K], [H, Q, K] or [Q, K] (all heads); nonzero = active
//   BSR     indptr [.., Q + 1] and indices [nnz]: arrays NAME_indptr and NAME_indices, or indptr
//           and indices; indptr continues over all heads or starts at 0 for each
//   LUT     int [.., Q, K] whose rows hold a first column and then differences, and counts [.., Q]:
//           arrays lut and valid_block_num (or counts), with prefix NAME_ if the mask has a name
//
// The leading dimensions are [T, L, H], [B, H], [H] or none in each layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/arrays/array.h"
#include "core/block_mask.h"

namespace dbsp {

enum class MaskLayout : std::uint8_t { kDense, kBsr, kLut };

/// Number of masks in a file; 1 for a dimension that the file lacks.
struct MaskArrayDims {
  MaskLayout layout = MaskLayout::kDense;
  std::int64_t times = 1;  ///< T: masks over the denoising steps (TimeOfStep)
  std::int64_t layers = 1;  ///< L
  std::int64_t batches = 1;  ///< B
  std::int64_t heads = 1;  ///< H
  bool shared_by_heads = false;  ///< true without a head dimension: all heads share the mask
  bool operator==(const MaskArrayDims&) const = default;
};

/// Masks of a file, read for one (time, layer, batch) at a time.
/// threads  const members are safe concurrently
class MaskArrayFile {
 public:
  /// Opens the file and checks its shapes against `heads` masks of `q_blocks` x `k_blocks`. `name`
  /// may be empty if the file holds one mask.
  /// errors   Error{kNotFound} for an unknown name; Error{kMismatch} with expected and found sizes;
  ///          the errors of ArrayFile
  MaskArrayFile(const std::filesystem::path& path,
                const std::string& name,
                int heads,
                int q_blocks,
                int k_blocks);
  ~MaskArrayFile();
  MaskArrayFile(MaskArrayFile&&) noexcept;
  MaskArrayFile& operator=(MaskArrayFile&&) noexcept;

  [[nodiscard]] const MaskArrayDims& dims() const;

  /// Masks of all heads. Equal masks are one object.
  /// errors   Error{kInvalidArgument} for an index outside dims(); Error{kCorruptInput} for NaN,
  ///          for a column that is out of range or not ascending, or for counts that do not fit
  [[nodiscard]] LayerMasks Read(std::int64_t time,
                                std::int64_t layer,
                                std::int64_t batch = 0) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Time index of a denoising step if `times` masks cover `steps` steps: floor((step + 1) * times /
/// steps), at most times - 1 (PAROAttention's rule).
/// requires 0 <= step < steps, times >= 1
[[nodiscard]] std::int64_t TimeOfStep(int step, int steps, std::int64_t times);

}  // namespace dbsp
