// SPDX-License-Identifier: Apache-2.0
#include "replay/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/file.h"
#include "core/json.h"
#include "core/units.h"
#include "planner/timeline/validate.h"
#include "replay/summary.h"
#include "replay/trace.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"
#include "tests/replay/plans.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;
using ::testing::HasSubstr;
using testing::SmallPlan;
using testing::SmallWorkload;

/// Masks, plan and options of a valid replay.
struct Case {
  explicit Case(Family family = Family::kUsp, std::pair<int, int> degrees = {2, 2}, int layers = 2)
      : workload(SmallWorkload(1, layers)),
        plan(SmallPlan(workload, family, degrees)),
        masks(planner::OpenMasks(workload)) {
    options.repeats = {.warmups = 1, .runs = 3};
    options.verify = true;
    options.limits.threads = 1;
  }
  [[nodiscard]] ReplayOutcome Run() const { return Replay(plan, *masks, options); }

  Workload workload;
  Plan plan;
  std::unique_ptr<planner::MaskSource> masks;
  ReplayOptions options;
};

TEST(ReplayTest, BothTransportsVerifyAndFillTheLedger) {
  for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kThreads}) {
    Case c;
    c.options.transport = transport;
    const ReplayOutcome outcome = c.Run();
    SCOPED_TRACE(NameOf(transport));
    EXPECT_TRUE(outcome.record.passed) << FailureText(outcome);
    EXPECT_TRUE(outcome.record.verified);
    EXPECT_EQ(outcome.record.plan_hash, HashBytes(PlanToJson(c.plan)));
    EXPECT_EQ(outcome.record.workload_hash, c.plan.workload_hash);
    ASSERT_EQ(outcome.record.cells.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
      const ReplayCell& cell = outcome.record.cells[i];
      EXPECT_EQ(cell.predicted_ns, c.plan.predictions[i].total_ns);
      EXPECT_GT(cell.replayed_ns, 0);
      EXPECT_LE(cell.relative_error.value(), 1e-5);
      EXPECT_LE(cell.max_abs_error.value(), 1e-3);
      for (const Segment& segment : cell.segments) {
        if (segment.duration_ns == 0) continue;
        EXPECT_TRUE(segment.predicted_ns)
            << "rank " << segment.rank << " " << NameOf(segment.kind) << " " << segment.index;
      }
      EXPECT_LE(outcome.cells[i].fastest_ns, cell.replayed_ns);
      EXPECT_GE(outcome.cells[i].slowest_ns, cell.replayed_ns);
    }
  }
}

TEST(ReplayTest, SaysWhereExchangeTimesComeFrom) {
  Case c;
  c.options.transport = TransportKind::kSerial;
  EXPECT_EQ(c.Run().record.exchange_source,
            "composed from the plan's predictions (analytic, cluster unit)");
  c.options.transport = TransportKind::kThreads;
  EXPECT_EQ(c.Run().record.exchange_source, "measured in this run");
}

TEST(ReplayTest, DistinctCellsStandForTheirEqualsInTheTotals) {
  Case c(Family::kUlysses, {2, 1}, 5);
  c.workload.rules.clear();
  c.workload.assignments.clear();
  planner::ApplyMaskFlag("dense", c.workload);
  c.plan = SmallPlan(c.workload, Family::kUlysses, {2, 1});
  c.masks = planner::OpenMasks(c.workload);
  testing::ShareFirst(c.plan);
  c.plan.cells[2].strategy = c.plan.cells[2].prediction = 2;
  const ReplayOutcome outcome = c.Run();
  ASSERT_EQ(outcome.cells.size(), 2U);
  EXPECT_EQ(outcome.record.cells[0].multiplicity, 4);
  EXPECT_EQ(outcome.record.cells[1].multiplicity, 1);
  EXPECT_EQ(outcome.record.cells[1].layer, 2);
  const ReplaySummary summary = Summarize(c.plan, outcome);
  EXPECT_EQ(summary.cells_meant, 5);
  EXPECT_DOUBLE_EQ(ToMs(summary.predicted_ns), c.plan.total_ms());
  EXPECT_EQ(summary.replayed_ns,
            4 * outcome.record.cells[0].replayed_ns + outcome.record.cells[1].replayed_ns);
}

TEST(ReplayTest, CellsAreChosenByTheirSelection) {
  const Case c(Family::kUlysses, {1, 1}, 4);
  const auto chosen = [&](const std::string& text) {
    std::vector<std::size_t> cells;
    for (const SelectedCell& cell : SelectCells(c.plan, ParseCells(text))) {
      cells.push_back(cell.cell);
    }
    return cells;
  };
  using Cells = std::vector<std::size_t>;
  EXPECT_EQ(chosen("all"), (Cells{0, 1, 2, 3}));
  EXPECT_EQ(chosen("distinct"), (Cells{0, 1, 2, 3}));
  EXPECT_EQ(chosen("first:2"), (Cells{0, 1}));
  EXPECT_EQ(chosen("first:99"), (Cells{0, 1, 2, 3}));
  EXPECT_EQ(chosen("0,3"), (Cells{3}));
  ExpectError(ErrorCode::kInvalidArgument, {"step 7"}, [&] { (void)chosen("7,0"); });
  for (const char* bad : {"", "first:0", "first:x", "first:", "1;2", "-1,0", "1,2,3", "some"}) {
    ExpectError(
        ErrorCode::kInvalidArgument, {"--cells", "first:N"}, [&] { (void)ParseCells(bad); });
  }
}

TEST(ReplayTest, ExecutedBalanceAndBytesAreThePlans) {
  const Case c(Family::kDbsp, {2, 2}, 1);
  const ReplayOutcome outcome = c.Run();
  const CellOutcome& cell = outcome.cells.at(0);
  const Prediction& planned = c.plan.predictions[0];
  EXPECT_EQ(*std::max_element(cell.bytes_sent.begin(), cell.bytes_sent.end()),
            planned.bytes_per_rank);
  const HomeLayout home = MakeHomeLayout(c.plan.shape, c.plan.ranks);
  const planner::LayerVolumes work = planner::BuildLayerVolumes(c.plan.shape,
                                                                c.masks->At(0, 0),
                                                                c.plan.partitions[0],
                                                                c.plan.strategies[0],
                                                                home,
                                                                DType::kF32);
  for (std::size_t rank = 0; rank < 4; ++rank) {
    std::int64_t kept = 0;
    for (const auto& step : work.attention) kept += step[rank].active_blocks;
    EXPECT_EQ(cell.active_blocks[rank], kept);
  }
  EXPECT_EQ(std::accumulate(cell.bytes_sent.begin(), cell.bytes_sent.end(), std::int64_t{0}),
            work.TotalBytesSent());
}

TEST(ReplayTest, BytesOfABf16PlanAreComparedInItsType) {
  Case c(Family::kRing, {1, 3}, 1);
  c.plan.dtype = DType::kBf16;
  c.plan.predictions[0].bytes_per_rank /= 2;
  EXPECT_TRUE(c.Run().record.passed);
  c.plan.predictions[0].bytes_per_rank += 2;
  ExpectError(ErrorCode::kInternal, {"step 0 layer 0", "bytes", "bf16"}, [&] { (void)c.Run(); });
}

TEST(ReplayTest, AFailedVerificationIsRecordedAndNamed) {
  Case c;
  c.options.limits.max_relative_error = 1e-13;
  const ReplayOutcome outcome = c.Run();
  EXPECT_FALSE(outcome.record.passed);
  EXPECT_THAT(FailureText(outcome), HasSubstr("step 0 layer 0: head"));
  EXPECT_THAT(FailureText(outcome), HasSubstr("query block"));
  EXPECT_EQ(Summarize(c.plan, outcome).first_failure, 0U);
}

TEST(ReplayTest, ARankThatFailsNamesItsCellAndEndsWithExitCodeOne) {
  Case c;
  c.options.transport = TransportKind::kThreads;
  c.options.observer = [](int rank, int) {
    if (rank == 1) throw std::runtime_error("no more heads");
  };
  ExpectError(ErrorCode::kMeasurement, {"step 0 layer 0", "rank 1", "no more heads"}, [&] {
    (void)c.Run();
  });
}

TEST(ReplayTest, RefusesWhatDoesNotFitIntoMemory) {
  Case c;
  c.options.memory_limit = 10'000;
  ExpectError(ErrorCode::kUnavailable, {"GB", "--tokens", "--heads"}, [&] { (void)c.Run(); });
}

TEST(ReplayTest, TheMemoryEstimateHoldsTheHomeTensorsAndGrowsWithTheRing) {
  const ReplayOutcome one = Case(Family::kUlysses, {1, 1}, 1).Run();
  const ReplayOutcome ring = Case(Family::kRing, {1, 4}, 1).Run();
  const AttentionShape shape = SmallWorkload(1, 1).shape();
  EXPECT_EQ(HomeBytes(shape), 4 * (2 * 7 * 9 + 11) * 3 * 16 * 4);
  EXPECT_GT(one.cells[0].memory_bytes, 2 * HomeBytes(shape));
  EXPECT_LT(one.cells[0].memory_bytes, 4 * HomeBytes(shape));
  EXPECT_GT(ring.cells[0].memory_bytes, one.cells[0].memory_bytes);
}

TEST(ReplayTest, APlanWithATokenLayoutSendsWhatItSaysAndVerifies) {
  for (const char* layout : {"strided:2", "zigzag:4"}) {
    for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kThreads}) {
      Case c(Family::kRing, {1, 4});
      c.plan = SmallPlan(c.workload, Family::kRing, {1, 4}, layout);
      planner::ValidatePlan(c.plan, "plan", ErrorCode::kInternal);
      c.options.transport = transport;
      const ReplayOutcome outcome = c.Run();
      EXPECT_TRUE(outcome.record.passed) << layout << ": " << FailureText(outcome);
      EXPECT_TRUE(outcome.record.verified);
    }
  }
}

TEST(ReplayTest, RefusesStrategiesItCannotRun) {
  Case c;
  c.plan.layouts.push_back({"strided:2", {1, 0}});
  c.plan.strategies[0].layout = 1;
  ExpectError(ErrorCode::kMismatch, {"strided:2", "2 units"}, [&] { (void)c.Run(); });
  c.plan.strategies[0].layout = 0;
  c.plan.strategies[0].kernel = "cpu.block_spars";
  ExpectError(ErrorCode::kInvalidArgument, {"cpu.block_sparse"}, [&] { (void)c.Run(); });
}

TEST(ReplayTest, TransportsThatAreNotHereAreUnavailableInWords) {
  EXPECT_EQ(ParseTransport("threads"), TransportKind::kThreads);
  ExpectError(ErrorCode::kInvalidArgument, {"threads"}, [] { (void)ParseTransport("thread"); });
  ExpectError(ErrorCode::kInvalidArgument, {"transport 'mpi'", "serial, threads, nccl"}, [] {
    (void)ParseTransport("mpi");
  });
  ExpectError(ErrorCode::kUnavailable, {"--transport nccl: unavailable", "cuda"}, [] {
    RequireTransport(TransportKind::kNccl);
  });
}

TEST(SummaryTest, SegmentErrorsAreSignedAndSumUpPerKind) {
  const Case c;
  const ReplayOutcome outcome = c.Run();
  const ReplaySummary summary = Summarize(c.plan, outcome);
  std::int64_t replayed = 0;
  std::int64_t predicted = 0;
  for (const ReplayCell& cell : outcome.record.cells) {
    for (const Segment& segment : cell.segments) {
      if (segment.kind != SegmentKind::kAttention) continue;
      replayed += segment.duration_ns;
      predicted += segment.predicted_ns.value_or(0);
    }
  }
  const LedgerEntry& attention = summary.ledger[static_cast<int>(SegmentKind::kAttention)];
  EXPECT_EQ(attention.replayed_ns, replayed);
  EXPECT_EQ(attention.predicted_ns, predicted);
  EXPECT_EQ(attention.error_ns(), replayed - predicted);
  // A serial replay takes the times of exchanges from the predictions: they have no error.
  EXPECT_EQ(summary.ledger[static_cast<int>(SegmentKind::kExchange)].error_ns(), std::nullopt);
}

TEST(SummaryTest, TextSaysWhatWasComparedWithWhat) {
  const Case c;
  Provenance machine;
  machine.device_name = "test machine";
  machine.cores = 2;
  const std::string text = SummaryText(c.plan, c.Run(), c.options, machine);
  for (const char* part : {"2 run, standing for 2 of 2",
                           "predicted for unit, replayed on test machine",
                           "composed from the plan's predictions",
                           "median of 3 runs after 1 warm-up",
                           "attention",
                           "worst cell",
                           "kept blocks max/mean",
                           "not measured: the plan's time",
                           "  measured  ",
                           "no gain is known: the plan has no baselines",
                           "strategy    ",
                           "verified    passed"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(SummaryTest, GainsAreThoseOfThePlansBaselines) {
  Case c;
  const std::size_t predictions = c.plan.predictions.size();
  Baseline ulysses{Family::kUlysses, c.plan.ranks, 1, {}};
  Baseline ring{Family::kRing, 1, c.plan.ranks, {}};
  ring.missing = "no hop was measured";
  for (std::size_t i = 0; i < predictions; ++i) {
    const std::int64_t ns = 2 * c.plan.predictions[i].total_ns;
    ulysses.times.push_back({ns, ns, ns, ns, 0});
    ulysses.active_blocks.emplace_back(c.plan.ranks, 0);
  }
  ring.active_blocks = ulysses.active_blocks;
  c.plan.baselines = {ulysses, ring};
  const ReplayOutcome outcome = c.Run();
  const std::string text = SummaryText(c.plan, outcome, c.options, Provenance{});
  EXPECT_THAT(text, HasSubstr("gain        predicted 2.000x the speed of plain ulysses"));
  EXPECT_THAT(text, HasSubstr("gain        no gain over plain ring is known: no hop was measured"));
  const Json json = ParseJson(ReplayJson(c.plan, outcome, c.options, Provenance{}), "replay");
  EXPECT_NEAR(json["baselines"][0]["gain"].get<double>(), 2, 1e-9);
  EXPECT_EQ(json["baselines"][1]["missing"], "no hop was measured");
}

TEST(SummaryTest, JsonHoldsTheLedgerAndParses) {
  const Case c;
  const ReplayOutcome outcome = c.Run();
  const Json json = ParseJson(ReplayJson(c.plan, outcome, c.options, Provenance{}), "replay");
  EXPECT_EQ(json["schema"], "dbsp.replay/1");
  EXPECT_EQ(json["verification"]["passed"], true);
  ASSERT_EQ(json["cells"].size(), 2U);
  EXPECT_EQ(json["cells"][0]["segments"].size(), outcome.record.cells[0].segments.size());
  for (const Json& segment : json["cells"][0]["segments"]) {
    if (segment["kind"] == "exchange" || segment["kind"] == "hop") {
      EXPECT_TRUE(segment["error_ns"].is_null());
    } else if (!segment["predicted_ns"].is_null()) {
      EXPECT_EQ(
          segment["error_ns"].get<std::int64_t>(),
          segment["replayed_ns"].get<std::int64_t>() - segment["predicted_ns"].get<std::int64_t>());
    }
  }
}

TEST(TraceTest, OneFilePerRankInMicroseconds) {
  const Case c;
  const ReplayRecord record = c.Run().record;
  const dbsp::testing::TemporaryFolder folder;
  WriteTraces(record, folder / "trace");
  for (int rank = 0; rank < 4; ++rank) {
    const std::string text = ReadFile(folder / ("trace/rank" + std::to_string(rank) + ".json"));
    EXPECT_THAT(text, HasSubstr("\"rank\": " + std::to_string(rank)));
    const Json json = ParseJson(text, "trace");
    std::size_t events = 0;
    double end_us = 0;
    for (const Json& event : json["traceEvents"]) {
      if (event["ph"] != "X") continue;
      ++events;
      EXPECT_EQ(event["pid"], rank);
      end_us = std::max(end_us, event["ts"].get<double>() + event["dur"].get<double>());
    }
    std::size_t expected = 0;
    double total_us = 0;
    for (const ReplayCell& cell : record.cells) {
      for (const Segment& s : cell.segments) expected += s.rank == rank ? 1 : 0;
      total_us += static_cast<double>(cell.replayed_ns) / 1e3;
    }
    EXPECT_EQ(events, expected);
    EXPECT_LE(end_us, total_us + 1e-6);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "trace/rank4.json"));
}

TEST(TraceTest, WithNcclExchangesAreKernelsCalledNccl) {
  ReplayRecord record = Case().Run().record;
  for (const char* transport : {"serial", "nccl"}) {
    record.transport = transport;
    const bool nccl = record.transport == "nccl";
    int exchanges = 0;
    const Json trace = ParseJson(ChromeTrace(record, 0), "trace");
    for (const Json& event : trace["traceEvents"]) {
      if (event["ph"] != "X" || event["args"]["stream"] != 1) continue;
      ++exchanges;
      EXPECT_EQ(event["cat"], nccl ? "kernel" : "communication");
      EXPECT_EQ(event["name"].get<std::string>().starts_with("nccl"), nccl);
    }
    EXPECT_GT(exchanges, 0);
  }
}

TEST(ActivityReportTest, SegmentsAreOrderedAndWhatBelongsToNoneIsCounted) {
  runtime::ActivityCollector collector;
  const auto kernel = [&](std::uint32_t correlation, std::int64_t start, std::int64_t end) {
    runtime::KernelRecord record;
    record.name = "k";
    record.time = {start, end};
    record.correlation = correlation;
    collector.Add(record);
  };
  kernel(1, 100, 150);
  kernel(2, 150, 160);  // the same segment, one launch later
  kernel(3, 200, 230);
  kernel(4, 300, 310);  // of no segment
  const std::uint64_t late = PackSegment({1, 2, 3, SegmentKind::kAttention, 0});
  collector.AddSegment(1, late);
  collector.AddSegment(2, late);
  collector.AddSegment(3, PackSegment({1, 2, 0, SegmentKind::kPack, 1}));
  collector.losses().dropped = 3;
  const ActivityReport report = ReportOf(collector.Finish());
  ASSERT_EQ(report.segments.size(), 2U);
  EXPECT_EQ(report.segments[0].key.rank, 0);
  EXPECT_EQ(report.segments[0].busy_ns, 30);
  EXPECT_EQ(report.segments[1].busy_ns, 60);
  EXPECT_EQ(report.segments[1].kernels, 2);
  EXPECT_EQ(report.untied, 1);
  EXPECT_THAT(report.losses, HasSubstr("3 dropped"));
}

}  // namespace
}  // namespace dbsp::replay
