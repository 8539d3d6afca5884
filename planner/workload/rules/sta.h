// SPDX-License-Identifier: Apache-2.0
// Sliding tile attention: tokens form tiles of 6 x 8 x 8. For each query tile the key tiles in a
// window around it are active.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

inline constexpr Grid kStaTile{6, 8, 8};
inline constexpr int kStaTileTokens = kStaTile.frames * kStaTile.height * kStaTile.width;

/// Window sides, in tiles.
struct StaWindow {
  int frames = 1;
  int height = 1;
  int width = 1;
  auto operator<=>(const StaWindow&) const = default;
};

/// Whether key tile `kv` is active for query tile `q` on an axis of n tiles with window k: it must
/// be within k / 2 of clamp(q, k / 2, n - 1 - k / 2), where the upper bound wins if the bounds
/// cross. An even k below n is thus as wide as k + 1.
[[nodiscard]] bool StaKeeps(int q, int kv, int n, int k);

/// Mask in blocks of block.q x block.k tokens. Video tokens are in tile order, text tokens follow.
/// Rows and columns of text are active.
/// requires sides of `tiles` >= 1; block sides divide 384
[[nodiscard]] BlockMask StaMask(const Grid& tiles,
                                StaWindow window,
                                std::int64_t text_tokens,
                                BlockSize block);

/// Windows of all cells: windows[row_window[row_of[step * layers + layer] * heads + head]].
struct StaTable {
  int heads = 0;
  std::vector<StaWindow> windows;
  std::vector<std::uint16_t> row_window;
  std::vector<std::uint16_t> row_of;
};

/// Reads a mask strategy: one JSON object of "STEP_LAYER_HEAD": [t, h, w], numbered from 0.
/// errors  Error{kCorruptInput} with file and key; Error{kMismatch} if steps, layers or heads are
///         not the model's
[[nodiscard]] StaTable ParseStaTable(const std::string& text,
                                     const std::string& origin,
                                     const ModelShape& model);

/// The table as the bytes of a rule's blob.
[[nodiscard]] std::string StaTableToBlob(const StaTable& table);
/// The table of a blob.
/// errors  Error{kCorruptInput} if the blob is not a table for this model
[[nodiscard]] StaTable StaTableFromBlob(const std::string& blob, const ModelShape& model);

}  // namespace dbsp::planner
