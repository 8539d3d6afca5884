// SPDX-License-Identifier: Apache-2.0
// Layers that are hard to balance.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/planner/random_layer.h"

namespace dbsp::planner {

struct AwkwardLayer : RandomLayer {
  std::string name;
};

inline AwkwardLayer AwkwardOf(std::string name, int heads, const BlockMask& mask) {
  AwkwardLayer layer;
  layer.name = std::move(name);
  layer.shape = {heads, 8, mask.rows() * 4L, {4, 4}};
  layer.masks.head.assign(heads, std::make_shared<BlockMask>(mask));
  return layer;
}

/// One dense head among nearly empty ones, dense rows, one column, no active block, a checkerboard,
/// one block, all blocks active.
inline std::vector<AwkwardLayer> AwkwardLayers() {
  constexpr int kBlocks = 21;
  const BlockMask empty(kBlocks, kBlocks);
  BlockMask diagonal = empty;
  BlockMask rows = empty;
  BlockMask column = empty;
  BlockMask board = empty;
  for (int i = 0; i < kBlocks; ++i) {
    diagonal.Set(i, i);
    if (i % 9 == 0) rows.SetRange(i, 0, kBlocks);
    column.Set(i, 4);
    for (int j = 0; j < kBlocks; ++j) board.Set(i, j, (i + j) % 2 == 0);
  }
  std::vector<AwkwardLayer> layers{AwkwardOf("one dense head", 6, diagonal),
                                   AwkwardOf("dense rows", 5, rows),
                                   AwkwardOf("one column", 3, column),
                                   AwkwardOf("empty", 4, empty),
                                   AwkwardOf("checkerboard", 7, board),
                                   AwkwardOf("one block", 1, BlockMask::Full(1, 1)),
                                   AwkwardOf("everything", 3, BlockMask::Full(kBlocks, kBlocks))};
  layers[0].masks.head[2] = std::make_shared<BlockMask>(BlockMask::Full(kBlocks, kBlocks));
  return layers;
}

}  // namespace dbsp::planner
