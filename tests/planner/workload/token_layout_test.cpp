// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/token_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/partition.h"
#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"
#include "tests/planner/awkward_layers.h"

namespace dbsp::planner {
namespace {

TEST(LayoutTest, StridedAndZigzagDealUnitsToParts) {
  const AttentionShape shape{1, 8, 80, {8, 4}};  // 10 units of 8
  EXPECT_EQ(MakeLayout("given", shape), (TokenLayout{"given", {}}));
  EXPECT_EQ(MakeLayout("strided:4", shape).block_order,
            (std::vector<int>{0, 4, 8, 1, 5, 9, 2, 6, 3, 7}));
  EXPECT_EQ(MakeLayout("zigzag:4", shape).block_order,
            (std::vector<int>{0, 7, 8, 1, 6, 9, 2, 5, 3, 4}));
}

TEST(LayoutTest, AShortLastUnitStaysLast) {
  const AttentionShape shape{1, 8, 76, {8, 4}};
  EXPECT_EQ(MakeLayout("strided:4", shape).block_order,
            (std::vector<int>{0, 4, 8, 1, 5, 2, 6, 3, 7, 9}));
  const TokenLayout moved{"own", {9, 0, 1, 2, 3, 4, 5, 6, 7, 8}};
  EXPECT_THROW((void)TokenOrder(moved, shape), Error);
}

TEST(LayoutTest, OneUnitAndMorePartsThanUnitsAreLegal) {
  for (const std::int64_t tokens : {1, 8, 9, 24}) {
    const AttentionShape shape{1, 8, tokens, {8, 8}};
    for (const std::string& name : LayoutNames(24)) {
      const TokenOrder order(MakeLayout(name, shape), shape);
      for (std::int64_t t = 0; t < tokens; ++t) {
        EXPECT_EQ(order.PositionOf(order.TokenAt(t)), t) << name << " " << tokens;
      }
    }
  }
}

TEST(LayoutTest, UnknownNamesAndWrongOrdersAreRefused) {
  const AttentionShape shape{1, 8, 80, {8, 8}};
  for (const char* name :
       {"", "strided", "strided:", "strided:1", "strided:x", "zigzag:4x", "up:2"}) {
    EXPECT_THROW((void)MakeLayout(name, shape), Error) << name;
  }
  EXPECT_THROW((void)TokenOrder({"short", {0, 1}}, shape), Error);
  EXPECT_THROW((void)TokenOrder({"twice", {0, 1, 2, 3, 4, 5, 6, 7, 8, 8}}, shape), Error);
  EXPECT_EQ(LayoutNames(1), std::vector<std::string>{"given"});
  EXPECT_EQ(
      LayoutNames(6),
      (std::vector<std::string>{
          "given", "strided:2", "zigzag:2", "strided:3", "zigzag:3", "strided:6", "zigzag:6"}));
}

TEST(LayoutTest, MasksMoveWithTheTokensOfTheirBlocks) {
  std::mt19937_64 random(91);
  std::vector<RandomLayer> layers;
  for (int trial = 0; trial < 300; ++trial) layers.push_back(MakeRandomLayer(random));
  for (const AwkwardLayer& layer : AwkwardLayers()) layers.push_back(layer);
  for (const RandomLayer& layer : layers) {
    const AttentionShape& shape = layer.shape;
    for (const std::string& name : LayoutNames(Draw(random, 1, 9))) {
      SCOPED_TRACE(name);
      const TokenLayout layout = MakeLayout(name, shape);
      const TokenOrder order(layout, shape);
      const LayerMasks moved = Permuted(layer.masks, layout, shape);
      ASSERT_EQ(moved.heads(), layer.masks.heads());
      for (std::int64_t q = 0; q < shape.tokens; ++q) {
        ASSERT_EQ(order.PositionOf(order.TokenAt(q)), q);
        ASSERT_EQ(order.TokenAt(q) % shape.block.q, q % shape.block.q);
      }
      for (std::size_t h = 0; h < moved.head.size(); ++h) {
        const BlockMask& old = *layer.masks.head[h];
        for (int i = 0; i < shape.q_blocks(); ++i) {
          const std::int64_t row = order.TokenAt(static_cast<std::int64_t>(i) * shape.block.q);
          for (int j = 0; j < shape.k_blocks(); ++j) {
            const std::int64_t col = order.TokenAt(static_cast<std::int64_t>(j) * shape.block.k);
            ASSERT_EQ(moved.head[h]->Get(i, j),
                      old.Get(static_cast<int>(row / shape.block.q),
                              static_cast<int>(col / shape.block.k)));
          }
        }
      }
    }
  }
}

TEST(LayoutTest, StridedEvensOutARingOnRadialMasks) {
  Workload workload;
  workload.model = ModelPreset("wan2.1-t2v-14b-480p");
  ApplyMaskFlag("radial", workload);
  const BlockMaskPtr mask = OpenMasks(workload)->At(workload.model.steps - 1, 1).head[0];
  const AttentionShape shape{2, 128, workload.model.tokens(), {128, 128}};
  const LayerMasks masks{{mask, mask}};
  const auto rho = [&](const char* name) {
    const LayerMasks moved = Permuted(masks, MakeLayout(name, shape), shape);
    return BarrierRho(
        moved, MakePartition(Family::kRing, shape, moved, 8, 1, 8, MakeHomeLayout(shape, 8)));
  };
  EXPECT_GT(rho("given"), 1.6);  // notes of db-SP: 1.698 contiguous, 1.061 strided
  EXPECT_LT(rho("strided:8"), 1.1);
}

}  // namespace
}  // namespace dbsp::planner
