// SPDX-License-Identifier: Apache-2.0
// Replays on emulated GPUs (tests/emulated_gpu): the production code of both GPU transports with
// real bytes and real arithmetic. Outputs are held against fp64, against an unsplit run and against
// the CPU's replay of the same cell; what ran is held against the plan's amounts in bf16.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "build_config.h"
#include "core/bf16.h"
#include "kernels/gpu/variants.h"
#include "planner/chunks.h"
#include "replay/device_rank.h"
#include "replay/executor.h"
#include "replay/runner.h"
#include "tests/core/expect_error.h"
#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/planner/random_placed.h"
#include "tests/replay/cases.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;
using emulated_gpu::Schedule;
using ::testing::HasSubstr;
using testing::MakeStrategy;
using testing::Scenario;
using testing::UnitCosts;

/// Two to three tiles a side, a short last block, rows without keys.
Scenario Tails() { return {"tails", {3, 64, 171, {64, 64}}, 0.5, true, 0}; }
Scenario EmptyHeads() { return {"empty heads", {4, 64, 256, {64, 64}}, 0.4, false, 2}; }

struct Split {
  std::string name;
  Strategy strategy;
  Partition partition;
};

Split Made(const Scenario& scenario,
           const LayerMasks& masks,
           Family family,
           int ranks,
           std::pair<int, int> degrees,
           int chunks = 1) {
  Split split{.name = fmt::format("{} U{} R{} {} chunks on {} ranks",
                                  NameOf(family),
                                  degrees.first,
                                  degrees.second,
                                  chunks,
                                  ranks),
              .strategy = MakeStrategy(family, degrees.first, degrees.second),
              .partition = {}};
  split.strategy.chunks = chunks;
  split.partition = planner::MakePartition(family,
                                           scenario.shape,
                                           masks,
                                           ranks,
                                           degrees.first,
                                           degrees.second,
                                           MakeHomeLayout(scenario.shape, ranks),
                                           {.balanced_scans = 200, .chunks = chunks});
  return split;
}

/// One of every kind: families, degrees, exchanges, chunks.
std::vector<Split> Splits(const Scenario& scenario, const LayerMasks& masks, int ranks) {
  std::vector<Split> splits;
  for (const Family family :
       {Family::kUlysses, Family::kRing, Family::kUsp, Family::kDbsp, Family::kBalanced}) {
    for (const auto& degrees : planner::DegreesOf(family, ranks, scenario.shape.heads)) {
      // usp holds the others' degrees as well; one U x R of each is enough of the emulator's time.
      const bool mixed = degrees.first > 1 && degrees.second > 1;
      if (family == Family::kUsp && !mixed) continue;
      splits.push_back(Made(scenario, masks, family, ranks, degrees));
      const int most = planner::MostChunks(family, ranks, scenario.shape.heads);
      if (family != Family::kUlysses || degrees.second > 1 || most < 2) continue;
      splits.push_back(Made(scenario, masks, family, ranks, degrees, 2));
    }
  }
  std::mt19937_64 random(91);
  for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
    Split split{.name = fmt::format("placed {} on {} ranks", NameOf(exchange), ranks),
                .strategy = {},
                .partition = planner::MakeRandomPlaced(random, scenario.shape, ranks)};
    split.strategy.family = Family::kPlaced;
    split.strategy.exchange = exchange;
    splits.push_back(std::move(split));
  }
  return splits;
}

Cell CellOf(const Scenario& scenario, const LayerMasks& masks, const Split& split, DType dtype) {
  return MakeCell(scenario.shape, masks, split.partition, split.strategy, {7, 1, 2, dtype});
}

std::vector<Segment> PredictedBf16(const Cell& cell) {
  return planner::Predict(cell.work, cell.shape, DType::kBf16, UnitCosts()).segments;
}

VerifyOptions Limits() { return {.max_relative_error = 5e-3, .max_abs_error = 3e-2}; }

RunOn OnGpu(TransportKind transport) {
  RunOn on{.device = {runtime::DeviceKind::kCuda, 0}, .transport = transport};
  if (transport == TransportKind::kNccl) {
    on.nccl.library = dbsp::testing::FakeLibrary("libnccl.so.2");
    emulated_gpu::UseFakeNccl(on.nccl.library);
  }
  return on;
}

void ExpectGood(const Cell& cell, CellRunner& runner, const Repeats& repeats) {
  const std::vector<Timeline> runs = runner.Run(PredictedBf16(cell), repeats, {});
  EXPECT_EQ(WorkProblem(cell, runner.ranks()), "");
  const VerifyResult result = runner.Judge(Limits());
  EXPECT_TRUE(result.passed) << result.problem;
  EXPECT_EQ(result.rows_checked, result.rows);
  ASSERT_TRUE(result.unsplit_error.has_value());
  EXPECT_LE(*result.unsplit_error, 5e-3);
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

/// One cell on the GPUs of `options`.
struct Case {
  explicit Case(Family family = Family::kRing, int ranks = 3, std::pair<int, int> degrees = {1, 3})
      : scenario(Tails()),
        masks(testing::MakeMasks(scenario, 7)),
        split(Made(scenario, masks, family, ranks, degrees)),
        cell(CellOf(scenario, masks, split, DType::kBf16)) {}
  [[nodiscard]] std::unique_ptr<CellRunner> Runner(const RunOn& on) const {
    return MakeRunner(cell, on, true, Limits(), std::nullopt);
  }
  Scenario scenario;
  LayerMasks masks;
  Split split;
  Cell cell;
};

constexpr std::array kSchedules{Schedule::kEarly, Schedule::kLate, Schedule::kRandom};

TEST(GpuTransportsTest, AgreeWithTheCpuAndWithEachOtherWhateverTheDeviceDoesFirst) {
  const Case c;
  const Cell on_cpu = CellOf(c.scenario, c.masks, c.split, DType::kF32);
  std::vector<RankExecutor> cpu = testing::MakeRanks(on_cpu);
  (void)RunThreads(on_cpu, cpu, testing::kOnce, {});
  std::vector<std::uint16_t> first;
  for (const Schedule schedule : kSchedules) {
    for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kNccl}) {
      if (transport == TransportKind::kNccl && !DBSP_HAVE_NCCL) continue;
      emulated_gpu::Configure({.schedule = schedule});
      const auto runner = c.Runner(OnGpu(transport));
      (void)runner->Run(PredictedBf16(c.cell), {.warmups = 1, .runs = 1}, {});
      EXPECT_TRUE(runner->Judge(Limits()).passed);
      std::vector<std::uint16_t> all;
      double error = 0;
      double reference = 0;
      for (std::size_t r = 0; r < cpu.size(); ++r) {
        const auto& rank = dynamic_cast<const DeviceRank&>(*runner->ranks()[r]);
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
    RunOn on = OnGpu(TransportKind::kSerial);
    on.graph = mode;
    const auto runner = c.Runner(on);
    ExpectGood(c.cell, *runner, {.warmups = 1, .runs = 2});
    EXPECT_EQ(runner->graph_runs(), mode == GraphMode::kOn ? 2 : 0);
    EXPECT_EQ(emulated_gpu::Counted().graph_launches, mode == GraphMode::kOn ? 2 : 0);
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
  RunOn on = OnGpu(TransportKind::kNccl);
  on.sm_margin = 2;
  ExpectGood(c.cell, *c.Runner(on), {.warmups = 0, .runs = 1});
  on.sm_margin = 3;
  ExpectError(ErrorCode::kInvalidArgument, {"--sm-margin 3", "3 SMs"}, [&] { (void)c.Runner(on); });
}

/// Every kernel of the table on a rank or two, with a short last block.
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
      RunOn on = OnGpu(TransportKind::kSerial);
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
        unpacked[static_cast<std::size_t>(s.rank)] = s.start_ns + s.duration_ns;
      }
      if (s.kind == SegmentKind::kAttention && s.index == 0) {
        EXPECT_GE(s.start_ns, unpacked[static_cast<std::size_t>(s.rank)]);
      }
    }
    // Per rank 2 packs, exchanges and unpacks, 3 attentions, 2 hops, and merges where rows have
    // keys.
    EXPECT_GE(run.segments.size(), 3U * 11U);
    EXPECT_LE(run.segments.size(), 3U * 13U);
  }
}

TEST(GpuTransportsTest, CuptiIsOneMoreRunOrOneLineWithoutIt) {
  emulated_gpu::Configure({});
  const Case c;
  const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
  ExpectGood(c.cell, *runner, {.warmups = 0, .runs = 1});
  runtime::ActivityOptions options;
  options.library = "/nowhere/libcupti.so.13";
  EXPECT_THAT(runner->Trace(options).problem,
              HasSubstr(DBSP_HAVE_CUPTI ? "/nowhere/libcupti.so.13" : "CUPTI"));
  if (!DBSP_HAVE_CUPTI) return;
  const std::int64_t before = emulated_gpu::Counted().attention_launches;
  options.library = dbsp::testing::FakeLibrary("libcupti.so.13");
  const ActivityReport report = runner->Trace(options);
  EXPECT_EQ(report.problem, "");
  EXPECT_EQ(emulated_gpu::Counted().attention_launches - before, 9);
  EXPECT_EQ(WorkProblem(c.cell, runner->ranks()), "");
}

TEST(GpuErrorsTest, AKernelThatComputesSomethingWrongFailsTheVerification) {
  for (const float value : {NAN, 7.0F}) {
    emulated_gpu::Configure({});
    const Case c(Family::kUlysses, 3, {3, 1});
    const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
    emulated_gpu::BreakAttention(value);
    (void)runner->Run(PredictedBf16(c.cell), {.warmups = 0, .runs = 1}, {});
    const VerifyResult result = runner->Judge(Limits());
    EXPECT_FALSE(result.passed);
    EXPECT_THAT(result.problem, HasSubstr("head"));
  }
  emulated_gpu::Configure({});
}

TEST(GpuErrorsTest, SayWhatIsMissing) {
  const Case c;
  emulated_gpu::Configure({.devices = 2});
  ExpectError(ErrorCode::kUnavailable,
              {"--transport nccl: unavailable: 3 ranks", "2 are here", "--transport serial"},
              [&] { (void)c.Runner(OnGpu(TransportKind::kNccl)); });
  emulated_gpu::Configure({.memory_bytes = 100'000});
  ExpectError(ErrorCode::kUnavailable, {"GB of device memory", "are free", "--tokens"}, [&] {
    (void)c.Runner(OnGpu(TransportKind::kSerial));
  });
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
  emulated_gpu::Configure({});
  RunOn on = OnGpu(TransportKind::kSerial);
  on.device.index = 8;
  ExpectError(ErrorCode::kUnavailable, {"no device 8"}, [&] { (void)c.Runner(on); });
  if (!DBSP_HAVE_NCCL) return;
  on = OnGpu(TransportKind::kNccl);
  on.nccl.library = "/nowhere/libnccl.so.2";
  const auto runner = c.Runner(on);
  ExpectError(ErrorCode::kUnavailable, {"NCCL", "/nowhere/libnccl.so.2"}, [&] {
    (void)runner->Run({}, {.warmups = 0, .runs = 1}, {});
  });
}

TEST(GpuErrorsTest, ARankThatFailsEndsAllAndIsNamed) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({});
  const Case c;
  {
    const auto runner = c.Runner(OnGpu(TransportKind::kNccl));
    ExpectError(ErrorCode::kMeasurement, {"rank 1", "out of patience"}, [&] {
      (void)runner->Run({}, {.warmups = 0, .runs = 1}, [](int rank, int step) {
        if (rank == 1 && step == 1) throw std::runtime_error("out of patience");
      });
    });
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST(DeviceBytesTest, AreWhatARankAllocates) {
  for (const auto& [family, degrees] :
       {std::pair{Family::kRing, std::pair{1, 3}}, {Family::kUlysses, {3, 1}}}) {
    emulated_gpu::Configure({});
    const Case c(family, 3, degrees);
    const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
    const auto alive = static_cast<std::int64_t>(emulated_gpu::BytesAlive());
    EXPECT_GE(runner->memory_bytes(), alive);
    EXPECT_LE(runner->memory_bytes() - alive, 100)
        << "tiles without keys have no place in an order";
  }
}

}  // namespace
}  // namespace dbsp::replay
