// SPDX-License-Identifier: Apache-2.0
// Meaning of the dimensions of an array of masks.
//
// One letter stands for each axis: T entries over the denoising steps, L layers, P guidance passes,
// B batch, H heads, Q query blocks, K key blocks. "TLHQK" is [T, L, H, Q, K]. Axes are named by the
// user or follow from the sizes if only one reading is possible. docs/formats/arrays.md lists the
// rules.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp {

/// Sizes of the workload that masks are read for.
struct MaskArraySizes {
  int steps = 1;
  int layers = 1;
  int passes = 1;
  int heads = 1;
  int rows = 1;  ///< query blocks
  int cols = 1;  ///< key blocks
  std::int64_t tokens = 0;  ///< of the sequence; 0 = unknown, which layouts in tokens refuse
  BlockSize block = {0, 0};  ///< tokens of a block; 0 = unknown
};

struct MaskAxes {
  std::string letters;  ///< of all axes; ends with "QK"
  std::vector<std::int64_t> sizes;  ///< of the axes before Q

  /// Size of an axis, 1 for an axis that the array does not have.
  [[nodiscard]] std::int64_t Size(char letter) const;
  bool operator==(const MaskAxes&) const = default;
};

/// What the user said about the axes.
struct AxesRequest {
  std::optional<std::string> letters;  ///< default: by size
  std::optional<std::int64_t> batch;  ///< set: one axis is a batch
  std::optional<std::int64_t> pass;  ///< set: one axis is the guidance pass
};

/// Letters of the dimensions before Q.
/// \param leading their sizes
/// \param subject "FILE: array 'NAME': shape [..]", with which errors begin
/// errors  Error{kMismatch} if sizes do not fit the workload; Error{kInvalidArgument} for wrong
///         letters, and if several readings or none are possible, with the readings
[[nodiscard]] MaskAxes ResolveAxes(std::span<const std::int64_t> leading,
                                   const AxesRequest& request,
                                   const MaskArraySizes& sizes,
                                   const std::string& subject);

/// Letters and sizes, how T covers the steps, and what is shared, one sentence per line.
[[nodiscard]] std::vector<std::string> DescribeAxes(const MaskAxes& axes,
                                                    const MaskArraySizes& sizes);

/// Entry of a denoising step if `times` entries cover `steps` steps: floor(step * times / steps).
/// source   PAROAttention's callback: at the end of a step it sets the entry of the next one, and
///          the first step has entry 0
/// requires 0 <= step < steps, times >= 1
[[nodiscard]] std::int64_t TimeOfStep(int step, int steps, std::int64_t times);

}  // namespace dbsp
