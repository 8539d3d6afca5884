// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/lockstep_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "core/error.h"
#include "profiler/run_trial.h"
#include "tests/core/expect_error.h"

namespace dbsp::profiler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const auto kNever = [] { return false; };

MeasureLimits Three(int warmups = 1) {
  return {.warmups = warmups, .min_samples = 3, .max_samples = 3};
}

TEST(LockstepSamplerTest, EverySampleFollowsOneOfTheWorkAlone) {
  std::string order;
  std::int64_t ns = 0;
  const Measurement measured = MeasureAlternating(
      Three(2),
      [&] {
        order += 'a';
        return ++ns;
      },
      [&] {
        order += 'b';
        return std::optional(100 + ns);
      },
      kNever);
  EXPECT_EQ(order, "ababababab");
  EXPECT_THAT(measured.alone_ns, ElementsAre(3, 4, 5)) << "without the two warm-ups";
  EXPECT_THAT(measured.samples_ns, ElementsAre(103, 104, 105));
  EXPECT_EQ(measured.discarded, 0);
  EXPECT_EQ(measured.detail, "");
}

TEST(LockstepSamplerTest, UncoveredSamplesAreDiscardedCountedAndRepeated) {
  int calls = 0;
  const Measurement measured = MeasureAlternating(
      Three(0),
      [] { return 7; },
      [&]() -> std::optional<std::int64_t> {
        if (++calls % 3 != 0) return std::nullopt;
        return calls;
      },
      kNever);
  EXPECT_THAT(measured.samples_ns, ElementsAre(3, 6, 9));
  EXPECT_THAT(measured.alone_ns, ElementsAre(7, 7, 7));
  EXPECT_EQ(measured.discarded, 6);
  EXPECT_THAT(measured.detail, HasSubstr("6 samples discarded: the work beside them ended"));
}

TEST(LockstepSamplerTest, ASampleThatIsNeverCoveredFails) {
  int calls = 0;
  testing::ExpectError(
      ErrorCode::kMeasurement, {"in 20 attempts", "never ran from before its start"}, [&] {
        (void)MeasureAlternating(
            Three(),
            [] { return 7; },
            [&]() -> std::optional<std::int64_t> {
              ++calls;
              return std::nullopt;
            },
            kNever);
      });
  EXPECT_EQ(calls, kMostUncovered);
}

TEST(LockstepSamplerTest, AnInterruptLeavesEqualNumbersOfBothSamples) {
  for (int after = 0; after < 8; ++after) {
    int asked = 0;
    const Measurement measured = MeasureAlternating(
        Three(2),
        [] { return 7; },
        [] { return std::optional<std::int64_t>(9); },
        [&] { return asked++ == after; });
    EXPECT_EQ(measured.alone_ns.size(), measured.samples_ns.size());
    EXPECT_EQ(measured.stop_reason == "interrupted", after < 5) << measured.stop_reason;
  }
}

/// Three ranks that repeat the other work; the second rank takes longest.
Measurement RunThree(
    const std::function<std::optional<std::int64_t>(int rank, int repeats)>& beside,
    std::vector<std::string>& done) {
  constexpr int kRanks = 3;
  LockstepSampler sampler(kRanks, Three(), kNever);
  std::barrier<> barrier(kRanks);
  done.resize(kRanks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank] {
      std::string& mine = done[rank];
      sampler.Run(rank,
                  [&] { barrier.arrive_and_wait(); },
                  {[&] {
                     mine += "a ";
                     return std::int64_t{rank == 1 ? 20 : 10};
                   },
                   [&](int repeats) {
                     mine += std::to_string(repeats) + " ";
                     return beside(rank, repeats);
                   }});
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::move(sampler).result();
}

TEST(LockstepSamplerTest, RanksRunInLockstepAndTheSlowestCounts) {
  std::vector<std::string> done;
  const Measurement measured = RunThree(
      [](int rank, int repeats) -> std::optional<std::int64_t> {
        if (rank == 2 && repeats < 5) return std::nullopt;  // the other work ended too soon
        return 100 * (rank + 1);
      },
      done);
  EXPECT_THAT(measured.samples_ns, ElementsAre(300, 300, 300));
  EXPECT_THAT(measured.alone_ns, ElementsAre(20, 20, 20));
  EXPECT_EQ(measured.discarded, 0) << "the number of repeats is found before the first sample";
  EXPECT_EQ(done[0], "1 2 4 8 a 16 a 16 a 16 a 16 ");
  EXPECT_EQ(done[1], done[0]);
  EXPECT_EQ(done[2], done[0]);
}

TEST(LockstepSamplerTest, ARankThatIsNotCoveredDiscardsTheSampleOfAll) {
  std::vector<std::string> done;
  int calls = 0;  // of rank 1 alone
  const Measurement measured = RunThree(
      [&](int rank, int) -> std::optional<std::int64_t> {
        if (rank == 1 && ++calls == 4) return std::nullopt;
        return 100;
      },
      done);
  EXPECT_EQ(measured.discarded, 1);
  EXPECT_EQ(done[0], "1 a 2 a 2 a 2 4 a 4 ") << "the number of repeats doubles";
  EXPECT_EQ(done[1], done[0]);
}

OverlapConfig Small(const std::string& op, int ranks, TimedSide timed) {
  OverlapConfig config;
  config.attention.kernel = "cpu.block_sparse";
  config.attention.heads = 2;
  config.attention.head_dim = 16;
  config.attention.block = {8, 16};
  config.attention.q_blocks = config.attention.k_blocks = 3;
  config.attention.pattern = "uniform";
  config.attention.active_blocks = 7;
  config.exchange = {.op = op, .transport = "threads", .ranks = ranks, .bytes_per_rank = 4000};
  config.timed = timed;
  return config;
}

TEST(OverlapThreadsTest, EachKindOfWorkIsMeasuredBesideTheOther) {
  for (const char* op : {"alltoall", "hop", "allgather", "needed"}) {
    for (const int ranks : {1, 2, 3, 5}) {
      for (const TimedSide timed : {TimedSide::kAttention, TimedSide::kExchange}) {
        const OverlapConfig config = Small(op, ranks, timed);
        SCOPED_TRACE(KeyOf(config));
        RunSettings settings{.ranks = 8, .limits = {.min_samples = 3, .max_samples = 4}};
        const auto trial = RunTrial(config, settings);
        ASSERT_TRUE(trial.has_value());
        EXPECT_EQ(trial->outcome, TrialOutcome::kOk) << trial->detail;
        EXPECT_EQ(trial->method, "cpu.wall.overlap");
        EXPECT_GE(trial->samples_ns.size(), 3U);
        EXPECT_EQ(trial->alone_ns.size(), trial->samples_ns.size());
        settings.interrupted = [] { return true; };
        EXPECT_FALSE(RunTrial(config, settings).has_value());
      }
    }
  }
}

TEST(OverlapThreadsTest, AConfigurationThatCannotRunIsAFailedTrialWithItsReason) {
  const auto reason = [](const OverlapConfig& config) {
    const auto trial = RunTrial(config, {.limits = {.max_samples = 5}});
    EXPECT_TRUE(trial.has_value());
    EXPECT_EQ(trial->outcome, TrialOutcome::kFailed);
    EXPECT_TRUE(trial->samples_ns.empty() && trial->alone_ns.empty());
    return trial->detail;
  };
  OverlapConfig config = Small("hop", 2, TimedSide::kAttention);
  config.sm_margin = 4;
  EXPECT_THAT(reason(config), HasSubstr("a CPU has no SMs"));
  config.sm_margin = 0;
  config.attention.kernel = "cpu.none";
  EXPECT_THAT(reason(config), HasSubstr("cpu.none"));
  EXPECT_THAT(reason(Small("scatter", 2, TimedSide::kExchange)), HasSubstr("scatter"));
  config = Small("hop", 2, TimedSide::kExchange);
  config.exchange.transport = "nccl";
  EXPECT_EQ(RunTrial(config, {})->outcome, TrialOutcome::kUnavailable);
}

}  // namespace
}  // namespace dbsp::profiler
