// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/peak_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/error.h"
#include "planner/placement/families.h"
#include "planner/placement/move_price.h"
#include "planner/timeline/moved_bytes.h"
#include "planner/timeline/schedule.h"
#include "tests/planner/fake_costs.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

/// Bytes of a rank's Q, O and K/V, from the lists: the K/V of `step` and those of the next hop;
/// with chunks the sum over all chunks.
std::int64_t HeldAt(const RandomCase& made, const RankSchedule& program, std::size_t step) {
  const AttentionShape& shape = made.layer.shape;
  std::int64_t tokens = 0;
  const bool chunks = made.strategy.chunks > 1;
  for (const HeadRows& head : program.heads) {
    for (const int i : head.rows)
      tokens += std::int64_t{program.columns.size() > 1 && !chunks ? 3 : 2} * shape.q_tokens(i);
  }
  const std::size_t end = chunks ? program.columns.size() : step + 2;
  for (std::size_t t = chunks ? 0 : step; t < std::min(end, program.columns.size()); ++t) {
    for (const HeadColumns& head : program.columns[t]) {
      for (const int j : head.cols) tokens += 2 * std::int64_t{shape.k_tokens(j)};
    }
  }
  return tokens * shape.head_dim * BytesOf(DType::kF32);
}

TEST(PeakBytesTest, IsTheLargestSumOverStepsOfTheListedItems) {
  std::mt19937_64 random(55);
  for (int trial = 0; trial < 1500; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    const Schedule schedule =
        BuildSchedule(made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home);
    const LayerVolumes work = BuildLayerVolumes(
        made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kF32);
    const std::vector<std::int64_t> peak = PeakBytes(work);
    ASSERT_EQ(peak.size(), schedule.rank.size());
    std::int64_t most = 0;
    for (std::size_t r = 0; r < peak.size(); ++r) {
      std::int64_t worst = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(schedule.steps); ++t) {
        worst = std::max(worst, HeldAt(made, schedule.rank[r], t));
      }
      ASSERT_EQ(peak[r], worst) << "trial " << trial << " rank " << r;
      most = std::max(most, worst);
    }
    EXPECT_EQ(CheckMemory(work, most).message(), "");
    if (most > 0) {
      const std::string problem = CheckMemory(work, most - 1).message();
      EXPECT_NE(problem.find("holds " + std::to_string(most) + " bytes"), std::string::npos);
    }
  }
}

TEST(PeakBytesTest, PlacedKeepsWithinTheLimitOrFailsWithTheReason) {
  std::mt19937_64 random(56);
  int kept = 0;
  int refused = 0;
  int tight = 0;
  for (int trial = 0; trial < 1500; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = Draw(random, 1, 9);
    const HomeLayout home = MakeHomeLayout(layer.shape, ranks);
    Strategy strategy;
    strategy.family = Family::kPlaced;
    strategy.ulysses_degree = ranks;
    strategy.exchange = Exchange::kNeeded;
    const auto peak = [&](const Partition& made) {
      const auto bytes =
          PeakBytes(BuildLayerVolumes(layer.shape, layer.masks, made, strategy, home, DType::kF32));
      return *std::ranges::max_element(bytes);
    };
    PartitionOptions options;
    options.dtype = DType::kF32;
    const auto place = [&] {
      return MakePartition(
          Family::kPlaced, layer.shape, layer.masks, ranks, ranks, 1, home, options);
    };
    const Partition free = place();
    const std::int64_t most = peak(free);
    options.memory_per_rank = std::int64_t{1} << 40;
    ASSERT_EQ(place(), free);
    options.memory_per_rank = std::max<std::int64_t>(1, most * Draw(random, 2, 12) / 10);
    try {
      const Partition made = place();
      ASSERT_EQ(ValidatePartition(made, false).message(), "");
      ASSERT_LE(peak(made), options.memory_per_rank);
      ++kept;
      tight += options.memory_per_rank < most ? 1 : 0;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kNotFound);
      ASSERT_NE(std::string(error.what()).find(std::to_string(options.memory_per_rank)),
                std::string::npos);
      ++refused;
    }
  }
  EXPECT_GT(kept, 300);
  EXPECT_GT(refused, 100);
  EXPECT_GT(tight, 50);
}

TEST(PeakBytesTest, ALimitWithRoomForEveryHeadIsNeverRefused) {
  std::mt19937_64 random(57);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = Draw(random, 1, 9);
    const AttentionShape& shape = layer.shape;
    PartitionOptions options;
    options.dtype = DType::kF32;
    // The number of whole heads that equal counts place on one rank.
    const std::int64_t blocks = std::int64_t{shape.q_blocks()} * shape.block.q +
                                std::int64_t{shape.k_blocks()} * shape.block.k;
    options.memory_per_rank = std::int64_t{(shape.heads + ranks - 1) / ranks} * 2 * blocks *
                              shape.head_dim * BytesOf(options.dtype);
    EXPECT_NO_THROW((void)MakePartition(Family::kPlaced,
                                        shape,
                                        layer.masks,
                                        ranks,
                                        ranks,
                                        1,
                                        MakeHomeLayout(shape, ranks),
                                        options));
  }
}

TEST(MovedBytesTest, ALayerIsTheSumOfItsHeads) {
  std::mt19937_64 random(58);
  for (int trial = 0; trial < 200; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    const auto work = [&](std::optional<std::int64_t> must_move) {
      return BuildLayerVolumes(made.layer.shape,
                               made.layer.masks,
                               made.partition,
                               made.strategy,
                               made.home,
                               DType::kF32,
                               must_move);
    };
    const std::int64_t all =
        MustMoveBytes(made.layer.shape, made.layer.masks, made.home, DType::kF32);
    ASSERT_EQ(work(std::nullopt).must_move_bytes, all);
    ASSERT_EQ(work(all + 1).must_move_bytes, all + 1);
    std::vector<int> home_q;
    std::vector<int> home_k;
    for (int i = 0; i < made.layer.shape.q_blocks(); ++i) {
      home_q.push_back(made.home.RankOf(std::int64_t{i} * made.layer.shape.block.q));
    }
    for (int j = 0; j < made.layer.shape.k_blocks(); ++j) {
      home_k.push_back(made.home.RankOf(std::int64_t{j} * made.layer.shape.block.k));
    }
    std::int64_t tokens = 0;
    for (const BlockMaskPtr& mask : made.layer.masks.head) {
      tokens += MustMoveTokens(made.layer.shape, *mask, home_q, home_k);
    }
    ASSERT_EQ(all, tokens * made.layer.shape.head_dim * 4);
  }
}

TEST(MovePriceTest, TheRowPriceIsTheRatioOfTheSlopesOfRowsAndBlocks) {
  AttentionShape shape{4, 8, 64 * 16, {64, 64}};
  LayerMasks masks;
  masks.head.assign(4, std::make_shared<BlockMask>(BlockMask::Full(16, 16)));
  FakeCosts costs;
  const double block_ns = 4096 * costs.pair_ns;
  EXPECT_NEAR(RowPrice(shape, masks, Strategy{}, 2, costs), costs.row_ns / block_ns, 1e-9);
  costs.row_ns = 5 * block_ns;
  EXPECT_NEAR(RowPrice(shape, masks, Strategy{}, 2, costs), 5, 1e-9);
  costs.row_ns = 0;
  EXPECT_EQ(RowPrice(shape, masks, Strategy{}, 2, costs), 0);
  masks.head.assign(4, std::make_shared<BlockMask>(16, 16));
  EXPECT_EQ(RowPrice(shape, masks, Strategy{}, 2, costs), 0);
}

TEST(MovePriceTest, TheMovePriceIsTheSlopeOfTheExchangeOverTheTimeOfABlock) {
  // 64 x 64 tokens of 8 numbers of 2 bytes, all blocks active. A block takes 4096 pairs at 0.5 ns
  // and its share of the call and of the rows. Q and O, or K and V, of 64 tokens have 2048 bytes at
  // 0.05 ns.
  AttentionShape shape{4, 8, 64 * 16, {64, 64}};
  LayerMasks masks;
  masks.head.assign(4, std::make_shared<BlockMask>(BlockMask::Full(16, 16)));
  FakeCosts costs;
  const double kept = 4 * 256 / 2;
  const double block_ns = 4096 * 0.5 + 50 / kept + 2 * (4 * 16 / 2) / kept;
  EXPECT_NEAR(
      MovePrice(shape, masks, Strategy{}, 2, DType::kBf16, costs), 2048 * 0.05 / block_ns, 1e-9);
  costs.byte_ns *= 3;
  EXPECT_NEAR(MovePrice(shape, masks, Strategy{}, 2, DType::kBf16, costs),
              3 * 2048 * 0.05 / block_ns,
              1e-9);
  masks.head.assign(4, std::make_shared<BlockMask>(16, 16));
  EXPECT_EQ(MovePrice(shape, masks, Strategy{}, 2, DType::kBf16, costs), 0);
}

}  // namespace
}  // namespace dbsp::planner
