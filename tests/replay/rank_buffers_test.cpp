// SPDX-License-Identifier: Apache-2.0
// Offsets of blocks when one launch computes all heads: every family, odd sizes, tails.
#include "replay/rank_buffers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "planner/placement/chunked.h"
#include "planner/placement/families.h"
#include "planner/timeline/chunks.h"
#include "replay/rank_driver.h"
#include "tests/core/expect_error.h"
#include "tests/planner/random_placed.h"
#include "tests/replay/cases.h"

namespace dbsp::replay {
namespace {

using testing::MakeTestCell;
using testing::Scenario;
using testing::Scenarios;

/// Number of key tokens of slot `slot` that a kernel reads.
int TokensOfSlot(const StepPlan& step, int slot, int block) {
  return std::clamp(step.k_tokens - slot * block, 0, block);
}

/// Every column has its own slot with exactly its tokens, and the offsets agree.
void ExpectSlotsHoldTheColumns(const RankBuffers& buffers, const StepPlan& step) {
  const AttentionShape& shape = buffers.cell->shape;
  const std::int64_t dim = shape.head_dim;
  std::int64_t base = 0;
  for (const std::size_t h : step.heads) {
    const HeadCall& call = step.head[h];
    EXPECT_EQ(call.k, base + call.first_slot * shape.block.k * dim);
    EXPECT_EQ(call.v, call.k + step.elements / 2);
    for (std::size_t c = 0; c < call.k_tokens.size(); ++c) {
      const int slot = call.first_slot + static_cast<int>(c);
      EXPECT_EQ(TokensOfSlot(step, slot, shape.block.k), call.k_tokens[c])
          << "head " << h << " column " << c;
    }
    base += step.k_tokens * dim;
  }
  EXPECT_EQ(2 * base, step.elements);
}

void ExpectRowsFollowEachOther(const RankBuffers& buffers, const StepPlan& step) {
  if (step.heads.empty()) return;
  std::int64_t slot = buffers.slots[step.heads.front()].first;
  for (const std::size_t h : step.heads) {
    EXPECT_EQ(buffers.slots[h].first, slot);
    EXPECT_LE(std::ssize(buffers.slots[h].q_tokens), step.q_slots);
    slot += step.q_slots;
  }
  EXPECT_LE(slot, buffers.row_slots);
}

class RankBuffersTest : public ::testing::TestWithParam<int> {};

/// Every U x R and family, chunks, and heads placed one by one with both exchanges.
template <typename Body>
void ForEveryCell(int ranks, const Body& body) {
  for (const Scenario& scenario : Scenarios()) {
    SCOPED_TRACE(scenario.name);
    for (const Family family : {Family::kUlysses, Family::kUsp, Family::kBalanced}) {
      for (const auto& degrees : planner::DegreesOf(family, ranks, scenario.shape.heads)) {
        body(MakeTestCell(scenario, family, ranks, degrees));
        const int most = planner::MostChunks(family, ranks, scenario.shape.heads);
        if (degrees.second > 1 || most < 2) continue;
        body(MakeTestCell(scenario, family, ranks, degrees, 2.0, 7, 2));
      }
    }
    const LayerMasks masks = testing::MakeMasks(scenario, 7);
    std::mt19937_64 random(5);
    for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
      Strategy strategy;
      strategy.family = Family::kPlaced;
      strategy.exchange = exchange;
      const Partition placed = planner::MakeRandomPlaced(random, scenario.shape, ranks);
      body(MakeCell(scenario.shape, masks, placed, strategy, {.seed = 7}));
    }
  }
}

TEST_P(RankBuffersTest, OneLaunchCanTakeTheHeadsOfEveryStep) {
  ForEveryCell(GetParam(), [](const Cell& cell) {
    for (int rank = 0; rank < cell.ranks(); ++rank) {
      const RankBuffers buffers = MakeRankBuffers(cell, rank, BlockLayout::kUniform);
      for (const StepPlan& step : buffers.steps) {
        ExpectSlotsHoldTheColumns(buffers, step);
        ExpectRowsFollowEachOther(buffers, step);
      }
    }
  });
}

TEST_P(RankBuffersTest, ARingPassesOnNothingButKeysAndValuesInBothLayouts) {
  const int ranks = GetParam();
  for (const Scenario& scenario : Scenarios()) {
    SCOPED_TRACE(scenario.name);
    const Cell cell = MakeTestCell(scenario, Family::kRing, ranks, {1, ranks});
    for (int rank = 0; rank < ranks; ++rank) {
      const RankBuffers tight = MakeRankBuffers(cell, rank, BlockLayout::kTight);
      const RankBuffers uniform = MakeRankBuffers(cell, rank, BlockLayout::kUniform);
      for (std::size_t step = 0; step < tight.steps.size(); ++step) {
        EXPECT_EQ(uniform.steps[step].elements, tight.steps[step].elements);
        std::int64_t tokens = 0;
        for (const HeadCall& call : tight.steps[step].head) {
          tokens += std::accumulate(call.k_tokens.begin(), call.k_tokens.end(), 0);
        }
        EXPECT_EQ(tight.steps[step].elements, 2 * tokens * scenario.shape.head_dim);
      }
    }
  }
}

TEST_P(RankBuffersTest, ExchangesAreTheSameInBothLayoutsAndHalfAsManyBytesInBf16) {
  const int ranks = GetParam();
  for (const Scenario& scenario : Scenarios()) {
    Cell cell = MakeTestCell(scenario, Family::kUlysses, ranks, {ranks, 1});
    for (int rank = 0; rank < ranks; ++rank) {
      cell.key.dtype = DType::kF32;
      const RankBuffers tight = MakeRankBuffers(cell, rank, BlockLayout::kTight);
      cell.key.dtype = DType::kBf16;
      const RankBuffers uniform = MakeRankBuffers(cell, rank, BlockLayout::kUniform);
      for (std::size_t round = 0; round < tight.bytes.size(); ++round) {
        EXPECT_EQ(uniform.rounds[round].send_counts, tight.rounds[round].send_counts);
        for (std::size_t other = 0; other < tight.bytes[round].send_counts.size(); ++other) {
          EXPECT_EQ(tight.bytes[round].send_counts[other],
                    4 * tight.rounds[round].send_counts[other]);
        }
        for (std::size_t other = 0; other < tight.bytes[round].recv_counts.size(); ++other) {
          EXPECT_EQ(2 * uniform.bytes[round].recv_counts[other],
                    tight.bytes[round].recv_counts[other]);
          EXPECT_EQ(2 * uniform.bytes[round].recv_offsets[other],
                    tight.bytes[round].recv_offsets[other]);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, RankBuffersTest, ::testing::Values(1, 2, 3, 4, 8));

/// Records the order of calls.
class Recorder final : public RankDriver {
 public:
  void Pack(int round) override { Add("p", round); }
  void StartExchange(int round) override { Add("x", round); }
  void FinishExchange(int round) override { Add("X", round); }
  void Unpack(int round) override { Add("u", round); }
  void Attend(int step) override { Add("a", step); }
  void Merge(int step) override { Add("m", step); }
  void StartHop(int step) override { Add("h", step); }
  void FinishHop(int step) override { Add("H", step); }
  std::string text;

 private:
  void Add(const char* what, int index) { text += what + std::to_string(index) + " "; }
};

TEST(RankDriverTest, HopsRunBesideAttention) {
  const Cell cell = MakeTestCell(Scenarios().front(), Family::kRing, 3, {1, 3});
  Recorder recorder;
  DriveRank(cell, true, recorder);
  EXPECT_EQ(recorder.text, "p0 x0 X0 u0 h0 a0 H0 h1 a1 m1 H1 a2 m2 p1 x1 X1 u1 ");
}

TEST(RankDriverTest, TheNextChunksExchangeRunsUnderAttention) {
  const Cell cell = MakeTestCell(Scenarios().front(), Family::kUlysses, 2, {2, 1}, 2.0, 7, 2);
  Recorder recorder;
  DriveRank(cell, false, recorder);
  EXPECT_EQ(recorder.text, "p0 x0 p1 x1 X0 u0 a0 p2 x2 X1 u1 a1 p3 x3 X2 u2 X3 u3 ");
}

}  // namespace
}  // namespace dbsp::replay
