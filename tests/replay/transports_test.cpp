// SPDX-License-Identifier: Apache-2.0
// Every family, degree pair and rank count, on awkward layers, through both transports.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "planner/placement/chunked.h"
#include "planner/timeline/chunks.h"
#include "replay/verify.h"
#include "replay/work_check.h"
#include "tests/core/expect_error.h"
#include "tests/replay/cases.h"

namespace dbsp::replay {
namespace {

using testing::kOnce;
using testing::MakeRanks;
using testing::MakeTestCell;
using testing::Predicted;
using testing::Scenario;
using testing::Scenarios;

struct Split {
  Family family;
  double reward;
};

constexpr Split kSplits[] = {{Family::kUlysses, 0},
                             {Family::kRing, 0},
                             {Family::kUsp, 0},
                             {Family::kDbsp, 0},
                             {Family::kDbsp, 2},
                             {Family::kBalanced, 0},
                             {Family::kPlaced, 0}};

/// Calls body(cell, name) for every split of `ranks` ranks of every scenario.
template <typename Body>
void ForEveryCell(int ranks, const Body& body) {
  for (const Scenario& scenario : Scenarios()) {
    for (const Split& split : kSplits) {
      for (const auto& degrees : planner::DegreesOf(split.family, ranks, scenario.shape.heads)) {
        const std::string name = fmt::format("{}: {} U{} R{} on {} ranks, Rb {}",
                                             scenario.name,
                                             NameOf(split.family),
                                             degrees.first,
                                             degrees.second,
                                             ranks,
                                             split.reward);
        SCOPED_TRACE(name);
        body(MakeTestCell(scenario, split.family, ranks, degrees, split.reward));
        if (degrees.second > 1) continue;
        const int most = planner::MostChunks(split.family, ranks, scenario.shape.heads);
        for (int chunks = 2; chunks <= std::min(3, most); ++chunks) {
          SCOPED_TRACE(fmt::format("{} chunks", chunks));
          body(MakeTestCell(scenario, split.family, ranks, degrees, split.reward, 7, chunks));
        }
      }
    }
  }
}

std::vector<float> AllOutputs(const Cell& cell, std::span<const CpuRank> ranks) {
  std::vector<float> all;
  for (int head = 0; head < cell.shape.heads; ++head) {
    for (std::int64_t token = 0; token < cell.shape.tokens; ++token) {
      const auto home = static_cast<std::size_t>(cell.home.RankOf(token));
      const std::span<const float> row = ranks[home].Output(head, token);
      all.insert(all.end(), row.begin(), row.end());
    }
  }
  return all;
}

void ExpectVerified(const Cell& cell, std::span<const CpuRank> ranks) {
  EXPECT_EQ(CheckWork(cell, ranks).message(), "");
  const VerifyResult result = Verify(cell, ranks, {.threads = 1});
  EXPECT_TRUE(result.passed) << result.problem;
  EXPECT_EQ(result.rows_checked, result.rows);
  EXPECT_LE(result.relative_error, 1e-5);
  EXPECT_LE(result.max_abs_error, 1e-3);
  EXPECT_LE(result.lse_error, 1e-5);
}

class TransportsTest : public ::testing::TestWithParam<int> {};

TEST_P(TransportsTest, EveryFamilyAgreesWithTheReferenceAndTheTransportsWithEachOther) {
  int cells = 0;
  ForEveryCell(GetParam(), [&](const Cell& cell) {
    ++cells;
    std::vector<CpuRank> threads = MakeRanks(cell);
    ASSERT_EQ(RunThreads(cell, threads, kOnce, {}).size(), 1U);
    ExpectVerified(cell, threads);
    std::vector<CpuRank> serial = MakeRanks(cell);
    ASSERT_GT(RunSerial(cell, serial, Predicted(cell), kOnce, {}).makespan_ns, 0);
    ExpectVerified(cell, serial);
    const std::vector<float> a = AllOutputs(cell, threads);
    const std::vector<float> b = AllOutputs(cell, serial);
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  });
  EXPECT_GE(cells, 5);
}

TEST_P(TransportsTest, EveryRankSpendsItsBlocksAndEveryKeptBlockIsComputedOnce) {
  ForEveryCell(GetParam(), [&](const Cell& cell) {
    std::vector<CpuRank> ranks = MakeRanks(cell);
    (void)RunSerial(cell, ranks, Predicted(cell), kOnce, {});
    std::int64_t computed = 0;
    for (const CpuRank& rank : ranks) {
      const auto& kept = rank.executed().active_blocks;
      computed += std::accumulate(kept.begin(), kept.end(), std::int64_t{0});
    }
    std::int64_t expected = 0;
    for (const BlockMaskPtr& mask : cell.masks.head) expected += mask->Count();
    EXPECT_EQ(computed, expected);
  });
}

TEST_P(TransportsTest, TokensInAnotherOrderComeBackAsTheirOwnOutputs) {
  for (const Scenario& scenario : Scenarios()) {
    for (const Split& split : kSplits) {
      for (const auto& degrees :
           planner::DegreesOf(split.family, GetParam(), scenario.shape.heads)) {
        for (const std::string& layout : planner::LayoutNames(GetParam())) {
          if (!layout.ends_with(fmt::format(":{}", GetParam()))) continue;
          SCOPED_TRACE(fmt::format("{}: {} U{} R{} {}",
                                   scenario.name,
                                   NameOf(split.family),
                                   degrees.first,
                                   degrees.second,
                                   layout));
          const Cell cell =
              MakeTestCell(scenario, split.family, GetParam(), degrees, split.reward, 7, 1, layout);
          std::vector<CpuRank> threads = MakeRanks(cell);
          (void)RunThreads(cell, threads, kOnce, {});
          ExpectVerified(cell, threads);
          std::vector<CpuRank> serial = MakeRanks(cell);
          (void)RunSerial(cell, serial, Predicted(cell), kOnce, {});
          ExpectVerified(cell, serial);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, TransportsTest, ::testing::Values(1, 2, 3, 4, 6, 8));

TEST(LayoutTest, OutputsLeftInTheOrderTheyRanInAreFound) {
  Cell cell = MakeTestCell(Scenarios().front(), Family::kRing, 4, {1, 4}, 0, 7, 1, "strided:4");
  std::vector<CpuRank> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  EXPECT_TRUE(Verify(cell, ranks, {.threads = 1}).passed);
  cell.key.order = nullptr;  // as if nothing were undone at the output
  EXPECT_FALSE(Verify(cell, ranks, {.threads = 1}).passed);
}

Cell RingOfFour() { return MakeTestCell(Scenarios().front(), Family::kRing, 4, {1, 4}); }

TEST(ThreadsTransportTest, SegmentsOfARankFollowEachOtherAndEndWithTheMakespan) {
  const Cell cell = RingOfFour();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  const std::vector<Timeline> runs = RunThreads(cell, ranks, {.warmups = 1, .runs = 2}, {});
  ASSERT_EQ(runs.size(), 2U);
  for (const Timeline& run : runs) {
    // Per rank 2 rounds of pack, exchange, unpack, 4 attentions, 3 hops, and merges where some are.
    std::ptrdiff_t merges = 0;
    for (const auto& step : cell.volumes.merge_rows) {
      merges += std::ranges::count_if(step, [](std::int64_t rows) { return rows > 0; });
    }
    ASSERT_EQ(std::ssize(run.segments), 4 * 13 + merges);
    std::int64_t last = 0;
    for (std::size_t i = 0; i < run.segments.size(); ++i) {
      const Segment& s = run.segments[i];
      const std::int64_t end = s.start_ns + s.duration_ns;
      EXPECT_GE(s.start_ns, 0);
      EXPECT_GE(s.duration_ns, 0);
      last = std::max(last, end);
      if (i == 0 || run.segments[i - 1].rank != s.rank) continue;
      EXPECT_GE(s.start_ns, run.segments[i - 1].start_ns + run.segments[i - 1].duration_ns);
    }
    EXPECT_EQ(run.makespan_ns, last);
  }
}

TEST(ThreadsTransportTest, ARankThatThrowsStopsAllAndSaysWhy) {
  const Cell cell = RingOfFour();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  const Observer fail = [](int rank, int step) {
    if (rank == 2 && step == 1) throw std::runtime_error("the lights went out");
  };
  dbsp::testing::ExpectError(ErrorCode::kMeasurement, {"rank 2", "the lights went out"}, [&] {
    (void)RunThreads(cell, ranks, kOnce, fail);
  });
  EXPECT_EQ(ExitCode(ErrorCode::kMeasurement), 1);
}

TEST(SerialTransportTest, ARankThatThrowsIsNamed) {
  const Cell cell = RingOfFour();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  const Observer fail = [](int rank, int) {
    if (rank == 3) throw std::runtime_error("out of paper");
  };
  dbsp::testing::ExpectError(ErrorCode::kMeasurement, {"rank 3", "out of paper"}, [&] {
    (void)RunSerial(cell, ranks, Predicted(cell), kOnce, fail);
  });
}

TEST(SerialTransportTest, ExchangeTimesAreThePredictedOnes) {
  const Cell cell = RingOfFour();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  const std::vector<Segment> predicted = Predicted(cell);
  const Timeline timeline = RunSerial(cell, ranks, predicted, kOnce, {});
  int compared = 0;
  for (const Segment& s : timeline.segments) {
    if (s.kind != SegmentKind::kExchange && s.kind != SegmentKind::kHop) continue;
    const auto match = std::find_if(predicted.begin(), predicted.end(), [&](const Segment& p) {
      return p.rank == s.rank && p.kind == s.kind && p.index == s.index;
    });
    ASSERT_NE(match, predicted.end());
    EXPECT_EQ(s.duration_ns, match->duration_ns);
    ++compared;
  }
  EXPECT_GE(compared, 3 * 4);
}

TEST(SerialTransportTest, AttentionTakesAsMuchLongerAsThePlanSaysItDoesBesideTraffic) {
  const Cell cell = RingOfFour();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  std::vector<Segment> predicted = Predicted(cell);
  const auto slowed = [](const Segment& s) {
    return s.kind == SegmentKind::kAttention && s.rank == 2 && s.index == 1;
  };
  constexpr std::int64_t kFactor = 1'000'000'000;  // no kernel of this size takes a second
  for (Segment& s : predicted) {
    if (!slowed(s)) continue;
    s.alone_ns = 7;
    s.duration_ns = 7 * kFactor;
  }
  const Timeline timeline = RunSerial(cell, ranks, predicted, kOnce, {});
  int found = 0;
  for (const Segment& s : timeline.segments) {
    if (s.kind != SegmentKind::kAttention) continue;
    if (slowed(s)) {
      EXPECT_GE(s.duration_ns, kFactor);
      EXPECT_EQ(s.duration_ns % kFactor, 0);  // whole nanoseconds were measured
      ++found;
    } else {
      EXPECT_LT(s.duration_ns, kFactor);
    }
  }
  EXPECT_EQ(found, 1);
}

TEST(SerialTransportTest, AMissingPredictionIsAnErrorThatNamesTheSegment) {
  const Cell cell = RingOfFour();
  std::vector<CpuRank> ranks = MakeRanks(cell);
  std::vector<Segment> predicted = Predicted(cell);
  std::erase_if(predicted,
                [](const Segment& s) { return s.kind == SegmentKind::kHop && s.index == 1; });
  dbsp::testing::ExpectError(ErrorCode::kMismatch, {"hop 1", "threads"}, [&] {
    (void)RunSerial(cell, ranks, predicted, kOnce, {});
  });
}

TEST(MedianDurationsTest, OneDisturbedRankPerRunLeavesNoTrace) {
  std::vector<planner::LayerDurations> runs(3);
  for (std::size_t disturbed = 0; disturbed < runs.size(); ++disturbed) {
    runs[disturbed].attention = {{5, 5, 5}};
    runs[disturbed].attention[0][disturbed] = 50;
    runs[disturbed].hop = {{1.0 + static_cast<double>(disturbed)}};
  }
  const planner::LayerDurations median = MedianDurations(runs);
  EXPECT_EQ(median.attention, (std::vector<std::vector<double>>{{5, 5, 5}}));
  EXPECT_EQ(median.hop, (std::vector<std::vector<double>>{{2}}));
  runs.pop_back();
  EXPECT_EQ(MedianDurations(runs).hop, (std::vector<std::vector<double>>{{1.5}}));
}

TEST(MedianRunTest, TakesTheMiddleMakespan) {
  const auto of = [](std::initializer_list<std::int64_t> makespans) {
    std::vector<Timeline> runs;
    for (const std::int64_t ns : makespans) runs.push_back({{}, ns});
    return MedianRun(runs);
  };
  EXPECT_EQ(of({5}), 0U);
  EXPECT_EQ(of({9, 1, 5}), 2U);
  EXPECT_EQ(of({4, 1, 3, 2}), 3U);
}

}  // namespace
}  // namespace dbsp::replay
