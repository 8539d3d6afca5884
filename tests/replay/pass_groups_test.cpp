// SPDX-License-Identifier: Apache-2.0
// Concurrent guidance passes: every pass group runs, is verified and counted, and the groups run
// concurrently.
#include "replay/pass_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/file.h"
#include "core/json.h"
#include "core/units.h"
#include "planner/timeline/validate.h"
#include "replay/abortable_barrier.h"
#include "replay/replay.h"
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

struct Split {
  Family family;
  std::pair<int, int> degrees;
  std::string layout = "given";
};

/// A replay of two concurrent passes.
struct Case {
  explicit Case(const Split& split = {Family::kUsp, {2, 1}}, int layers = 1)
      : workload(SmallWorkload(1, layers)),
        plan(SmallPlan(workload, split.family, split.degrees, split.layout, 2)),
        masks(planner::OpenMasks(workload)) {
    planner::ValidatePlan(plan, "plan", ErrorCode::kInternal);
    options.repeats = {.warmups = 0, .runs = 2};
    options.verify = true;
    options.limits.threads = 1;
  }
  [[nodiscard]] ReplayOutcome Run() const { return Replay(plan, *masks, options); }

  Workload workload;
  Plan plan;
  std::unique_ptr<planner::MaskSource> masks;
  ReplayOptions options;
};

std::vector<Split> Splits() {
  return {{Family::kUlysses, {2, 1}},
          {Family::kRing, {1, 2}},
          {Family::kRing, {1, 3}, "strided:3"},
          {Family::kDbsp, {2, 2}},
          {Family::kBalanced, {3, 1}},
          {Family::kPlaced, {2, 1}},
          {Family::kPlaced, {3, 1}},
          {Family::kUlysses, {1, 1}}};
}

TEST(PassGroupsTest, EveryGroupIsVerifiedAndItsSegmentsCarryThePlansRanks) {
  for (const Split& split : Splits()) {
    for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kThreads}) {
      Case c(split);
      c.options.transport = transport;
      const int pass_ranks = c.plan.pass_ranks();
      SCOPED_TRACE(fmt::format(
          "{} on 2 x {} ranks, {}", NameOf(split.family), pass_ranks, NameOf(transport)));
      ASSERT_EQ(c.plan.ranks, 2 * pass_ranks);
      const ReplayOutcome outcome = c.Run();
      EXPECT_TRUE(outcome.record.passed) << FailureText(outcome);
      const CellOutcome& cell = outcome.cells.at(0);
      const ReplayCell& record = outcome.record.cells.at(0);
      EXPECT_EQ(outcome.record.ranks, c.plan.ranks);
      EXPECT_EQ(cell.verified->rows, 2 * c.plan.shape.tokens * c.plan.shape.heads);
      EXPECT_EQ(cell.verified->rows_checked, cell.verified->rows);
      // The work and the bytes of a group do not depend on its input values.
      ASSERT_EQ(cell.active_blocks.size(), static_cast<std::size_t>(c.plan.ranks));
      ASSERT_EQ(cell.bytes_sent.size(), cell.active_blocks.size());
      std::map<std::tuple<int, SegmentKind, int>, std::int64_t> predicted;
      for (const Segment& s : c.plan.predictions[0].segments) {
        predicted[{s.rank, s.kind, s.index}] = s.duration_ns;
      }
      for (int rank = 0; rank < pass_ranks; ++rank) {
        const auto one = static_cast<std::size_t>(rank);
        const auto two = static_cast<std::size_t>(rank + pass_ranks);
        EXPECT_EQ(cell.active_blocks[one], cell.active_blocks[two]);
        EXPECT_EQ(cell.bytes_sent[one], cell.bytes_sent[two]);
      }
      std::set<int> ranks;
      std::int64_t end = 0;
      for (const Segment& s : record.segments) {
        ranks.insert(s.rank);
        end = std::max(end, s.start_ns + s.duration_ns);
        const auto found = predicted.find({s.rank % pass_ranks, s.kind, s.index});
        EXPECT_EQ(s.predicted_ns.has_value(), found != predicted.end());
        if (found == predicted.end()) continue;
        EXPECT_EQ(s.predicted_ns, found->second);
      }
      EXPECT_EQ(ranks.size(), static_cast<std::size_t>(c.plan.ranks));
      EXPECT_EQ(*ranks.rbegin(), c.plan.ranks - 1);
      EXPECT_EQ(record.replayed_ns, end) << "the slowest group's";
      EXPECT_EQ(record.predicted_ns, c.plan.predictions[0].total_ns);
    }
  }
}

TEST(PassGroupsTest, TotalsCountTurnsAndTheWordsSaySo) {
  Case c({Family::kUsp, {2, 1}}, 2);
  for (const int passes : {2, 4}) {
    c.plan.passes = passes;
    // Plan files have at most two passes. This test checks the general rule.
    const ReplayOutcome outcome = [&] {
      Plan two = c.plan;
      two.passes = 2;
      return Replay(two, *c.masks, c.options);
    }();
    const ReplaySummary summary = Summarize(c.plan, outcome);
    std::int64_t replayed = 0;
    std::int64_t predicted = 0;
    for (const ReplayCell& cell : outcome.record.cells) {
      replayed += cell.replayed_ns;
      predicted += cell.predicted_ns;
    }
    EXPECT_EQ(summary.replayed_ns, replayed * passes / 2);
    EXPECT_EQ(summary.predicted_ns, predicted * passes / 2);
    EXPECT_DOUBLE_EQ(ToMs(summary.predicted_ns), c.plan.total_ms());
    const std::string text = SummaryText(c.plan, outcome, c.options, {});
    EXPECT_THAT(text, HasSubstr("4 ranks (2 passes at the same time, 2 ranks each)"));
    EXPECT_THAT(text, HasSubstr("segments of all ranks, 2 passes at the same time:"));
    const Json json = ParseJson(ReplayJson(c.plan, outcome, c.options, {}), "replay");
    EXPECT_EQ(json["cfg_degree"], 2);
  }
}

TEST(PassGroupsTest, ThreadsOfAllGroupsRunAtTheSameTime) {
  Case c({Family::kRing, {1, 2}});
  c.options.transport = TransportKind::kThreads;
  std::mutex mutex;
  std::condition_variable wake;
  std::map<int, int> calls;  // of every rank
  std::set<int> alone;
  c.options.observer = [&](int rank, int) {
    // No rank starts attention before all four ranks have arrived, so the groups must be
    // concurrent.
    std::unique_lock lock(mutex);
    const int mine = ++calls[rank];
    wake.notify_all();
    const bool all = wake.wait_for(lock, std::chrono::seconds(20), [&] {
      return calls.size() == 4 &&
             std::ranges::all_of(calls, [&](const auto& other) { return other.second >= mine; });
    });
    if (!all) alone.insert(rank);
  };
  EXPECT_TRUE(c.Run().record.passed);
  EXPECT_TRUE(alone.empty());
  EXPECT_EQ(calls.size(), 4U);
}

TEST(PassGroupsTest, ARankThatFailsEndsTheOtherGroupToo) {
  for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kThreads}) {
    for (const int failing : {0, 1, 3}) {
      SCOPED_TRACE(fmt::format("{}, rank {}", NameOf(transport), failing));
      Case c({Family::kRing, {1, 2}});
      c.options.transport = transport;
      c.options.repeats = {.warmups = 1, .runs = 3};
      std::atomic<int> calls{0};
      c.options.observer = [&](int rank, int) {
        if (rank == failing && ++calls > 3) throw std::runtime_error("no more heads");
      };
      ExpectError(ErrorCode::kMeasurement,
                  {"step 0 layer 0", "rank " + std::to_string(failing), "no more heads"},
                  [&] { (void)c.Run(); });
    }
  }
}

TEST(PassGroupsTest, AWrongOutputOfEitherPassFailsTheCell) {
  VerifyResult good;
  good.rows = good.rows_checked = 10;
  good.relative_error = 1e-7;
  VerifyResult bad = good;
  bad.passed = false;
  bad.relative_error = 0.5;
  bad.problem = "head 1";
  for (const bool first : {true, false}) {
    VerifyResult sum = first ? bad : good;
    AddVerified(first ? good : bad, sum);
    EXPECT_FALSE(sum.passed);
    EXPECT_EQ(sum.problem, "head 1");
    EXPECT_EQ(sum.rows, 20);
    EXPECT_DOUBLE_EQ(sum.relative_error, 0.5);
  }
  // A pass is verified with its own inputs; those of the other pass give wrong outputs.
  const Case c;
  const Cell cell = MakeCell(c.plan.shape,
                             c.masks->At(0, 0),
                             c.plan.partitions[0],
                             c.plan.strategies[0],
                             {.seed = 1, .step = 0, .layer = 0});
  const Cell other = OfPassGroup(cell, 1);
  std::vector<CpuRank> ranks;
  for (int rank = 0; rank < other.ranks(); ++rank) ranks.emplace_back(other, rank);
  (void)RunThreads(other, ranks, testing::kOnce, {});
  EXPECT_TRUE(Verify(other, ranks, {}).passed);
  const VerifyResult crossed = Verify(cell, ranks, {});
  EXPECT_FALSE(crossed.passed);
  EXPECT_GT(crossed.relative_error, 0.1);
  EXPECT_THAT(DescribeRow(other, 0, 0), HasSubstr("home rank 2"));
}

TEST(PassGroupsTest, GroupsThatRunSideBySideNeedTheMemoryOfBoth) {
  Case c;
  const std::int64_t one = c.Run().cells.at(0).memory_bytes;
  c.options.transport = TransportKind::kThreads;
  EXPECT_EQ(c.Run().cells.at(0).memory_bytes, 2 * one);
  c.options.memory_limit =
      one + one / 2 + ReferenceBytes(c.plan.shape, std::max(1, c.options.limits.threads));
  ExpectError(ErrorCode::kUnavailable, {"GB"}, [&] { (void)c.Run(); });
  c.options.transport = TransportKind::kSerial;
  EXPECT_TRUE(c.Run().record.passed);
}

TEST(PassGroupsTest, EveryRankOfThePlanHasATrace) {
  Case c;
  c.options.transport = TransportKind::kThreads;
  const ReplayRecord record = c.Run().record;
  const dbsp::testing::TemporaryFolder folder;
  WriteTraces(record, folder / "trace");
  for (int rank = 0; rank < 4; ++rank) {
    const Json json =
        ParseJson(ReadFile(folder / ("trace/rank" + std::to_string(rank) + ".json")), "trace");
    EXPECT_EQ(json["distributedInfo"]["world_size"], 4);
    EXPECT_EQ(json["distributedInfo"]["rank"], rank);
    int events = 0;
    for (const Json& event : json["traceEvents"]) events += event["ph"] == "X" ? 1 : 0;
    EXPECT_GT(events, 0) << "rank " << rank;
  }
}

TEST(AbortableBarrierTest, ReturnsWhenAllGroupsHaveArrivedInEveryGeneration) {
  constexpr int kGroups = 3;
  constexpr int kTimes = 50;
  AbortableBarrier barrier(kGroups);
  std::atomic<int> came{0};
  std::atomic<bool> early{false};
  std::vector<std::thread> threads;
  for (int g = 0; g < kGroups; ++g) {
    threads.emplace_back([&] {
      for (int n = 1; n <= kTimes; ++n) {
        ++came;
        barrier.Arrive();
        if (came < n * kGroups) early = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(early);
  EXPECT_EQ(barrier.failed(), std::nullopt);
}

TEST(AbortableBarrierTest, AnAbortEndsAllWaitsAndTheFirstOneIsReported) {
  AbortableBarrier barrier(2);
  std::string problem;
  std::thread waiting([&] {
    try {
      barrier.Arrive();
    } catch (const Error& error) {
      problem = error.what();
    }
  });
  barrier.Abort(1, "rank 5: no more heads");
  barrier.Abort(0, "later");
  waiting.join();
  EXPECT_THAT(problem, HasSubstr("pass group 1 failed: rank 5: no more heads"));
  EXPECT_EQ(barrier.failed(), 1);
  ExpectError(ErrorCode::kMeasurement, {"pass group 1"}, [&] { barrier.Arrive(); });
}

}  // namespace
}  // namespace dbsp::replay
