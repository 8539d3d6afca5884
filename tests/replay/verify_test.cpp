// SPDX-License-Identifier: Apache-2.0
// The verification detects faults: broken schedules and wrong outputs.
#include "replay/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "replay/reference.h"
#include "replay/replay.h"
#include "replay/work_check.h"
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
  std::vector<CpuRank> ranks = MakeRanks(cell);
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
  EXPECT_GT(result.lse_error, 0);
}

TEST(VerifyTest, FindsAColumnMissingFromTheLists) {
  Cell cell = UlyssesOfThree();
  int head = -1;
  int column = -1;
  for (planner::RankSchedule& rank : cell.schedule.rank) {
    if (rank.heads.empty()) continue;
    head = rank.columns[0][0].head;
    const BlockMask& mask = *cell.masks.head[head];
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
  // Two Q blocks of one head are swapped in the exchange. Every row is still written once.
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
    // The receiver writes the rows of block 0 twice and the rows of block 1 never.
    swapped = rename(items, 1, 0);
    break;
  }
  ASSERT_TRUE(swapped);
  EXPECT_FALSE(RunAndVerify(cell).passed);
}

TEST(VerifyTest, WorkThatDiffersFromTheAmountsIsNamed) {
  Cell cell = UlyssesOfThree();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  EXPECT_EQ(CheckWork(cell, ranks).message(), "");
  cell.volumes.rounds[0].bytes[1] += 64;  // rank 0 to rank 1
  EXPECT_THAT(CheckWork(cell, ranks).message(), HasSubstr("rank 0: bytes packed in round 0"));
  cell.volumes.rounds[0].bytes[1] -= 64;
  cell.volumes.attention[0][2].active_blocks -= 1;
  EXPECT_THAT(CheckWork(cell, ranks).message(),
              HasSubstr("rank 2: blocks computed in ring step 0"));
}

TEST(VerifyTest, AScheduleThatSendsWhatARankLacksIsRefused) {
  Cell cell = UlyssesOfThree();
  cell.schedule.after[0].items[1].push_back({Tensor::kO, 0, 10000});
  dbsp::testing::ExpectError(ErrorCode::kInternal, {"rank 0", "O of head 0, block 10000"}, [&] {
    const CpuRank rank(cell, 0);
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
  std::vector<CpuRank> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  const VerifyResult one = Verify(cell, ranks, {.threads = 1});
  const VerifyResult four = Verify(cell, ranks, {.threads = 4});
  EXPECT_EQ(one.relative_error, four.relative_error);
  EXPECT_EQ(one.max_abs_error, four.max_abs_error);
}

/// Results of ranks with a fault. Rows of one (head, query block) come from a run without one key
/// block, as if a merge had skipped a ring step.
class Altered final : public HomeOutputs {
 public:
  explicit Altered(const Cell& cell) : cell_(cell), ranks_(MakeRanks(cell)), sound_(cell, ranks_) {
    (void)RunThreads(cell, ranks_, kOnce, {});
  }
  void Row(int head, std::int64_t token, std::span<float> row) const override {
    if (!Lost(head, token)) return sound_.Row(head, token, row);
    std::vector<double> out(row.size());
    std::vector<double> scratch;
    (void)without_->Row(token, out, scratch);
    std::ranges::copy(out, row.begin());
  }
  [[nodiscard]] float LogSumExp(int head, std::int64_t token) const override {
    if (!Lost(head, token)) return scale * sound_.LogSumExp(head, token);
    std::vector<double> out(cell_.shape.head_dim);
    std::vector<double> scratch;
    return static_cast<float>(without_->Row(token, out, scratch));
  }
  [[nodiscard]] int Writes(int head, int q_block) const override {
    return sound_.Writes(head, q_block);
  }
  void Lose(int head, int q_block, int k_block) {
    head_ = head;
    q_block_ = q_block;
    mask_ = *cell_.given.head[head];
    ASSERT_TRUE(mask_.Get(q_block, k_block));
    BlockMask mask(mask_.rows(), mask_.cols());
    for (int row = 0; row < mask.rows(); ++row) {
      for (int col = 0; col < mask.cols(); ++col) {
        if (mask_.Get(row, col) && !(row == q_block && col == k_block)) mask.Set(row, col);
      }
    }
    mask_ = std::move(mask);
    without_.emplace(cell_.shape, mask_, cell_.key, head);
  }
  float scale = 1;  ///< factor of every log-sum-exp

 private:
  [[nodiscard]] bool Lost(int head, std::int64_t token) const {
    return head == head_ && token / cell_.shape.block.q == q_block_;
  }
  const Cell& cell_;
  std::vector<CpuRank> ranks_;
  RankOutputs sound_;
  int head_ = -1;
  int q_block_ = -1;
  BlockMask mask_{0, 0};
  std::optional<HeadReference> without_;
};

/// 4 heads, 8 x 64 blocks of 32 x 8 tokens, all blocks active.
Cell RingOfFour() {
  return MakeTestCell(
      {"long rows", {4, 16, 512, {32, 8}}, 2.0, false, 0}, Family::kRing, 4, {1, 4});
}

TEST(VerifyTest, ALostRingStepOfOneBlockHidesInOutputsOfSixteenBitsAndShowsInLogSumExp) {
  const Cell cell = RingOfFour();
  const VerifyOptions limits = LimitsOf({runtime::DeviceKind::kCuda, 0});
  Altered outputs(cell);
  EXPECT_TRUE(Verify(cell, outputs, limits).passed);
  outputs.Lose(2, 3, 17);
  VerifyOptions no_lse = limits;
  no_lse.max_lse_error = 1;
  no_lse.max_relative_error = 3e-2;  // one block of 32 is little of all rows, as it is at scale
  no_lse.max_abs_error = 1;
  EXPECT_TRUE(Verify(cell, outputs, no_lse).passed) << "O alone does not show it";
  no_lse.max_lse_error = limits.max_lse_error;
  const VerifyResult result = Verify(cell, outputs, no_lse);
  EXPECT_FALSE(result.passed);
  EXPECT_GT(result.lse_error, 10 * limits.max_lse_error);
  EXPECT_THAT(result.problem, HasSubstr("head 2, query block 3 (computed by rank"));
  EXPECT_THAT(result.problem, HasSubstr("log-sum-exp of token"));
}

TEST(VerifyTest, ALogSumExpToAnotherBaseFailsThoughOutputsAreRight) {
  const Cell cell = RingOfFour();
  Altered outputs(cell);
  EXPECT_TRUE(Verify(cell, outputs, {}).passed);
  outputs.scale = 1.4426950F;
  const VerifyResult result = Verify(cell, outputs, {});
  EXPECT_FALSE(result.passed);
  EXPECT_LE(result.relative_error, 1e-5);
  EXPECT_GT(result.lse_error, 1);
  EXPECT_THAT(result.problem, HasSubstr("O is within its limits"));
}

TEST(VerifyTest, RowsWithoutKeysHaveALogSumExpOfMinusInfinityAndNoOther) {
  const Cell cell = MakeTestCell(Scenarios()[1], Family::kRing, 3, {1, 3});
  Altered outputs(cell);
  EXPECT_TRUE(Verify(cell, outputs, {}).passed);
  outputs.scale = 0;  // 0 times -infinity is not a number
  const VerifyResult result = Verify(cell, outputs, {});
  EXPECT_FALSE(result.passed);
  EXPECT_THAT(result.problem, HasSubstr("nan, expected -inf"));
}

TEST(VerifyTest, DistancesOfLogSumExpTellRowsWithoutKeysApart) {
  const double none = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(LseDistance(none, none), 0);
  EXPECT_EQ(LseDistance(none, 1), std::numeric_limits<double>::infinity());
  EXPECT_EQ(LseDistance(1.5, 1), 0.5);
  EXPECT_TRUE(std::isnan(LseDistance(std::nan(""), 1)));
}

TEST(ReferenceTest, OneKeyTokenGivesItsValueRow) {
  // Block 2 of the keys holds the last token only.
  const AttentionShape shape{1, 8, 9, {3, 4}};
  BlockMask mask(shape.q_blocks(), shape.k_blocks());
  mask.Set(1, 2);
  const InputKey key{.seed = 5, .step = 0, .layer = 0};
  const HeadReference reference(shape, mask, key, 0);
  std::vector<double> out(8, 1.0);
  std::vector<double> scratch;
  (void)reference.Row(4, out, scratch);
  std::vector<float> value(8);
  FillRow(key, Tensor::kV, 0, 8, value);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_DOUBLE_EQ(out[i], value[i]);
  EXPECT_EQ(reference.Row(0, out, scratch), -std::numeric_limits<double>::infinity());  // no key
  for (const double o : out) EXPECT_EQ(o, 0.0);
  EXPECT_EQ(ReferenceRowWork(shape, mask, 1), 2 * 1 * 8);
  EXPECT_EQ(ReferenceRowWork(shape, mask, 0), 0);
}

TEST(ReferenceTest, TwoKeysAreWeighedBySoftmax) {
  const AttentionShape shape{1, 4, 2, {2, 2}};
  const BlockMask mask = BlockMask::Full(1, 1);
  const InputKey key{.seed = 9, .step = 3, .layer = 1};
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
  const double lse = HeadReference(shape, mask, key, 0).Row(1, out, scratch);
  EXPECT_NEAR(lse, std::log(std::exp(s0) + std::exp(s1)), 1e-12);
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
  const auto other = [](const InputKey& key, Tensor tensor, int head, std::int64_t token) {
    std::vector<float> values(8);
    FillRow(key, tensor, head, token, values);
    return values;
  };
  const std::vector<float> base(row.begin(), row.begin() + 8);
  EXPECT_EQ(other({1, 2, 3}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({2, 2, 3}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({1, 3, 3}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({1, 2, 4}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({.seed = 1, .step = 2, .layer = 3, .pass = 1}, Tensor::kQ, 4, 5), base);
  EXPECT_NE(other({1, 2, 3}, Tensor::kK, 4, 5), base);
  EXPECT_NE(other({1, 2, 3}, Tensor::kQ, 5, 5), base);
  EXPECT_NE(other({1, 2, 3}, Tensor::kQ, 4, 6), base);
}

}  // namespace
}  // namespace dbsp::replay
