// SPDX-License-Identifier: Apache-2.0
// Joins the recordings of all ranks of one prompt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "core/shape.h"
#include "planner/workload/recording.h"

namespace dbsp::planner {

/// What a (step, layer, pass) without any mask means.
enum class MissingCells : std::uint8_t {
  kRefused,
  kDense,  ///< its masks have every block
};

/// All masks of one prompt, in the layout "packed" of docs/formats/arrays.md.
struct MergedMasks {
  ModelShape model;
  BlockSize block;
  int queries = 0;  ///< per list of single keys, whose "block" is queries x 1; 0 for block masks
  Array bits;  ///< u1 [distinct masks, Q, ceil(K / 8)], the low bit first
  Array index;  ///< i4 [steps, layers, passes, heads]: which of them
  std::vector<std::string> notes;  ///< what was assumed, one sentence each
};

/// The model is a preset of this name, or has as many layers and heads as were recorded where the
/// recordings do not say.
/// requires at least one recording; they have one prompt
/// errors  Error{kMismatch} with the files for recordings of different models, blocks or runs, for
///         two masks of one place that differ, and for places without a mask; Error{kCorruptInput}
///         for places outside the model
[[nodiscard]] MergedMasks MergeRecordings(const std::vector<Recording>& recordings,
                                          MissingCells missing);

/// Requires equal texts, those of ranks and prompts excepted. errors  as MergeRecordings
void RequireEqualTexts(const Recording& recording, const Recording& other);

}  // namespace dbsp::planner
