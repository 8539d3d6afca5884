// SPDX-License-Identifier: Apache-2.0
// The verification must be able to fail: schedules broken on purpose, outputs that are off.
#include "replay/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "replay/reference.h"
#include "tests/core/expect_error.h"
#include "tests/replay/cases.h"

namespace dbsp::replay {
namespace {

using planner::BlockItem;
using planner::Tensor;
using ::testing::HasSubstr;
using testing::kOnce;
using testing::MakeRanks;
using testing::MakeTestCell;
using testing::Scenarios;

Cell UlyssesOfThree() { return MakeTestCell(Scenarios().front(), Family::kUlysses, 3, {3, 1}); }

VerifyResult RunAndVerify(const Cell& cell, const VerifyOptions& options = {}) {
  std::vector<RankExecutor> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  return Verify(cell, ranks, options);
}

/// Removes an item from every list of the round; returns how many were removed.
int Drop(planner::ExchangeRound& round, const BlockItem& item) {
  std::size_t dropped = 0;
  for (auto& items : round.items) dropped += std::erase(items, item);
  return static_cast<int>(dropped);
}

TEST(VerifyTest, ASoundScheduleOfThisCellPasses) {
  const VerifyResult result = RunAndVerify(UlyssesOfThree());
  EXPECT_TRUE(result.passed) << result.problem;
  EXPECT_GT(result.relative_error, 0);  // fp32 is not fp64: the comparison compares something
}

TEST(VerifyTest, FindsAColumnMissingFromTheLists) {
  Cell cell = UlyssesOfThree();
  int head = -1;
  int column = -1;
  for (planner::RankProgram& rank : cell.schedule.rank) {
    if (rank.heads.empty()) continue;
    head = rank.columns[0][0].head;
    const BlockMask& mask = *cell.masks.head[static_cast<std::size_t>(head)];
    for (const int col : rank.columns[0][0].cols) {
      for (int i = 0; i < mask.rows() && column < 0; ++i) {
        if (mask.Get(i, col)) column = col;
      }
    }
    std::erase(rank.columns[0][0].cols, column);
    break;
  }
  ASSERT_GE(column, 0);
  ASSERT_EQ(Drop(cell.schedule.before[0], {Tensor::kK, head, column}), 1);
  ASSERT_EQ(Drop(cell.schedule.before[0], {Tensor::kV, head, column}), 1);
  const VerifyResult result = RunAndVerify(cell);
  EXPECT_FALSE(result.passed);
  EXPECT_GT(result.relative_error, 1e-3);
  EXPECT_THAT(result.problem, HasSubstr("head " + std::to_string(head)));
  EXPECT_THAT(result.problem, HasSubstr("query block"));
}

TEST(VerifyTest, FindsARowThatNeverCameHome) {
  Cell cell = UlyssesOfThree();
  ASSERT_EQ(Drop(cell.schedule.after[0], {Tensor::kO, 2, 3}), 1);
  const VerifyResult result = RunAndVerify(cell);
  EXPECT_FALSE(result.passed);
  EXPECT_THAT(result.problem, HasSubstr("head 2, query block 3"));
  EXPECT_THAT(result.problem, HasSubstr("written 0 times"));
  EXPECT_THAT(result.problem, HasSubstr("home rank"));
}

TEST(VerifyTest, FindsARowWrittenTwice) {
  Cell cell = UlyssesOfThree();
  const BlockItem twice{Tensor::kO, 1, 0};
  for (auto& items : cell.schedule.after[0].items) {
    if (std::ranges::find(items, twice) == items.end()) continue;
    items.push_back(twice);
    break;
  }
  EXPECT_THAT(RunAndVerify(cell).problem, HasSubstr("written 2 times"));
}

TEST(VerifyTest, FindsAKeyBlockThatNeverArrived) {
  Cell cell =
      MakeTestCell(Scenarios()[3], Family::kUlysses, 3, {3, 1});  // dense: every row needs it
  ASSERT_EQ(Drop(cell.schedule.before[0], {Tensor::kK, 4, 5}), 1);
  const VerifyResult result = RunAndVerify(cell);
  EXPECT_FALSE(result.passed);
  EXPECT_THAT(result.problem, HasSubstr("head 4"));
}

TEST(VerifyTest, FindsAQueryBlockInTheWrongPlace) {
  Cell cell = UlyssesOfThree();
  // Two Q blocks of one head change places on the way: every row still is written once.
  const auto rename = [](std::vector<BlockItem>& items, int from, int to) {
    for (BlockItem& item : items) {
      if (item == BlockItem{Tensor::kO, 0, from}) {
        item.block = to;
        return true;
      }
    }
    return false;
  };
  bool swapped = false;
  for (auto& items : cell.schedule.after[0].items) {
    if (std::ranges::find(items, BlockItem{Tensor::kO, 0, 0}) == items.end() ||
        std::ranges::find(items, BlockItem{Tensor::kO, 0, 1}) == items.end()) {
      continue;
    }
    // The receiver writes the rows of block 0 twice and those of block 1 never.
    swapped = rename(items, 1, 0);
    break;
  }
  ASSERT_TRUE(swapped);
  EXPECT_FALSE(RunAndVerify(cell).passed);
}

TEST(VerifyTest, WorkThatDiffersFromTheAmountsIsNamed) {
  Cell cell = UlyssesOfThree();
  std::vector<RankExecutor> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  EXPECT_EQ(WorkProblem(cell, ranks), "");
  cell.work.rounds[0].bytes[1] += 64;  // rank 0 to rank 1
  EXPECT_THAT(WorkProblem(cell, ranks), HasSubstr("rank 0: bytes packed in round 0"));
  cell.work.rounds[0].bytes[1] -= 64;
  cell.work.attention[0][2].kept_blocks -= 1;
  EXPECT_THAT(WorkProblem(cell, ranks), HasSubstr("rank 2: blocks computed in ring step 0"));
}

TEST(VerifyTest, AScheduleThatSendsWhatARankLacksIsRefused) {
  Cell cell = UlyssesOfThree();
  cell.schedule.after[0].items[1].push_back({Tensor::kO, 0, 10000});
  dbsp::testing::ExpectError(ErrorCode::kInternal, {"rank 0", "O of head 0, block 10000"}, [&] {
    const RankExecutor rank(cell, 0);
  });
}

TEST(VerifyTest, ATightLimitFailsAndNamesTheWorstRow) {
  const VerifyResult result = RunAndVerify(UlyssesOfThree(), {.max_relative_error = 1e-12});
  EXPECT_FALSE(result.passed);
  EXPECT_THAT(result.problem, HasSubstr("computed by rank"));
}

TEST(VerifyTest, SamplesRowsAboveTheWorkLimitAndSaysHowMany) {
  const Cell cell = MakeTestCell(Scenarios()[3], Family::kUsp, 4, {2, 2});
  const VerifyResult result = RunAndVerify(cell, {.work_limit = 100'000, .seed = 3});
  EXPECT_TRUE(result.passed) << result.problem;
  EXPECT_EQ(result.rows, cell.shape.tokens * cell.shape.heads);
  EXPECT_LT(result.rows_checked, result.rows);
  EXPECT_GE(result.rows_checked, 100'000 / ReferenceRowWork(cell.shape, *cell.masks.head[0], 0));
}

TEST(VerifyTest, TheResultDoesNotDependOnTheNumberOfThreads) {
  const Cell cell = UlyssesOfThree();
  std::vector<RankExecutor> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  const VerifyResult one = Verify(cell, ranks, {.threads = 1});
  const VerifyResult four = Verify(cell, ranks, {.threads = 4});
  EXPECT_EQ(one.relative_error, four.relative_error);
  EXPECT_EQ(one.max_abs_error, four.max_abs_error);
}

TEST(ReferenceTest, OneKeyTokenGivesItsValueRow) {
  // Block 2 of the keys holds the last token only.
  const AttentionShape shape{1, 8, 9, {3, 4}};
  BlockMask mask(shape.q_blocks(), shape.k_blocks());
  mask.Set(1, 2);
  const FillKey key{.seed = 5, .step = 0, .layer = 0};
  const HeadReference reference(shape, mask, key, 0);
  std::vector<double> out(8, 1.0);
  std::vector<double> scratch;
  reference.Row(4, out, scratch);
  std::vector<float> value(8);
  FillRow(key, Tensor::kV, 0, 8, value);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_DOUBLE_EQ(out[i], value[i]);
  reference.Row(0, out, scratch);  // no key
  for (const double o : out) EXPECT_EQ(o, 0.0);
  EXPECT_EQ(ReferenceRowWork(shape, mask, 1), 2 * 1 * 8);
  EXPECT_EQ(ReferenceRowWork(shape, mask, 0), 0);
}

TEST(ReferenceTest, TwoKeysAreWeighedBySoftmax) {
  const AttentionShape shape{1, 4, 2, {2, 2}};
  const BlockMask mask = BlockMask::Full(1, 1);
  const FillKey key{.seed = 9, .step = 3, .layer = 1};
  std::vector<float> q(4);
  std::vector<float> k0(4);
  std::vector<float> k1(4);
  std::vector<float> v0(4);
  std::vector<float> v1(4);
  FillRow(key, Tensor::kQ, 0, 1, q);
  FillRow(key, Tensor::kK, 0, 0, k0);
  FillRow(key, Tensor::kK, 0, 1, k1);
  FillRow(key, Tensor::kV, 0, 0, v0);
  FillRow(key, Tensor::kV, 0, 1, v1);
  double s0 = 0;
  double s1 = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    s0 += 0.5 * q[i] * k0[i];
    s1 += 0.5 * q[i] * k1[i];
  }
  const double w0 = 1 / (1 + std::exp(s1 - s0));
  std::vector<double> out(4);
  std::vector<double> scratch;
  HeadReference(shape, mask, key, 0).Row(1, out, scratch);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(out[i], w0 * v0[i] + (1 - w0) * v1[i], 1e-12);
}

TEST(FillTest, HasMeanZeroAndVarianceOneAndDependsOnEveryPartOfItsPlace) {
  std::vector<float> row(4096);
  FillRow({.seed = 1, .step = 2, .layer = 3}, Tensor::kQ, 4, 5, row);
  double sum = 0;
  double squares = 0;
  for (const float x : row) {
    ASSERT_LT(std::abs(x), 1.7321F);
    sum += x;
    squares += static_cast<double>(x) * x;
  }
  EXPECT_NEAR(sum / 4096, 0, 0.06);  // 4 standard errors
  EXPECT_NEAR(squares / 4096, 1, 0.06);
  const auto other = [](const FillKey& key, Tensor tensor, int head, std::int64_t token) {
    std::vector<float> values(8);
    FillRow(key, tensor, head, token, values);
    return values;
  };
  const std::vector<float> base(row.begin(), row.begin() + 8);
  EXPECT_EQ(other({1, 2, 3}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({2, 2, 3}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({1, 3, 3}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({1, 2, 4}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({1, 2, 3}, Tensor::kK, 4, 5), base);
  EXPECT_NE(other({1, 2, 3}, Tensor::kQ, 5, 5), base);
  EXPECT_NE(other({1, 2, 3}, Tensor::kQ, 4, 6), base);
}

}  // namespace
}  // namespace dbsp::replay
