// SPDX-License-Identifier: Apache-2.0
// CUPTI Activity over replays on emulated GPUs: the fake library has a record of every launch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>
#include <utility>

#include "build_config.h"
#include "replay/gpu_outputs.h"
#include "replay/summary.h"
#include "replay/work_check.h"
#include "tests/core/expect_error.h"
#include "tests/replay/gpu_cases.h"
#include "tests/runtime/environment_variable.h"

namespace dbsp::replay {
namespace {

using testing::Case;
using ::testing::HasSubstr;
using testing::OnGpu;
using testing::PredictedBf16;

TEST(GpuCuptiTest, WithoutItOneLineSaysSo) {
  emulated_gpu::Configure({});
  const Case c;
  const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
  (void)runner->Run(PredictedBf16(c.cell), testing::kOnce, {});
  runtime::ActivityOptions options;
  options.library = "/nowhere/libcupti.so.13";
  EXPECT_THAT(runner->Trace(options).problem,
              HasSubstr(DBSP_HAVE_CUPTI ? "/nowhere/libcupti.so.13" : "CUPTI"));
}

#if DBSP_HAVE_CUPTI
runtime::ActivityOptions FakeCupti() {
  runtime::ActivityOptions options;
  options.library = dbsp::testing::FakeLibrary("libcupti.so.13");
  return options;
}

/// Number of kernels by (rank, kind, index) of the segment that launched them.
std::map<std::tuple<int, SegmentKind, int>, int> KernelsOf(const ActivityReport& report) {
  std::map<std::tuple<int, SegmentKind, int>, int> kernels;
  for (const SegmentBusy& s : report.segments) {
    EXPECT_EQ(s.key.step, 1);
    EXPECT_EQ(s.key.layer, 2);
    EXPECT_EQ(s.busy_ns, 1000 * s.kernels);
    kernels[{s.key.rank, s.key.kind, s.key.index}] = s.kernels;
  }
  return kernels;
}

void ExpectEverySegmentOfARing(const ActivityReport& report) {
  EXPECT_EQ(report.problem, "");
  EXPECT_EQ(report.losses, "");
  const auto kernels = KernelsOf(report);
  for (int rank = 0; rank < 2; ++rank) {
    for (int step = 0; step < 2; ++step) {
      EXPECT_EQ(kernels.at({rank, SegmentKind::kAttention, step}), 1);
      if (step == 0) continue;
      EXPECT_EQ(kernels.at({rank, SegmentKind::kMerge, step}), 1);
    }
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(kernels.at({rank, SegmentKind::kPack, round}), 1);
      EXPECT_EQ(kernels.at({rank, SegmentKind::kUnpack, round}), 1);
    }
  }
  EXPECT_EQ(kernels.size(), 2U * 7U);
}

TEST(GpuCuptiTest, ASerialRunIsTiedToItsSegmentsOnOneDevice) {
  emulated_gpu::Configure({});
  const runtime::ActivityOptions options = FakeCupti();
  emulated_gpu::UseFakeCupti(options.library);
  const Case c(Family::kRing, 2, {1, 2});  // the cell runs 21 times
  const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
  (void)runner->Run(PredictedBf16(c.cell), testing::kOnce, {});
  const std::int64_t before = emulated_gpu::Counted().attention_launches;
  const ActivityReport report = runner->Trace(options);
  ExpectEverySegmentOfARing(report);
  EXPECT_EQ(report.untied, 0);
  ASSERT_EQ(report.devices.size(), 1U);
  EXPECT_EQ(report.devices.at(0).kernels, 14);
  EXPECT_EQ(report.devices.at(0).exchange_ns, 0);
  // One run for the report, then 5 pairs, each run preceded by a run that is not timed.
  ASSERT_TRUE(report.overhead.has_value());
  EXPECT_EQ(report.overhead->pairs, 5);
  EXPECT_GT(report.overhead->plain_ns, 0);
  EXPECT_GT(report.overhead->traced_ns, 0);
  EXPECT_EQ(emulated_gpu::Counted().attention_launches - before, 4 * (1 + 5 * 4));
  EXPECT_EQ(CheckWork(c.cell, runner->ranks()).message(), "");
}

TEST(GpuCuptiTest, RanksOverNcclAreTiedByTheirThreadsAndToldApartByTheirDevices) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({});
  const runtime::ActivityOptions options = FakeCupti();
  emulated_gpu::UseFakeCupti(options.library);
  const Case c(Family::kRing, 2, {1, 2});  // the cell runs 21 times
  ExecutionTarget on = OnGpu(TransportKind::kNccl);
  on.device.index = 2;
  const auto runner = c.Runner(on);
  (void)runner->Run(PredictedBf16(c.cell), testing::kOnce, {});
  const ActivityReport report = runner->Trace(options);
  ExpectEverySegmentOfARing(report);
  for (const SegmentBusy& s : report.segments) {
    EXPECT_EQ(s.device, static_cast<std::uint32_t>(2 + s.key.rank));
  }
  ASSERT_EQ(report.devices.size(), 2U);
  std::int64_t untied = 0;
  for (const auto& [id, device] : report.devices) {
    EXPECT_TRUE(id == 2 || id == 3) << id;
    EXPECT_EQ(device.kernels - device.untied, 7);
    EXPECT_GE(device.untied, 3) << "two exchanges and a hop are launched by NCCL";
    EXPECT_EQ(device.exchange_ns, 1000 * device.untied);
    untied += device.untied;
  }
  EXPECT_EQ(report.untied, untied);
  ASSERT_TRUE(report.overhead.has_value());
  EXPECT_EQ(CheckWork(c.cell, runner->ranks()).message(), "");
  EXPECT_TRUE(runner->VerifyOutputs(testing::Limits()).passed)
      << "tracing leaves the results alone";
}

TEST(GpuCuptiTest, AnotherProfilerIsOneLineAndTheReplayStands) {
  const dbsp::testing::EnvironmentVariable held("DBSP_FAKE_CUPTI_ENABLE", "39");
  for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kNccl}) {
    if (transport == TransportKind::kNccl && !DBSP_HAVE_NCCL) continue;
    emulated_gpu::Configure({});
    const Case c;
    const auto runner = c.Runner(OnGpu(transport));
    (void)runner->Run(PredictedBf16(c.cell), testing::kOnce, {});
    const ActivityReport report = runner->Trace(FakeCupti());
    EXPECT_THAT(report.problem, HasSubstr("another profiler"));
    EXPECT_TRUE(report.segments.empty());
    EXPECT_FALSE(report.overhead.has_value());
    EXPECT_TRUE(runner->VerifyOutputs(testing::Limits()).passed);
  }
}
#endif

TEST(TraceOverheadTest, IsTheSumOverCellsAndRelativeToRunsWithout) {
  ReplayOutcome outcome;
  EXPECT_FALSE(OverheadOf(outcome).has_value());
  for (const std::int64_t plain : {100, 300}) {
    CellOutcome cell;
    cell.activity.emplace();
    cell.activity->overhead = TraceOverhead{5, plain, plain + 10};
    outcome.cells.push_back(cell);
  }
  outcome.cells.emplace_back();  // was not traced
  const auto sum = OverheadOf(outcome);
  ASSERT_TRUE(sum.has_value());
  EXPECT_EQ(sum->plain_ns, 400);
  EXPECT_EQ(sum->traced_ns, 420);
  EXPECT_NEAR(sum->relative(), 0.05, 1e-12);
}

}  // namespace
}  // namespace dbsp::replay
