// SPDX-License-Identifier: Apache-2.0
// Replays on emulated GPUs (tests/emulated_gpu): the production code of both GPU transports moves
// and computes real data. Outputs are compared with fp64, with an unsplit run and with the CPU
// replay of the same cell. The executed work is compared with the volumes in bf16.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <utility>

#include "build_config.h"
#include "core/bf16.h"
#include "kernels/gpu/gpu_variants.h"
#include "planner/workload/token_layout.h"
#include "replay/cpu_rank.h"
#include "replay/gpu_rank.h"
#include "replay/pass_groups.h"
#include "replay/work_check.h"
#include "tests/core/expect_error.h"
#include "tests/replay/gpu_cases.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;
using emulated_gpu::Schedule;
using testing::Case;
using testing::CellOf;
using testing::EmptyHeads;
using ::testing::HasSubstr;
using testing::Limits;
using testing::Made;
using testing::OnGpu;
using testing::PredictedBf16;
using testing::Scenario;
using testing::Split;
using testing::Splits;
using testing::Tails;

void ExpectGood(const Cell& cell, CellRunner& runner, const Repeats& repeats) {
  const std::vector<Timeline> runs = runner.Run(PredictedBf16(cell), repeats, {});
  EXPECT_EQ(CheckWork(cell, runner.ranks()).message(), "");
  const VerifyResult result = runner.VerifyOutputs(Limits());
  EXPECT_TRUE(result.passed) << result.problem;
  EXPECT_EQ(result.rows_checked, result.rows);
  ASSERT_TRUE(result.unsplit_error.has_value());
  EXPECT_LE(*result.unsplit_error, 5e-3);
  ASSERT_TRUE(result.unsplit_lse_error.has_value());
  EXPECT_LE(*result.unsplit_lse_error, 1e-4);
  ASSERT_FALSE(runs.empty());
  EXPECT_FALSE(runs.front().segments.empty());
}

class GpuReplayTest : public ::testing::TestWithParam<int> {};

void RunEverySplit(int ranks, TransportKind transport, const Scenario& scenario) {
  const LayerMasks masks = testing::MakeMasks(scenario, 7);
  std::uint64_t seed = 1;
  for (const Split& split : Splits(scenario, masks, ranks)) {
    SCOPED_TRACE(scenario.name + ": " + split.name);
    emulated_gpu::Configure({.schedule = Schedule::kRandom, .seed = seed++});
    const Cell cell = CellOf(scenario, masks, split, DType::kBf16);
    const auto runner = MakeRunner(cell, OnGpu(transport), true, Limits(), std::nullopt);
    EXPECT_EQ(runner->kernel(), "sm90.block64x64.d64");
    ExpectGood(cell, *runner, {.warmups = 0, .runs = 1});
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST_P(GpuReplayTest, EveryFamilyPlayedByOneGpuAgreesWithTheReferenceAndAnUnsplitRun) {
  RunEverySplit(GetParam(), TransportKind::kSerial, Tails());
}

TEST_P(GpuReplayTest, HeadsWithoutKeysAndFullBlocks) {
  RunEverySplit(GetParam(), TransportKind::kSerial, EmptyHeads());
}

TEST_P(GpuReplayTest, EveryFamilyOverNcclAgreesWithTheReferenceAndAnUnsplitRun) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  RunEverySplit(GetParam(), TransportKind::kNccl, Tails());
}

INSTANTIATE_TEST_SUITE_P(Ranks, GpuReplayTest, ::testing::Values(1, 2, 3, 4));

constexpr std::array kSchedules{Schedule::kEarly, Schedule::kLate, Schedule::kRandom};

TEST(GpuTransportsTest, AgreeWithTheCpuAndWithEachOtherWhateverTheDeviceDoesFirst) {
  const Case c;
  const Cell on_cpu = CellOf(c.scenario, c.masks, c.split, DType::kF32);
  std::vector<CpuRank> cpu = testing::MakeRanks(on_cpu);
  (void)RunThreads(on_cpu, cpu, testing::kOnce, {});
  std::vector<std::uint16_t> first;
  for (const Schedule schedule : kSchedules) {
    for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kNccl}) {
      if (transport == TransportKind::kNccl && !DBSP_HAVE_NCCL) continue;
      emulated_gpu::Configure({.schedule = schedule});
      const auto runner = c.Runner(OnGpu(transport));
      (void)runner->Run(PredictedBf16(c.cell), {.warmups = 1, .runs = 1}, {});
      EXPECT_TRUE(runner->VerifyOutputs(Limits()).passed);
      std::vector<std::uint16_t> all;
      double error = 0;
      double reference = 0;
      for (std::size_t r = 0; r < cpu.size(); ++r) {
        const auto& rank = dynamic_cast<const GpuRank&>(*runner->ranks()[r]);
        const std::vector<std::uint16_t> out = rank.Output();
        const std::span<const float> expected(cpu[r].Output(0, on_cpu.home.begin[r]).data(),
                                              out.size());
        for (std::size_t i = 0; i < out.size(); ++i) {
          error += std::pow(FromBf16(out[i]) - expected[i], 2);
          reference += std::pow(expected[i], 2);
        }
        all.insert(all.end(), out.begin(), out.end());
      }
      // The CPU's inputs are not rounded to bf16.
      EXPECT_LE(std::sqrt(error / reference), 1e-2);
      if (first.empty()) first = all;
      EXPECT_EQ(all, first) << "the kernels are deterministic and see the same blocks in order";
    }
  }
}

TEST(GpuTransportsTest, ARunAsAGraphLeavesTheSameAndCountsTheSame) {
  const Case c;
  for (const GraphMode mode : {GraphMode::kOn, GraphMode::kOff}) {
    emulated_gpu::Configure({});
    ExecutionTarget on = OnGpu(TransportKind::kSerial);
    on.graph = mode;
    const auto runner = c.Runner(on);
    ExpectGood(c.cell, *runner, {.warmups = 1, .runs = 2});
    EXPECT_EQ(runner->graph_runs(), mode == GraphMode::kOn ? 2 : 0);
    EXPECT_EQ(emulated_gpu::Counted().graph_launches, mode == GraphMode::kOn ? 2 : 0);
  }
}

TEST(GpuTransportsTest, TokensInAnotherOrderComeBackAsTheirOwnOutputs) {
  const Case given;
  const TokenLayout layout = planner::MakeLayout("strided:3", given.scenario.shape);
  const LayerMasks run = planner::Permuted(given.masks, layout, given.scenario.shape);
  const Split split = Made(given.scenario, run, Family::kRing, 3, {1, 3});
  const Cell cell = MakeCell(given.scenario.shape,
                             given.masks,
                             split.partition,
                             split.strategy,
                             {7, 1, 2, DType::kBf16},
                             layout);
  ASSERT_NE(cell.key.order, nullptr);
  emulated_gpu::Configure({});
  const auto runner = MakeRunner(cell, OnGpu(TransportKind::kSerial), true, Limits(), std::nullopt);
  ExpectGood(cell, *runner, {.warmups = 0, .runs = 1});
}

TEST(GpuTransportsTest, HeadsWithAndWithoutTheShortBlockShareALaunch) {
  const Scenario scenario = Tails();
  LayerMasks masks = testing::MakeMasks(scenario, 7);
  BlockMask without(masks.head[1]->rows(), masks.head[1]->cols());
  for (int row = 0; row < without.rows(); ++row) {
    for (int col = 0; col + 1 < without.cols(); ++col) without.Set(row, col);
  }
  masks.head[1] = std::make_shared<const BlockMask>(std::move(without));
  std::mt19937_64 random(3);
  Split split;
  split.strategy.family = Family::kPlaced;
  split.strategy.exchange = Exchange::kNeeded;
  split.partition = planner::MakeRandomPlaced(random, scenario.shape, 1);
  const Cell cell = CellOf(scenario, masks, split, DType::kBf16);
  emulated_gpu::Configure({});
  const auto runner = MakeRunner(cell, OnGpu(TransportKind::kSerial), true, Limits(), std::nullopt);
  const StepPlan& step = runner->ranks()[0]->buffers().steps[0];
  ASSERT_EQ(step.head[0].k_tokens.back(), 171 % 64);
  ASSERT_EQ(step.head[1].k_tokens.back(), 64);
  ExpectGood(cell, *runner, {.warmups = 0, .runs = 1});
}

TEST(GpuTransportsTest, AGraphIsTakenWhenTheDeviceWaitsForTheHost) {
  const Case c;
  // An early device finishes a launch before the host continues; a late one starts when all is
  // enqueued.
  for (const Schedule schedule : {Schedule::kEarly, Schedule::kLate}) {
    emulated_gpu::Configure({.schedule = schedule});
    const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
    (void)runner->Run(PredictedBf16(c.cell), {.warmups = 1, .runs = 1}, {});
    EXPECT_EQ(runner->graph_runs(), schedule == Schedule::kEarly ? 1 : 0);
  }
}

TEST(GpuTransportsTest, AttentionOfARankAndStepIsOneLaunch) {
  emulated_gpu::Configure({});
  const Case c;
  const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
  (void)runner->Run(PredictedBf16(c.cell), {.warmups = 0, .runs = 1}, {});
  const emulated_gpu::Counts counts = emulated_gpu::Counted();
  EXPECT_EQ(counts.attention_launches, 9) << "3 ranks, 3 steps";
  EXPECT_EQ(counts.merges, 6);
  EXPECT_EQ(counts.copies, 12) << "3 ranks pack and unpack 2 rounds: Q, K and V in one launch";
}

TEST(GpuTransportsTest, AttentionLeavesSmsToTheExchangeBesideIt) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({.sm_count = 3});
  const Case c;
  ExecutionTarget on = OnGpu(TransportKind::kNccl);
  on.sm_margin = 2;
  ExpectGood(c.cell, *c.Runner(on), {.warmups = 0, .runs = 1});
  on.sm_margin = 3;
  ExpectError(ErrorCode::kInvalidArgument, {"--sm-margin 3", "3 SMs"}, [&] { (void)c.Runner(on); });
}

/// O stays within its limits: the added error is far below the resolution of bf16.
TEST(GpuTransportsTest, AnErrorOfLogSumExpAloneFailsTheVerification) {
  const std::vector<std::pair<Family, std::pair<int, int>>> splits{{Family::kUlysses, {3, 1}},
                                                                   {Family::kRing, {1, 3}}};
  for (const auto& [family, degrees] : splits) {
    emulated_gpu::Configure({});
    const Case c(family, 3, degrees);
    const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
    emulated_gpu::BreakLogSumExp(2e-3F);
    (void)runner->Run(PredictedBf16(c.cell), {.warmups = 0, .runs = 1}, {});
    emulated_gpu::BreakLogSumExp(0);
    const VerifyResult result = runner->VerifyOutputs(Limits());
    EXPECT_FALSE(result.passed);
    EXPECT_LE(result.relative_error, Limits().max_relative_error);
    EXPECT_GE(result.lse_error, 1.9e-3);
    EXPECT_THAT(result.problem, HasSubstr("O is within its limits"));
  }
}

TEST(GpuTransportsTest, LogSumExpIsHeldAgainstTheUnsplitRunToo) {
  emulated_gpu::Configure({});
  const Case c;
  const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
  (void)runner->Run(PredictedBf16(c.cell), {.warmups = 0, .runs = 1}, {});
  emulated_gpu::BreakLogSumExp(2e-3F);  // of the unsplit run alone
  const VerifyResult result = runner->VerifyOutputs(Limits());
  EXPECT_FALSE(result.passed);
  EXPECT_LE(result.lse_error, Limits().max_lse_error);
  EXPECT_THAT(result.problem, HasSubstr("unsplit run on the same device"));
  EXPECT_THAT(result.problem, HasSubstr("log-sum-exp error 0.002"));
}

/// Every kernel of the table on one or two ranks, with a short last block.
TEST(GpuKernelsTest, EveryBlockKernelPlaysAUlyssesAndARing) {
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    if (variant.list != kernels::gpu::ListKind::kBlocks) continue;
    SCOPED_TRACE(variant.name);
    const BlockSize block{variant.q_block, variant.k_block};
    const int unit = std::lcm(block.q, block.k);
    const int ranks = unit <= 384 ? 2 : 1;  // homes begin at multiples of the unit
    const Scenario scenario{
        variant.name, {2, variant.head_dim, ranks == 2 ? unit + 37 : 293, block}, 0.7, false, 0};
    const LayerMasks masks = testing::MakeMasks(scenario, 3);
    for (const Family family : {Family::kUlysses, Family::kRing}) {
      emulated_gpu::Configure({});
      const std::pair<int, int> degrees =
          family == Family::kUlysses ? std::pair(ranks, 1) : std::pair(1, ranks);
      const Split split = Made(scenario, masks, family, ranks, degrees);
      const Cell cell = CellOf(scenario, masks, split, DType::kBf16);
      ExecutionTarget on = OnGpu(TransportKind::kSerial);
      on.kernel = variant.name;
      ExpectGood(cell, *MakeRunner(cell, on, true, Limits(), std::nullopt), {0, 1});
    }
  }
}

TEST(GpuTransportsTest, OneRankNeedsOneGpuOverNccl) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({.devices = 1});
  const Case c(Family::kUlysses, 1, {1, 1});
  const auto runner = c.Runner(OnGpu(TransportKind::kNccl));
  ExpectGood(c.cell, *runner, {.warmups = 0, .runs = 1});
}

TEST(GpuTransportsTest, PassGroupsAreCommunicatorsOfTheirOwnOnDevicesOneBehindTheOther) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  for (const int pass_ranks : {2, 3}) {
    for (const Family family : {Family::kRing, Family::kPlaced}) {
      for (const TransportKind transport : {TransportKind::kNccl, TransportKind::kSerial}) {
        SCOPED_TRACE(fmt::format("{} on 2 x {} ranks, transport {}",
                                 NameOf(family),
                                 pass_ranks,
                                 static_cast<int>(transport)));
        emulated_gpu::Configure({.devices = 2 * pass_ranks,
                                 .schedule = Schedule::kRandom,
                                 .seed = static_cast<std::uint64_t>(pass_ranks)});
        const Scenario scenario = Tails();
        const LayerMasks masks = testing::MakeMasks(scenario, 7);
        Split split =
            Made(scenario,
                 masks,
                 family,
                 pass_ranks,
                 family == Family::kRing ? std::pair(1, pass_ranks) : std::pair(pass_ranks, 1));
        split.strategy.cfg_degree = 2;
        const Cell cell = CellOf(scenario, masks, split, DType::kBf16);
        const int at_once = ConcurrentGroups(transport, split.strategy);
        EXPECT_EQ(at_once, transport == TransportKind::kNccl ? 2 : 1);
        for (int first = 0; first < 2; first += at_once) {
          std::vector<Cell> cells;
          for (int g = first; g < first + at_once; ++g) cells.push_back(OfPassGroup(cell, g));
          PassGroups groups(cells, OnGpu(transport), true, Limits(), std::nullopt);
          const std::vector<Timeline> runs =
              groups.Run(PredictedBf16(cell), {.warmups = 1, .runs = 2}, {});
          EXPECT_EQ(runs.size(), transport == TransportKind::kNccl ? 2U : 1U);
          std::set<int> ranks;
          for (const Segment& s : runs.front().segments) ranks.insert(s.rank);
          EXPECT_EQ(ranks.size(), static_cast<std::size_t>(at_once * pass_ranks));
          EXPECT_EQ(*ranks.begin(), first * pass_ranks);
          for (std::size_t g = 0; g < cells.size(); ++g) {
            CellRunner& runner = *groups.runners()[g];
            EXPECT_EQ(CheckWork(cells[g], runner.ranks()).message(), "");
            const VerifyResult result = runner.VerifyOutputs(Limits());
            EXPECT_TRUE(result.passed) << result.problem;
            EXPECT_EQ(result.rows_checked, result.rows);
            EXPECT_LE(result.unsplit_error.value(), 5e-3);
          }
        }
      }
    }
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST(GpuTransportsTest, PassGroupsNeedAGpuForEveryRankOfThePlan) {
  Case c;
  c.split.strategy.cfg_degree = 2;
  c.cell = CellOf(c.scenario, c.masks, c.split, DType::kBf16);
  emulated_gpu::Configure({.devices = 5});
  ExpectError(ErrorCode::kUnavailable,
              {"--transport nccl: unavailable: 6 ranks", "this machine has 5"},
              [&] { (void)c.Runner(OnGpu(TransportKind::kNccl)); });
  emulated_gpu::Configure({});
}

TEST(GpuTransportsTest, SegmentsOfNcclRanksAreOnOneClockAndInOrder) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({});
  const Case c;
  const auto runner = c.Runner(OnGpu(TransportKind::kNccl));
  const std::vector<Timeline> runs =
      runner->Run(PredictedBf16(c.cell), {.warmups = 1, .runs = 2}, {});
  ASSERT_EQ(runs.size(), 2U);
  for (const Timeline& run : runs) {
    std::vector<std::int64_t> unpacked(3, 0);
    for (const Segment& s : run.segments) {
      EXPECT_GE(s.start_ns, 0);
      EXPECT_LE(s.start_ns + s.duration_ns, run.makespan_ns);
      if (s.kind == SegmentKind::kUnpack && s.index == 0) {
        unpacked[s.rank] = s.start_ns + s.duration_ns;
      }
      if (s.kind == SegmentKind::kAttention && s.index == 0) {
        EXPECT_GE(s.start_ns, unpacked[s.rank]);
      }
    }
    // Per rank 2 packs, exchanges and unpacks, 3 attentions, 2 hops, and merges where rows have
    // keys.
    EXPECT_GE(run.segments.size(), 3U * 11U);
    EXPECT_LE(run.segments.size(), 3U * 13U);
  }
}

}  // namespace
}  // namespace dbsp::replay
