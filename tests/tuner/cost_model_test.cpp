// SPDX-License-Identifier: Apache-2.0
#include "tuner/cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "core/error.h"
#include "tests/tuner/synthetic_trials.h"
#include "tuner/checked_costs.h"
#include "tuner/rank_curves.h"

namespace dbsp::tuner {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

FitRequest RequestFor(const SyntheticTrials& made) {
  FitRequest request;
  request.database = "p.db";
  request.head_dim = made.head_dim;
  request.block = made.block;
  request.typical.heads = 4;
  request.typical.active_rows = 100;
  request.typical.active_blocks = 1000;
  request.profile_command = "dbsp-profile --db p.db";
  return request;
}

FittedCosts Fit(const SyntheticTrials& made, const FitRequest& request) {
  return {made.trials, std::vector<db::StoredEnvironment>{made.environment}, request};
}

planner::AttentionWork Work(int heads, std::int64_t rows, std::int64_t blocks) {
  planner::AttentionWork work;
  work.heads = heads;
  work.active_rows = rows;
  work.active_blocks = blocks;
  return work;
}

std::string ErrorOf(const SyntheticTrials& made, const FitRequest& request, ErrorCode code) {
  try {
    (void)Fit(made, request);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(FittedCostsTest, RecoversTheCoefficientsThroughNoise) {
  SyntheticTrials made(0.03, 7);
  made.AddAll({2, 4});
  const FittedCosts costs = Fit(made, RequestFor(made));
  const FitRow theta = costs.attention_fit("").theta;
  EXPECT_NEAR(theta[0], made.truth.per_head, 0.15 * made.truth.per_head);
  EXPECT_NEAR(theta[1], made.truth.per_row, 0.10 * made.truth.per_row);
  EXPECT_NEAR(theta[2], made.truth.per_block, 0.05 * made.truth.per_block);
  EXPECT_EQ(costs.kernel(), "cpu.block_sparse");
  EXPECT_EQ(costs.source(), CostSource::kFitted);
}

/// Two kernels on the same blocks: the second is twice as fast per block and has a longer launch.
SyntheticTrials TwoKernels() {
  SyntheticTrials made;
  made.AddAll({2});
  made.kernel = "cpu.other";
  made.truth.per_block /= 2;
  made.truth.per_row *= 4;
  made.AddAll({2});
  return made;
}

TEST(FittedCostsTest, EveryKernelMeasuredOnTheBlocksMayBeChosenTheDefaultFirst) {
  const SyntheticTrials made = TwoKernels();
  FitRequest request = RequestFor(made);
  request.typical.active_rows = 100;
  request.typical.active_blocks = 100'000;
  EXPECT_EQ(Fit(made, request).kernels(),
            (std::vector<std::string>{"cpu.other", "cpu.block_sparse"}));
  request.typical.active_blocks = 101;
  const FittedCosts costs = Fit(made, request);
  EXPECT_EQ(costs.kernels(), (std::vector<std::string>{"cpu.block_sparse", "cpu.other"}));
  planner::AttentionWork work = Work(2, 100, 100'000);
  work.kernel = "cpu.block_sparse";
  const double first = costs.Attention(work).ns;
  work.kernel = "cpu.other";
  EXPECT_LT(costs.Attention(work).ns, 0.7 * first);
  request.kernel = "cpu.block_sparse";
  EXPECT_EQ(Fit(made, request).kernels(), std::vector<std::string>{"cpu.block_sparse"});
}

TEST(FittedCostsTest, TrialsOnBlocksThatAKernelDoesNotSupportAreLeftOut) {
  const SyntheticTrials made = TwoKernels();
  FitRequest request = RequestFor(made);
  request.kernels = {{.name = "cpu.other", .q_block = 128, .k_block = 128}};
  const FittedCosts costs = Fit(made, request);
  EXPECT_EQ(costs.kernels(), std::vector<std::string>{"cpu.block_sparse"});
  EXPECT_THAT(costs.Remarks(), Contains(HasSubstr("cpu.other on 64x64 blocks were left out")));
}

TEST(FittedCostsTest, TheErrorListsWhatWasMeasured) {
  const SyntheticTrials made = TwoKernels();
  FitRequest request = RequestFor(made);
  request.block = {128, 128};
  const std::string message = ErrorOf(made, request, ErrorCode::kNotFound);
  EXPECT_THAT(message, HasSubstr("no attention trial of 128x128 blocks and head_dim 64"));
  EXPECT_THAT(message, HasSubstr("measured are cpu.block_sparse on 64x64 of 64 (26 trials)"));
  EXPECT_THAT(message, HasSubstr("cpu.other on 64x64 of 64"));
  EXPECT_THAT(message, HasSubstr("measure: dbsp-profile --db p.db"));
}

/// Adds an overlap trial whose timed side takes `slowdown` times as long as alone.
void AddOverlap(SyntheticTrials& made,
                const std::string& op,
                int ranks,
                TimedSide timed,
                double slowdown,
                std::int64_t bytes = 1000,
                int margin = 0) {
  Trial trial;
  OverlapConfig config;
  config.attention.kernel = made.kernel;
  config.exchange = {.op = op, .transport = "threads", .ranks = ranks, .bytes_per_rank = bytes};
  config.timed = timed;
  config.sm_margin = margin;
  trial.config = config;
  for (const std::int64_t alone : {990, 1000, 1010}) {
    trial.alone_ns.push_back(alone);
    trial.samples_ns.push_back(std::llround(slowdown * static_cast<double>(alone)));
  }
  made.Add(trial);
}

TEST(FittedCostsTest, SlowdownsAreMediansOfTrialsWithAnIntervalAroundThem) {
  SyntheticTrials made;
  made.AddAll({2, 4});
  for (int i = 0; i < 5; ++i) {
    AddOverlap(made, "hop", 4, TimedSide::kAttention, 1.2 + 0.1 * i, 1000 + i);
    AddOverlap(made, "hop", 4, TimedSide::kExchange, 2.0, 1000 + i);
  }
  // With noise a side may seem faster than alone; its slowdown is then 1.
  AddOverlap(made, "alltoall", 2, TimedSide::kAttention, 0.9);
  AddOverlap(made, "alltoall", 2, TimedSide::kExchange, 1.5);
  AddOverlap(made, "alltoall", 2, TimedSide::kExchange, 9.0, 1000, 8);  // another SM margin
  AddOverlap(made, "alltoall", 8, TimedSide::kAttention, 3.0);  // both sides are needed
  const FittedCosts costs = Fit(made, RequestFor(made));
  const auto hop = costs.Slowdown(planner::Traffic::kHop, 4);
  EXPECT_NEAR(hop.attention.value, 1.4, 1e-9);
  EXPECT_LE(hop.attention.low, 1.25);
  EXPECT_GE(hop.attention.low, 1.0);
  EXPECT_GE(hop.attention.high, 1.55);
  EXPECT_LE(hop.attention.high, 1.7);
  EXPECT_NEAR(hop.exchange.value, 2.0, 1e-9);
  const auto all = costs.Slowdown(planner::Traffic::kAllToAll, 2);
  EXPECT_EQ(all.attention.value, 1);
  EXPECT_NEAR(all.exchange.value, 1.5, 1e-9);
  EXPECT_THAT(costs.Remarks(),
              Contains(HasSubstr("attention beside hop between 4 ranks takes 1.40 (")));
  EXPECT_THAT(costs.Remarks(), Not(Contains(HasSubstr("not measured"))));

  const auto other = costs.Slowdown(planner::Traffic::kAllToAll, 4);
  EXPECT_EQ(other.exchange.value, all.exchange.value);
  EXPECT_EQ(other.exchange.low, 1);
  EXPECT_GT(other.exchange.high, all.exchange.high);
  EXPECT_THAT(costs.Remarks(),
              Contains(HasSubstr("attention beside alltoall was priced for a rank count that "
                                 "was not measured (measured: 2)")));
}

TEST(FittedCostsTest, CallsOutsideTheMeasuredAttentionAreSaidAndFitsAreListed) {
  SyntheticTrials made;
  made.AddAll({2});
  const FittedCosts costs = Fit(made, RequestFor(made));
  const AttentionFit& fit = costs.attention_fit("");
  planner::AttentionWork work;
  work.heads = 1;
  work.active_rows = 4;
  work.active_blocks = static_cast<std::int64_t>(4 * fit.max_blocks_per_row);
  (void)costs.Attention(work);
  EXPECT_THAT(costs.Remarks(), Not(Contains(HasSubstr("attention: calls with other"))));
  work.active_blocks *= 2;
  (void)costs.Attention(work);
  EXPECT_THAT(costs.Remarks(), Contains(HasSubstr("attention: calls with other")));
  std::set<std::string> operations;
  for (const CostFit& one : costs.Fits()) {
    operations.insert(one.operation);
    EXPECT_GT(one.points, 0);
    EXPECT_EQ(one.median_error.has_value(), one.operation == "attention");
  }
  EXPECT_EQ(operations, (std::set<std::string>{"alltoall", "attention", "hop", "merge", "pack"}));
}

TEST(FittedCostsTest, WithoutOverlapTrialsTheSlowdownIsOneToTwoWithARemark) {
  SyntheticTrials made;
  made.AddAll({2});
  const FittedCosts costs = Fit(made, RequestFor(made));
  EXPECT_THAT(costs.Remarks(), Not(Contains(HasSubstr("beside"))));  // nothing was priced yet
  for (const auto traffic : {planner::Traffic::kAllToAll, planner::Traffic::kHop}) {
    const planner::OverlapSlowdownEstimate slowdown = costs.Slowdown(traffic, 2);
    for (const planner::SlowdownEstimate& f : {slowdown.attention, slowdown.exchange}) {
      EXPECT_EQ(f.value, 1);
      EXPECT_EQ(f.low, 1);
      EXPECT_EQ(f.high, 2);
    }
  }
  EXPECT_THAT(costs.Remarks(), Contains(HasSubstr("attention beside hop was not measured")));
  EXPECT_THAT(costs.Remarks(), Contains(HasSubstr("attention beside alltoall was not measured")));
}

TEST(FittedCostsTest, IntervalCoversFreshMeasurements) {
  int covered = 0;
  int asked = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SyntheticTrials made(0.05, seed);
    made.AddAll({2});
    const FittedCosts costs = Fit(made, RequestFor(made));
    std::mt19937 random(100 + seed);
    std::normal_distribution<double> normal;
    for (int i = 0; i < 50; ++i) {
      const int heads = 1 + i % 4;
      const int rows = heads * (4 + i % 28);
      const auto blocks = static_cast<std::int64_t>(rows) * (1 + i % 16);
      const double measured = made.truth.Attention(heads, rows, static_cast<double>(blocks)) *
                              std::exp(0.05 * normal(random));
      const planner::Estimate e = costs.Attention(Work(heads, rows, blocks));
      covered += e.low_ns <= measured && measured <= e.high_ns ? 1 : 0;
      ++asked;
    }
  }
  // The bound should hold for 90% of new points; 1000 draws measure that share within 3%.
  EXPECT_GE(covered, asked * 85 / 100);
}

TEST(FittedCostsTest, EveryEstimateIsFiniteOrderedAndNotNegative) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    SyntheticTrials made(0.6, seed);  // much more noise than real trials have
    made.AddAll({2, 8});
    const FittedCosts costs = Fit(made, RequestFor(made));
    const auto check = [&](const planner::Estimate& e) {
      EXPECT_TRUE(std::isfinite(e.ns) && std::isfinite(e.high_ns));
      EXPECT_LE(0, e.low_ns);
      EXPECT_LE(e.low_ns, e.ns);
      EXPECT_LE(e.ns, e.high_ns);
    };
    for (std::int64_t amount = 0; amount < (std::int64_t{1} << 40); amount = amount * 5 + 1) {
      check(costs.Attention(Work(40, amount, amount * 3)));
      check(costs.Copy(amount));
      check(costs.Merge(amount, 64));
      check(costs.Merge(amount, 128));
      check(costs.AllToAll(planner::FirstRanks(4), amount));
      check(costs.Hop(planner::FirstRanks(8), amount));
      EXPECT_LE(costs.BandwidthBoundNs(amount),
                costs.AllToAll(planner::FirstRanks(2), amount).ns * (1 + 1e-9));
      EXPECT_LE(costs.BandwidthBoundNs(amount),
                costs.Hop(planner::FirstRanks(4), amount).ns * (1 + 1e-9));
    }
    EXPECT_EQ(costs.Attention(Work(3, 0, 0)).high_ns, 0);
    EXPECT_EQ(costs.AllToAll(planner::FirstRanks(8), 0).high_ns, 0);
  }
}

TEST(FittedCostsTest, FailedAndImpossibleTrialsAreIgnored) {
  SyntheticTrials clean;
  clean.AddAll({2});
  SyntheticTrials dirty = clean;
  AttentionConfig config;
  config.kernel = clean.kernel;
  config.head_dim = clean.head_dim;
  config.block = clean.block;
  config.active_rows = 77;
  config.active_blocks = 777;
  Trial trial;
  trial.config = config;
  trial.samples_ns = {1, 1, 1};
  for (const TrialOutcome outcome : {TrialOutcome::kWrong,
                                     TrialOutcome::kFailed,
                                     TrialOutcome::kTimeout,
                                     TrialOutcome::kUnavailable}) {
    trial.outcome = outcome;
    dirty.Add(trial);
  }
  trial.outcome = TrialOutcome::kOk;
  trial.samples_ns = {};
  dirty.Add(trial);
  trial.samples_ns = {5, -3, 5};
  dirty.Add(trial);
  trial.samples_ns = {0};
  dirty.Add(trial);
  const FittedCosts a = Fit(clean, RequestFor(clean));
  const FittedCosts b = Fit(dirty, RequestFor(dirty));
  EXPECT_EQ(a.attention_fit("").theta, b.attention_fit("").theta);
  EXPECT_THAT(b.Remarks(), Contains(HasSubstr("7 trials that failed")));
}

TEST(FittedCostsTest, TheNewestTrialOfAConfigurationIsUsed) {
  SyntheticTrials made;
  made.AddAll({2});
  SyntheticTrials again = made;
  again.truth.per_block *= 2;
  again.truth.per_row *= 2;
  again.truth.per_head *= 2;
  again.AddAll({2});
  const FittedCosts costs = Fit(again, RequestFor(again));
  EXPECT_NEAR(costs.attention_fit("").theta[2], 2 * made.truth.per_block, 1);
}

TEST(FittedCostsTest, OnlyTrialsOfTheRequestedDeviceAreUsed) {
  SyntheticTrials made;
  made.AddAll({2});
  SyntheticTrials other;
  other.truth.per_block *= 10;
  other.AddAll({2});
  std::vector<db::StoredEnvironment> environments{made.environment, other.environment};
  environments[1].id = 2;
  environments[1].provenance.device_name = "Other CPU";
  std::vector<db::StoredTrial> trials = made.trials;
  for (db::StoredTrial trial : other.trials) {
    trial.environment_id = 2;
    trials.push_back(trial);
  }
  FitRequest request = RequestFor(made);
  const FittedCosts newest(trials, environments, request);
  EXPECT_EQ(newest.device().device_name, "Other CPU");
  EXPECT_THAT(newest.Remarks(), Contains(HasSubstr("has 2 devices")));
  request.device = "Imaginary";
  const FittedCosts asked(trials, environments, request);
  EXPECT_EQ(asked.device().device_name, "Imaginary CPU");
  EXPECT_NEAR(asked.attention_fit("").theta[2], made.truth.per_block, 1);
  request.device = "H200";
  EXPECT_THROW(FittedCosts(trials, environments, request), Error);
}

TEST(FittedCostsTest, MissingMeasurementsAreErrorsWithTheCommandThatMeasuresThem) {
  SyntheticTrials made;
  EXPECT_THAT(ErrorOf(made, RequestFor(made), ErrorCode::kNotFound), HasSubstr("dbsp-profile"));
  made.AddAll({4, 8});
  FitRequest request = RequestFor(made);
  request.head_dim = 128;
  EXPECT_THAT(ErrorOf(made, request, ErrorCode::kNotFound), HasSubstr("dbsp-profile"));
  request = RequestFor(made);
  request.kernel = "cpu.block_sparze";
  EXPECT_THAT(ErrorOf(made, request, ErrorCode::kInvalidArgument), HasSubstr("cpu.block_sparse"));
  const FittedCosts costs = Fit(made, RequestFor(made));
  EXPECT_THROW((void)costs.AllToAll(planner::FirstRanks(2), 1000), Error);
  EXPECT_THROW((void)costs.Hop(planner::FirstRanks(16), 1000), Error);
  EXPECT_GT(costs.AllToAll(planner::FirstRanks(6), 1000).ns, 0);
  EXPECT_THAT(costs.Remarks(), Contains(HasSubstr("rank count that was not measured")));
}

TEST(FittedCostsTest, RemarksNameTheRankCountsAndTheCommandThatMeasuresThem) {
  SyntheticTrials made;
  made.AddAll({2, 12});
  FitRequest request = RequestFor(made);
  request.ranks = 12;
  request.profile_without_ranks = "dbsp-profile --db p.db";
  request.profile_command = "dbsp-profile --db p.db --ranks 12";
  const FittedCosts group = Fit(made, request);
  (void)group.AllToAll(planner::FirstRanks(4), 1000);
  (void)group.AllToAll(planner::FirstRanks(6), 1000);
  EXPECT_THAT(group.Remarks(),
              Contains(AllOf(HasSubstr("(measured: 2, 12): 4, 6,"),
                             EndsWith("; measure: dbsp-profile --db p.db --ranks 12"))));
  const FittedCosts other = Fit(made, request);
  (void)other.AllToAll(planner::FirstRanks(5), 1000);
  EXPECT_THAT(other.Remarks(), Contains(EndsWith("; measure: dbsp-profile --db p.db --ranks 5")));
  (void)other.AllToAll(planner::FirstRanks(7), 1000);
  (void)other.AllToAll(planner::FirstRanks(4), 1000);
  EXPECT_THAT(
      other.Remarks(),
      Contains(EndsWith("; measure: for n in 5 7 12; do dbsp-profile --db p.db --ranks $n; done")));
  (void)other.Slowdown(planner::Traffic::kHop, 5);
  EXPECT_THAT(other.Remarks(),
              Contains(EndsWith("; measure: dbsp-profile --db p.db --ranks 5 --suite overlap")));
}

/// Exchanges of 8 ranks on one host and, ten times slower, on two hosts; of 16 ranks on two hosts.
SyntheticTrials OnHosts() {
  SyntheticTrials made;
  made.AddAll({4, 8});
  for (std::int64_t size = 1024; size <= (1 << 24); size *= 4) {
    const double ns = made.truth.Exchange(static_cast<double>(size));
    for (const char* op : {"alltoall", "hop"}) {
      made.Add(ExchangeConfig{op, "nccl", 8, size, 1.0, 2}, 10 * ns);
      made.Add(ExchangeConfig{op, "nccl", 16, size, 1.0, 2}, 20 * ns);
    }
  }
  return made;
}

TEST(FittedCostsTest, ExchangesInsideAHostAndBetweenHostsAreNotMixed) {
  const SyntheticTrials made = OnHosts();
  const double inside = made.truth.Exchange(65536);
  FitRequest request = RequestFor(made);
  const FittedCosts fewest = Fit(made, request);
  EXPECT_NEAR(fewest.AllToAll(planner::FirstRanks(8), 65536).ns, inside, 0.01 * inside);
  EXPECT_NEAR(fewest.Hop(planner::FirstRanks(16), 65536).ns, 20 * inside, 0.2 * inside);
  EXPECT_THAT(fewest.Remarks(),
              Contains(HasSubstr("alltoall between 8 ranks on 2 hosts was left out; "
                                 "--ranks-per-node 4 includes it")));
  EXPECT_THROW((void)fewest.AllToAll(planner::FirstRanks(12), 65536),
               Error);  // 8 are on one host, 16 on two
  request.ranks_per_node = 4;
  const FittedCosts four = Fit(made, request);
  EXPECT_NEAR(four.AllToAll(planner::FirstRanks(8), 65536).ns, 10 * inside, 0.1 * inside);
  EXPECT_NEAR(four.AllToAll(planner::FirstRanks(4), 65536).ns, inside, 0.01 * inside);
  EXPECT_THROW((void)four.AllToAll(planner::FirstRanks(16), 65536),
               Error);  // on four hosts: not measured
}

TEST(RankCurvesTest, HostsOfAGroupAreCountedFromItsRanks) {
  const auto strided = [](int first, int stride, int count) {
    std::vector<int> ranks;
    for (int i = 0; i < count; ++i) ranks.push_back(first + i * stride);
    return ranks;
  };
  // U x R on two hosts of 8: a ring takes every U-th rank, an all-to-all U successive ones.
  EXPECT_EQ(HostsOf(strided(3, 8, 2), 8), 2) << "8 x 2";
  EXPECT_EQ(HostsOf(strided(3, 4, 4), 8), 2) << "4 x 4";
  EXPECT_EQ(HostsOf(strided(0, 1, 8), 8), 1);
  EXPECT_EQ(HostsOf(strided(8, 1, 8), 8), 1);
  EXPECT_EQ(HostsOf(strided(4, 1, 8), 8), 2) << "successive, but across the border";
  EXPECT_EQ(HostsOf(strided(0, 1, 3), 1), 3);
  EXPECT_EQ(HostsOf({}, 8), 0);
  // Compared with a direct count, for every U x R of several numbers of ranks and hosts.
  for (const int ranks : {3, 6, 8, 12, 16}) {
    for (int per_node = 1; per_node <= ranks; ++per_node) {
      for (int u = 1; u <= ranks; ++u) {
        if (ranks % u != 0) continue;
        for (int group = 0; group < u; ++group) {
          std::vector<bool> seen(ranks, false);
          int hosts = 0;
          for (int rank = group; rank < ranks; rank += u) {
            const auto host = static_cast<std::size_t>(rank / per_node);
            hosts += seen[host] ? 0 : 1;
            seen[host] = true;
          }
          EXPECT_EQ(HostsOf(strided(group, u, ranks / u), per_node), hosts);
        }
      }
    }
  }
}

TEST(FittedCostsTest, ARingOnTwoHostsIsPricedAsOneEvenWhereItsRanksWouldFitOne) {
  SyntheticTrials made = OnHosts();
  for (std::int64_t size = 1024; size <= (1 << 24); size *= 4) {
    const double ns = made.truth.Exchange(static_cast<double>(size));
    made.Add(ExchangeConfig{"hop", "nccl", 2, size, 1.0, 1}, ns);
    made.Add(ExchangeConfig{"hop", "nccl", 2, size, 1.0, 2}, 7 * ns);
  }
  const double inside = made.truth.Exchange(65536);
  FitRequest request = RequestFor(made);
  request.ranks_per_node = 8;
  const FittedCosts costs = Fit(made, request);
  const CheckedCosts checked(costs);
  const planner::Costs& asked = checked;  // the interface that the planner uses
  const std::vector<int> beside{2, 3};
  const std::vector<int> apart{2, 10};
  EXPECT_NEAR(asked.Hop(beside, 65536).ns, inside, 0.01 * inside);
  EXPECT_NEAR(asked.Hop(apart, 65536).ns, 7 * inside, 0.07 * inside);
  EXPECT_NEAR(asked.Hop(planner::FirstRanks(2), 65536).ns, inside, 0.01 * inside)
      << "successive ranks";
  std::vector<int> across(8);
  std::iota(across.begin(), across.end(), 4);
  EXPECT_NEAR(asked.AllToAll(across, 65536).ns, 10 * inside, 0.1 * inside);
  const std::vector<int> four{0, 8, 16, 24};
  EXPECT_THROW((void)asked.Hop(four, 65536), Error) << "four hosts: not measured";
  try {
    (void)asked.Hop(four, 65536);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no hop between 4 ranks on 4 hosts was measured"));
    EXPECT_THAT(error.what(), HasSubstr("2 on 2 hosts"));
  }
  // 4 ranks on two hosts are interpolated between 2 and 8.
  const std::vector<int> middle{0, 4, 8, 12};
  const double between = asked.Hop(middle, 65536).ns;
  EXPECT_GT(between, 7 * inside);
  EXPECT_LT(between, 10 * inside);
  request.ranks_per_node = 0;
  const FittedCosts fewest = Fit(made, request);
  EXPECT_NEAR(fewest.Hop(apart, 65536).ns, inside, 0.01 * inside);
}

TEST(FittedCostsTest, AnotherBlockSizeIsAnErrorOrScaledWithAWiderInterval) {
  SyntheticTrials made;
  made.AddAll({2});
  FitRequest request = RequestFor(made);
  request.block = {128, 128};
  EXPECT_THAT(ErrorOf(made, request, ErrorCode::kNotFound), HasSubstr("--force"));
  request.allow_scaled = true;
  const FittedCosts costs = Fit(made, request);
  const planner::Estimate e = costs.Attention(Work(1, 10, 50));
  EXPECT_NEAR(e.ns, made.truth.Attention(1, 2 * 10, 4 * 50), 1e-3 * e.ns);
  EXPECT_GE(e.high_ns, 1.5 * e.ns);
  EXPECT_THAT(costs.Remarks(), Contains(HasSubstr("scaled from 64x64")));
}

TEST(FittedCostsTest, TakesTheKernelThatIsFasterOnTheWorkload) {
  SyntheticTrials made;
  made.AddAll({2});
  made.kernel = "cpu.slow";
  made.truth.per_block *= 5;
  made.AddAll({2});
  EXPECT_EQ(Fit(made, RequestFor(made)).kernel(), "cpu.block_sparse");
  FitRequest request = RequestFor(made);
  request.kernel = "cpu.slow";
  EXPECT_EQ(Fit(made, request).kernel(), "cpu.slow");
}

}  // namespace
}  // namespace dbsp::tuner
