// SPDX-License-Identifier: Apache-2.0
// Block masks out of array files, in every layout that sparse-attention codes write.
//
//   dense   [T, L, H, Q, K], [B, H, Q, K], [H, Q, K] or [Q, K] (all heads); not zero = kept
//   BSR     indptr [.., Q + 1] and indices [nnz]: arrays NAME_indptr and NAME_indices, or indptr
//           and indices; indptr counts on from head to head or starts at 0 in each
//   LUT     int [.., Q, K] whose rows hold a first column and then differences, and counts [.., Q]:
//           arrays lut and valid_block_num (or counts), with a prefix NAME_ where named
// The leading dimensions are [T, L, H], [B, H], [H] or none in each of the three.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/arrays/array.h"
#include "core/block_mask.h"

namespace dbsp {

enum class MaskLayout : std::uint8_t { kDense, kBsr, kLut };

/// How many masks a file holds; 1 where the file lacks the dimension.
struct MaskArrayDims {
  MaskLayout layout = MaskLayout::kDense;
  std::int64_t times = 1;  ///< T: plans over the denoising steps (TimeOfStep)
  std::int64_t layers = 1;  ///< L
  std::int64_t batches = 1;  ///< B
  std::int64_t heads = 1;  ///< H
  bool shared_by_heads = false;  ///< no head dimension: the mask holds for every head
  bool operator==(const MaskArrayDims&) const = default;
};

/// Masks of a file, read one (time, layer, batch) at a time.
/// threads  const members are safe concurrently
class MaskArrayFile {
 public:
  /// Opens the file and checks its shapes against `heads` masks of `q_blocks` x `k_blocks`.
  /// `name` may be empty where the file holds one mask (in any of the layouts).
  /// errors   Error{kNotFound} for an unknown name, Error{kMismatch} naming expected and found
  ///          sizes, and the errors of ArrayFile
  MaskArrayFile(const std::filesystem::path& path,
                const std::string& name,
                int heads,
                int q_blocks,
                int k_blocks);
  ~MaskArrayFile();
  MaskArrayFile(MaskArrayFile&&) noexcept;
  MaskArrayFile& operator=(MaskArrayFile&&) noexcept;

  [[nodiscard]] const MaskArrayDims& dims() const;

  /// Masks of all heads; equal masks are one object.
  /// errors   Error{kInvalidArgument} for an index outside dims(); Error{kCorruptInput} for NaN, a
  ///          column out of range or not ascending, or counts that do not fit
  [[nodiscard]] LayerMasks Read(std::int64_t time,
                                std::int64_t layer,
                                std::int64_t batch = 0) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Index of the plan that serves a denoising step when `times` plans cover `steps` steps:
/// floor((step + 1) * times / steps), the last for what lies beyond (PAROAttention's rule).
/// requires 0 <= step < steps, times >= 1
[[nodiscard]] std::int64_t TimeOfStep(int step, int steps, std::int64_t times);

}  // namespace dbsp
