// SPDX-License-Identifier: Apache-2.0
// The cases of every attention kernel and the groups of the part "speed".
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "bench/gpu_check/check_attention.h"
#include "bench/gpu_check/speed_groups.h"
#include "core/bf16.h"
#include "kernels/gpu/gpu_variants.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::Variant;

std::vector<const Variant*> AllVariants() {
  std::vector<const Variant*> variants;
  for (const Variant& variant : kernels::gpu::Variants()) variants.push_back(&variant);
  return variants;
}

TEST(GpuCheckCasesTest, CasesOfEveryVariantHavePartialBlocksEmptyRowsAndAllLayouts) {
  for (const Variant* variant : AllVariants()) {
    std::set<Layout> layouts;
    bool q_tail = false;
    bool k_tail = false;
    bool empty_row = false;
    bool empty = false;
    bool full = false;
    bool several = false;
    for (int index = 0; index < 12; ++index) {
      const CheckCase check_case = CaseOf(*variant, index, 1, false);
      SCOPED_TRACE(std::string(variant->name) + ", case " + std::to_string(index));
      ASSERT_GE(check_case.shape.q_tokens, 1);
      ASSERT_GE(check_case.shape.k_tokens, 1);
      ASSERT_EQ(check_case.shape.head_dim, variant->head_dim);
      ASSERT_GT(check_case.shape.scale, 0.0F);
      layouts.insert(check_case.layout);
      q_tail = q_tail || check_case.shape.q_tokens % variant->q_block != 0;
      k_tail = k_tail || check_case.shape.k_tokens % variant->tile_n != 0;
      several = several || check_case.shape.batch * check_case.shape.heads > 1;
      Blocks blocks{
          check_case.shape.q_tokens, check_case.shape.k_tokens, variant->q_block, variant->k_block};
      const int heads = check_case.shape.batch * check_case.shape.heads;
      const Lists lists =
          Random(blocks, heads, check_case.density, check_case.run, check_case.seed);
      ASSERT_EQ(lists.tiles(), std::int64_t{heads} * blocks.rows());
      const std::int64_t pairs = ActivePairs(lists, blocks);
      const std::int64_t dense_pairs =
          std::int64_t{heads} * check_case.shape.q_tokens * std::int64_t{check_case.shape.k_tokens};
      ASSERT_LE(pairs, dense_pairs);
      empty = empty || pairs == 0;
      full = full || pairs == dense_pairs;
      for (std::int64_t tile = 0; tile < lists.tiles(); ++tile) {
        empty_row = empty_row || (pairs > 0 && lists.Tile(tile).empty());
      }
    }
    EXPECT_EQ(layouts.size(), 3U) << variant->name;
    EXPECT_TRUE(q_tail && k_tail && empty && full && several) << variant->name;
    EXPECT_TRUE(empty_row || variant->k_block == 1) << variant->name;
  }
}

TEST(GpuCheckCasesTest, ACaseDependsOnlyOnItsNumberAndTheSeed) {
  const Variant& variant = kernels::gpu::Variants().front();
  const CheckCase a = CaseOf(variant, 9, 1, false);
  const CheckCase b = CaseOf(variant, 9, 1, false);
  const CheckCase other = CaseOf(variant, 9, 2, false);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.shape.q_tokens, b.shape.q_tokens);
  EXPECT_NE(a.seed, other.seed);
}

TEST(GpuCheckCasesTest, SmallCasesAreSmall) {
  for (const Variant* variant : AllVariants()) {
    for (int index = 0; index < 4; ++index) {
      const CheckCase check_case = CaseOf(*variant, index, 1, true);
      EXPECT_LE(check_case.shape.q_tokens, 400);
      EXPECT_LE(check_case.shape.k_tokens, 550);
    }
  }
}

TEST(GpuCheckGroupsTest, GroupsHaveTheExpectedSpeedsAndKernelsThatRunThem) {
  const auto variants = AllVariants();
  std::set<std::string> names;
  std::set<double> expectations;
  for (const SpeedGroup& group : SpeedGroups()) {
    EXPECT_TRUE(names.insert(group.name).second) << group.name << " appears twice";
    ASSERT_FALSE(group.items.empty());
    EXPECT_EQ(group.items.front().mask, "dense")
        << "every group needs dense attention to compare with";
    EXPECT_GE(group.shape.q_tokens, 16384);
    EXPECT_GE(group.shape.heads, 12);
    for (const SpeedItem& item : group.items) {
      if (item.expected_of_dense > 0) expectations.insert(item.expected_of_dense);
    }
  }
  for (const double expected : {0.95, 0.93, 0.90, 0.85, 0.65, 0.75, 0.80}) {
    EXPECT_TRUE(expectations.contains(expected)) << expected;
  }
  // Every block-sparse and dense item for compute capability 9.0 has a kernel.
  int without_kernel = 0;
  for (const SpeedGroup& group : SpeedGroups()) {
    for (const SpeedItem& item : group.items) {
      if (item.kernels.list != kernels::gpu::ListKind::kBlocks || item.kernels.min_arch != 90)
        continue;
      if (MatchingVariants(item.kernels, group.shape.head_dim, variants).empty()) ++without_kernel;
    }
  }
  EXPECT_EQ(without_kernel, 0);
}

TEST(GpuCheckGroupsTest, MasksFitTheirShapes) {
  for (const SpeedGroup& group : SpeedGroups()) {
    for (const SpeedItem& item : group.items) {
      if (item.mask == "dense" || item.kernels.k_block < 64) continue;
      const Blocks blocks{
          group.shape.q_tokens, group.shape.k_tokens, item.kernels.q_block, item.kernels.k_block};
      const Lists lists = item.make_lists(blocks, 1);
      ASSERT_EQ(lists.tiles(), blocks.rows()) << group.name << ", " << item.mask;
      const double density = static_cast<double>(ActivePairs(lists, blocks)) /
                             (static_cast<double>(blocks.q_tokens) * blocks.k_tokens);
      EXPECT_GT(density, 0.05) << item.mask;
      EXPECT_LT(density, 0.9) << item.mask;
    }
  }
}

TEST(GpuCheckGroupsTest, AFilterSelectsVariantsByTheirProperties) {
  const auto variants = AllVariants();
  const auto matching =
      MatchingVariants({kernels::gpu::ListKind::kBlocks, 64, 128, 90}, 128, variants);
  EXPECT_FALSE(matching.empty());
  for (const Variant* variant : matching) {
    EXPECT_EQ(variant->q_block, 64);
    EXPECT_EQ(variant->k_block, 128);
    EXPECT_EQ(variant->head_dim, 128);
    EXPECT_EQ(variant->min_arch, 90);
  }
}

/// Scores of head 0, [q_tokens][k_tokens].
std::vector<std::vector<double>> ScoresOf(const ScoreRows& rows,
                                          const kernels::gpu::AttentionShape& shape) {
  std::vector<std::vector<double>> scores(shape.q_tokens);
  for (int i = 0; i < shape.q_tokens; ++i) {
    for (int j = 0; j < shape.k_tokens; ++j) {
      double score = 0.0;
      for (int d = 0; d < shape.head_dim; ++d) {
        score += double{FromBf16(rows.q[i * shape.head_dim + d])} *
                 double{FromBf16(rows.k[j * shape.head_dim + d])};
      }
      scores[i].push_back(score * double{shape.scale});
    }
  }
  return scores;
}

TEST(GpuCheckCasesTest, ThePromisedCasesHaveGrowingOneHotAndLargeScores) {
  for (const Variant* variant : AllVariants()) {
    std::set<Scores> seen;
    for (int index = 0; index < 8; ++index) {
      const CheckCase check_case = CaseOf(*variant, index, 1, false);
      seen.insert(check_case.scores);
      if (check_case.scores == Scores::kNormal) continue;
      EXPECT_GT(check_case.density, 0.0);
      EXPECT_GE(check_case.shape.k_tokens, 2 * variant->tile_n) << "more than one step";
    }
    EXPECT_EQ(seen.size(), 4U) << variant->name;
  }
}

TEST(GpuCheckCasesTest, RowsHaveTheScoresOfTheirName) {
  kernels::gpu::AttentionShape shape;
  shape.batch = 1;
  shape.heads = 2;
  shape.q_tokens = 20;
  shape.k_tokens = 300;
  for (const int head_dim : {64, 128}) {
    shape.head_dim = head_dim;
    shape.scale = 0.7F / std::sqrt(static_cast<float>(head_dim));
    const ScoreRows all = RowsWithScores(Scores::kGrowing, shape, 3);
    EXPECT_EQ(all.q.size(), 2U * 20 * head_dim);
    EXPECT_EQ(all.k.size(), 2U * 300 * head_dim);
    EXPECT_NE(all.k, RowsWithScores(Scores::kGrowing, shape, 4).k);
    for (const auto& row : ScoresOf(all, shape)) {
      EXPECT_NEAR(row.front(), -30.0, 1.0);
      EXPECT_NEAR(row.back(), 30.0, 1.0);
      for (std::size_t j = 64; j < row.size(); ++j) EXPECT_GT(row[j], row[j - 64] + 8.0);
    }
    for (auto row : ScoresOf(RowsWithScores(Scores::kOneHot, shape, 3), shape)) {
      std::sort(row.rbegin(), row.rend());
      EXPECT_NEAR(row[0], 60.0, 1.0);
      EXPECT_LT(row[1], 40.0) << "all but e^-20 of the weight is on one key";
    }
    bool high = false;
    bool low = false;
    for (const auto& row : ScoresOf(RowsWithScores(Scores::kLarge, shape, 3), shape)) {
      for (const double score : row) {
        EXPECT_NEAR(std::abs(score), 60.0, 1.0);
        high = high || score > 0;
        low = low || score < 0;
      }
    }
    EXPECT_TRUE(high && low);
  }
}

TEST(GpuCheckCasesTest, RepeatedMediansAreOfKernelsThatTheDeviceRuns) {
  EXPECT_EQ(RepeatGroup(90).items.front().kernels.min_arch, 90);
  for (const int arch : {80, 89, 100, 120}) {
    EXPECT_EQ(RepeatGroup(arch).items.front().kernels.min_arch, 80) << arch;
  }
}

}  // namespace
}  // namespace dbsp::gpu_check
