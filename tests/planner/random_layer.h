// SPDX-License-Identifier: Apache-2.0
// Small random layers with short blocks, empty rows and heads, shared masks, and more ranks than
// blocks.
#pragma once

#include <memory>
#include <random>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

struct RandomLayer {
  AttentionShape shape;
  LayerMasks masks;
};

inline int Draw(std::mt19937_64& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<std::uint64_t>(high - low + 1));
}

inline RandomLayer MakeRandomLayer(std::mt19937_64& random) {
  RandomLayer layer;
  layer.shape.heads = Draw(random, 1, 9);
  layer.shape.head_dim = 4 * Draw(random, 1, 3);
  layer.shape.block.q = Draw(random, 1, 6);
  layer.shape.block.k = Draw(random, 0, 1) == 0 ? layer.shape.block.q : Draw(random, 1, 6);
  layer.shape.tokens = Draw(random, 1, 70);
  const int rows = layer.shape.q_blocks();
  const int cols = layer.shape.k_blocks();
  for (int h = 0; h < layer.shape.heads; ++h) {
    if (h > 0 && Draw(random, 0, 3) == 0) {
      layer.masks.head.push_back(layer.masks.head.back());
      continue;
    }
    auto mask = std::make_shared<BlockMask>(rows, cols);
    const int density = Draw(random, 0, 4);
    for (int i = 0; i < rows; ++i) {
      if (Draw(random, 0, 5) == 0) continue;
      for (int j = 0; j < cols; ++j) mask->Set(i, j, Draw(random, 0, 3) < density);
    }
    layer.masks.head.push_back(std::move(mask));
  }
  return layer;
}

}  // namespace dbsp::planner
