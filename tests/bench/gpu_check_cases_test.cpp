// SPDX-License-Identifier: Apache-2.0
// What gpu_check would run: every variant's cases and the groups of the speed part, made here.
#include <gtest/gtest.h>

#include <set>

#include "bench/gpu_check/check_attention.h"
#include "bench/gpu_check/options.h"
#include "bench/gpu_check/speed_groups.h"
#include "core/error.h"
#include "kernels/gpu/gpu_variants.h"
#include "tests/core/expect_error.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::Variant;

std::vector<const Variant*> All() {
  std::vector<const Variant*> all;
  for (const Variant& variant : kernels::gpu::Variants()) all.push_back(&variant);
  return all;
}

TEST(GpuCheckCasesTest, EveryVariantMeetsTailsAndEmptyRowsAndStrides) {
  for (const Variant* variant : All()) {
    std::set<Layout> layouts;
    bool q_tail = false;
    bool k_tail = false;
    bool empty_row = false;
    bool empty = false;
    bool full = false;
    bool several = false;
    for (int index = 0; index < 12; ++index) {
      const CheckCase one = CaseOf(*variant, index, 1, false);
      SCOPED_TRACE(std::string(variant->name) + ", case " + std::to_string(index));
      ASSERT_GE(one.shape.q_tokens, 1);
      ASSERT_GE(one.shape.k_tokens, 1);
      ASSERT_EQ(one.shape.head_dim, variant->head_dim);
      ASSERT_GT(one.shape.scale, 0.0F);
      layouts.insert(one.layout);
      q_tail = q_tail || one.shape.q_tokens % variant->q_block != 0;
      k_tail = k_tail || one.shape.k_tokens % variant->tile_n != 0;
      several = several || one.shape.batch * one.shape.heads > 1;
      Blocks blocks{one.shape.q_tokens, one.shape.k_tokens, variant->q_block, variant->k_block};
      const int heads = one.shape.batch * one.shape.heads;
      const Lists lists = Random(blocks, heads, one.density, one.run, one.seed);
      ASSERT_EQ(lists.tiles(), std::int64_t{heads} * blocks.rows());
      const std::int64_t pairs = ActivePairs(lists, blocks);
      const std::int64_t all =
          std::int64_t{heads} * one.shape.q_tokens * std::int64_t{one.shape.k_tokens};
      ASSERT_LE(pairs, all);
      empty = empty || pairs == 0;
      full = full || pairs == all;
      for (std::int64_t tile = 0; tile < lists.tiles(); ++tile) {
        empty_row = empty_row || (pairs > 0 && lists.Tile(tile).empty());
      }
    }
    EXPECT_EQ(layouts.size(), 3U) << variant->name;
    EXPECT_TRUE(q_tail && k_tail && empty && full && several) << variant->name;
    EXPECT_TRUE(empty_row || variant->k_block == 1) << variant->name;
  }
}

TEST(GpuCheckCasesTest, ACaseIsDrawnFromItsNumberAlone) {
  const Variant& variant = kernels::gpu::Variants().front();
  const CheckCase a = CaseOf(variant, 9, 1, false);
  const CheckCase b = CaseOf(variant, 9, 1, false);
  const CheckCase other = CaseOf(variant, 9, 2, false);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.shape.q_tokens, b.shape.q_tokens);
  EXPECT_NE(a.seed, other.seed);
}

TEST(GpuCheckCasesTest, SmallCasesAreSmall) {
  for (const Variant* variant : All()) {
    for (int index = 0; index < 4; ++index) {
      const CheckCase one = CaseOf(*variant, index, 1, true);
      EXPECT_LE(one.shape.q_tokens, 400);
      EXPECT_LE(one.shape.k_tokens, 550);
    }
  }
}

TEST(GpuCheckGroupsTest, TheTableIsTheIssues) {
  const auto all = All();
  std::set<std::string> names;
  std::set<double> densities;
  for (const SpeedGroup& group : SpeedGroups()) {
    EXPECT_TRUE(names.insert(group.name).second) << group.name << " twice";
    ASSERT_FALSE(group.items.empty());
    EXPECT_EQ(group.items.front().mask, "dense") << "each group is measured beside its own dense";
    EXPECT_GE(group.shape.q_tokens, 16384);
    EXPECT_GE(group.shape.heads, 12);
    for (const SpeedItem& item : group.items) {
      if (item.of_dense > 0) densities.insert(item.of_dense);
    }
  }
  for (const double expected : {0.95, 0.93, 0.90, 0.85, 0.65, 0.75, 0.80}) {
    EXPECT_TRUE(densities.contains(expected)) << expected;
  }
  // Dense attention in both head dimensions and the block-sparse items have kernels to run on.
  int without = 0;
  for (const SpeedGroup& group : SpeedGroups()) {
    for (const SpeedItem& item : group.items) {
      if (item.kernels.list != kernels::gpu::ListKind::kBlocks || item.kernels.min_arch != 90)
        continue;
      without += Chosen(item.kernels, group.shape.head_dim, all).empty() ? 1 : 0;
    }
  }
  EXPECT_EQ(without, 0);
}

TEST(GpuCheckGroupsTest, MasksFitTheirShapes) {
  for (const SpeedGroup& group : SpeedGroups()) {
    for (const SpeedItem& item : group.items) {
      if (item.mask == "dense" || item.kernels.k_block < 64) continue;
      const Blocks blocks{
          group.shape.q_tokens, group.shape.k_tokens, item.kernels.q_block, item.kernels.k_block};
      const Lists lists = item.make(blocks, 1);
      ASSERT_EQ(lists.tiles(), blocks.rows()) << group.name << ", " << item.mask;
      const double density = static_cast<double>(ActivePairs(lists, blocks)) /
                             (static_cast<double>(blocks.q_tokens) * blocks.k_tokens);
      EXPECT_GT(density, 0.05) << item.mask;
      EXPECT_LT(density, 0.9) << item.mask;
    }
  }
}

TEST(GpuCheckGroupsTest, ChoiceIsByShapeNotByName) {
  const auto all = All();
  for (const Variant* variant : Chosen({kernels::gpu::ListKind::kBlocks, 64, 128, 90}, 128, all)) {
    EXPECT_EQ(variant->q_block, 64);
    EXPECT_EQ(variant->k_block, 128);
    EXPECT_EQ(variant->head_dim, 128);
    EXPECT_EQ(variant->min_arch, 90);
  }
}

TEST(GpuCheckOptionsTest, AreReadAndRefused) {
  const Options options =
      ParseOptions({"correct", "--out", "x", "--budget", "60", "speed", "--filter", "gather"});
  EXPECT_EQ(options.parts, (std::vector<std::string>{"correct", "speed"}));
  EXPECT_EQ(options.out, "x");
  EXPECT_EQ(options.budget_s, 60);
  EXPECT_EQ(options.filter, "gather");
  EXPECT_TRUE(ParseOptions({"--help"}).help);
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& word) {
    dbsp::testing::ExpectError(
        ErrorCode::kInvalidArgument, {word}, [&] { (void)ParseOptions(arguments); });
  };
  refused({}, "which part?");
  refused({"speeed"}, "no part is called 'speeed'");
  refused({"speed", "--budget"}, "--budget: expected a value");
  refused({"speed", "--budget", "0"}, "from 1, found '0'");
  refused({"speed", "--budget", "1x"}, "found '1x'");
  refused({"speed", "--colour", "1"}, "no option is called '--colour'");
}

}  // namespace
}  // namespace dbsp::gpu_check
