// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <type_traits>

#include "core/error.h"

namespace dbsp::profiler {
namespace {

Workload SmallWorkload() {
  Workload workload;
  workload.model.name = "small";
  workload.model.heads = 5;
  workload.model.head_dim = 32;
  workload.model.grid = {5, 10, 10};
  workload.block = {64, 32};
  return workload;
}

void ExpectSane(const std::vector<TrialConfig>& suite, int ranks) {
  std::set<std::string> keys;
  for (const TrialConfig& config : suite) {
    SCOPED_TRACE(Describe(config));
    EXPECT_TRUE(keys.insert(KeyOf(config)).second) << "twice";
    if (const auto* a = std::get_if<AttentionConfig>(&config)) {
      EXPECT_GE(a->heads, 1);
      EXPECT_LE(a->active_blocks, static_cast<std::int64_t>(a->heads) * a->q_blocks * a->k_blocks);
      EXPECT_LE(a->active_rows, static_cast<std::int64_t>(a->heads) * a->q_blocks);
      EXPECT_LE(static_cast<std::int64_t>(a->heads) * a->k_blocks * a->block.k * a->head_dim,
                std::int64_t{1} << 28);
    } else if (const auto* x = std::get_if<ExchangeConfig>(&config)) {
      EXPECT_GE(x->ranks, 2);
      EXPECT_LE(x->ranks, ranks);
      EXPECT_GT(x->bytes_per_rank, 0);
      EXPECT_EQ(x->bytes_per_rank % 4, 0);
    } else if (const auto* o = std::get_if<OverlapConfig>(&config)) {
      EXPECT_GE(o->exchange.ranks, 2);
      EXPECT_LE(o->exchange.ranks, ranks);
      EXPECT_GT(o->exchange.bytes_per_rank, 0);
      EXPECT_EQ(o->exchange.bytes_per_rank % 4, 0);
      EXPECT_GT(o->attention.active_blocks, 0);
      EXPECT_EQ(o->sm_margin, 0) << "a CPU has no SMs";
    } else {
      EXPECT_GT(std::get<LocalConfig>(config).amount, 0);
    }
  }
}

TEST(SuiteTest, EverySuiteHasValidTrialsWithoutDuplicates) {
  for (const char* name : {"quick", "full", "overlap"}) {
    for (const int ranks : {1, 2, 3, 6, 8}) {
      if (ranks == 1 && std::string(name) == "overlap") continue;
      SCOPED_TRACE(std::string(name) + " " + std::to_string(ranks));
      SuiteOptions options{.suite = name, .ranks = ranks};
      ExpectSane(MakeSuite(options), ranks);
      options.workload = SmallWorkload();
      ExpectSane(MakeSuite(options), ranks);
    }
  }
}

TEST(SuiteTest, CollectivesHaveEveryExchangeAtEverySizeAndRankCount) {
  SuiteOptions options{.suite = "collectives", .ranks = 8};
  options.sweep = {.begin_bytes = 1024, .end_bytes = 4096, .factor = 2, .transport = "nccl"};
  const auto suite = MakeSuite(options);
  ExpectSane(suite, 8);
  EXPECT_EQ(suite.size(), 3U * 3 * 6);  // sizes, rank counts 2, 4 and 8, exchanges
  std::set<std::string> ops;
  for (const TrialConfig& config : suite) {
    const auto& exchange = std::get<ExchangeConfig>(config);
    ops.insert(exchange.op);
    EXPECT_EQ(exchange.transport, "nccl");
  }
  EXPECT_EQ(ops,
            (std::set<std::string>{"allgather", "alltoall", "hop", "needed", "reducescatter"}));
  options.ranks = 1;
  EXPECT_THROW((void)MakeSuite(options), Error);
  options.ranks = 8;
  options.workload = SmallWorkload();
  EXPECT_THROW((void)MakeSuite(options), Error);
}

TEST(SuiteTest, TheBeginningHasSomeOfEveryCategory) {
  const auto suite = MakeSuite({.ranks = 4, .workload = SmallWorkload()});
  std::set<std::size_t> categories;
  for (std::size_t i = 0; i < 4; ++i) categories.insert(suite[i].index());
  EXPECT_EQ(categories.size(), 4U);
}

/// Op, timed side and ranks of each overlap.
std::multiset<std::string> Overlaps(const std::vector<TrialConfig>& suite) {
  std::multiset<std::string> found;
  for (const TrialConfig& config : suite) {
    if (const auto* o = std::get_if<OverlapConfig>(&config)) {
      found.insert(o->exchange.op + " " + NameOf(o->timed) + " " +
                   std::to_string(o->exchange.ranks));
    }
  }
  return found;
}

TEST(SuiteTest, QuickAndFullHaveTheOverlapsThatEveryPlanNeeds) {
  const std::multiset<std::string> four{
      "alltoall attention 6", "alltoall exchange 6", "hop attention 6", "hop exchange 6"};
  for (const char* name : {"quick", "full"}) {
    SuiteOptions options{.suite = name, .ranks = 6};
    EXPECT_EQ(Overlaps(MakeSuite(options)), four);
    options.workload = SmallWorkload();
    EXPECT_EQ(Overlaps(MakeSuite(options)), four);
    options.ranks = 1;
    EXPECT_TRUE(Overlaps(MakeSuite(options)).empty());
  }
}

TEST(SuiteTest, OverlapsCoverEveryOpSideAndRankCountMostUsefulFirst) {
  SuiteOptions options{.suite = "overlap", .ranks = 6};
  const auto suite = MakeSuite(options);
  EXPECT_EQ(suite.size(), 3U * 2 * 3 * 4);  // bytes, calls, ranks 6, 3 and 2, ops and sides
  const auto found = Overlaps(suite);
  EXPECT_EQ(found.size(), suite.size());
  for (const std::string& one : std::set<std::string>(found.begin(), found.end())) {
    EXPECT_EQ(found.count(one), 6U) << one;
  }
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::get<OverlapConfig>(suite[i]).exchange.ranks, 6);
  }
  options.workload = SmallWorkload();
  for (const TrialConfig& config : MakeSuite(options)) {
    EXPECT_EQ(std::get<OverlapConfig>(config).attention.head_dim, 32);
  }
  options.ranks = 1;
  EXPECT_THROW((void)MakeSuite(options), Error);
  options.ranks = 2;
  options.plan = Plan{};
  EXPECT_THROW((void)MakeSuite(options), Error);
}

/// Ranks of the exchanges of one category.
template <typename Config>
std::set<int> RanksOf(const std::vector<TrialConfig>& suite) {
  std::set<int> ranks;
  for (const TrialConfig& config : suite) {
    if (const auto* o = std::get_if<OverlapConfig>(&config)) {
      if (std::is_same_v<Config, OverlapConfig>) ranks.insert(o->exchange.ranks);
    } else if (const auto* x = std::get_if<ExchangeConfig>(&config)) {
      if (std::is_same_v<Config, ExchangeConfig>) ranks.insert(x->ranks);
    }
  }
  return ranks;
}

/// Degrees divide the ranks, so groups do. 2 is measured so that other counts are interpolated.
TEST(SuiteTest, ExchangesAndOverlapsAreMeasuredInTheGroupsOfTheRanks) {
  const std::vector<std::pair<int, std::set<int>>> groups{{2, {2}},
                                                          {3, {3}},
                                                          {5, {5}},
                                                          {6, {2, 3, 6}},
                                                          {8, {2, 4, 8}},
                                                          {9, {3, 9}},
                                                          {12, {2, 3, 4, 6, 12}}};
  for (const auto& [ranks, sizes] : groups) {
    SCOPED_TRACE(ranks);
    std::set<int> with_two = sizes;
    with_two.insert(2);
    for (const bool general : {true, false}) {
      SuiteOptions options{.suite = "overlap", .ranks = ranks};
      if (!general) options.workload = SmallWorkload();
      EXPECT_EQ(RanksOf<OverlapConfig>(MakeSuite(options)), sizes);
      options.suite = "quick";
      EXPECT_EQ(RanksOf<ExchangeConfig>(MakeSuite(options)), with_two);
    }
    EXPECT_EQ(
        RanksOf<ExchangeConfig>(MakeSuite(SuiteOptions{.suite = "collectives", .ranks = ranks})),
        with_two);
  }
}

TEST(SuiteTest, OnAGpuOverlapsHaveSmMarginsBelowHalfTheDevice) {
  for (const auto& [sms, margins] :
       {std::pair{132, std::set{0, 4, 8, 16}}, std::pair{24, std::set{0, 4, 8}}}) {
    SuiteOptions options{.suite = "overlap", .ranks = 2};
    options.target = GpuTarget(90, std::int64_t{100} << 30, "nccl");
    options.target.sm_count = sms;
    const auto suite = MakeSuite(options);
    std::set<int> found;
    std::set<std::string> keys;
    for (const TrialConfig& config : suite) {
      const auto& o = std::get<OverlapConfig>(config);
      found.insert(o.sm_margin);
      EXPECT_EQ(o.exchange.transport, "nccl");
      EXPECT_TRUE(keys.insert(KeyOf(config)).second) << "twice";
    }
    EXPECT_EQ(found, margins);
    EXPECT_EQ(std::get<OverlapConfig>(suite.front()).sm_margin, 0);
  }
}

TEST(SuiteTest, AWorkloadsShapesComeFirstForEveryDegree) {
  const auto suite = MakeSuite({.ranks = 6, .workload = SmallWorkload()});
  std::set<std::pair<int, int>> found;  // heads, query blocks
  for (const TrialConfig& config : suite) {
    const auto* a = std::get_if<AttentionConfig>(&config);
    if (a == nullptr) continue;
    if (a->head_dim != 32) break;
    found.insert({a->heads, a->q_blocks});
  }
  // 5 heads and 8 query blocks over 6x1, 3x2, 2x3 and 1x6 ranks, and half of the rows
  EXPECT_EQ(found,
            (std::set<std::pair<int, int>>{
                {1, 8}, {1, 4}, {2, 4}, {2, 2}, {3, 3}, {3, 2}, {5, 2}, {5, 1}}));
}

TEST(SuiteTest, TwoPassesAddTheShapesOfHalfTheRanksForAnEvenNumber) {
  Workload workload = SmallWorkload();
  const auto one = MakeSuite({.ranks = 6, .workload = workload});
  workload.model.passes = 2;
  const auto two = MakeSuite({.ranks = 6, .workload = workload});
  std::set<std::string> keys;
  for (const TrialConfig& config : two) keys.insert(KeyOf(config));
  for (const TrialConfig& config : one) EXPECT_TRUE(keys.contains(KeyOf(config)));
  std::set<std::pair<int, int>> calls;  // heads, query blocks
  std::set<int> exchanging;
  std::int64_t largest_hop = 0;
  for (const TrialConfig& config : two) {
    if (const auto* a = std::get_if<AttentionConfig>(&config); a != nullptr && a->head_dim == 32) {
      calls.insert({a->heads, a->q_blocks});
    }
    const auto* x = std::get_if<ExchangeConfig>(&config);
    if (x != nullptr && x->op == "alltoall") exchanging.insert(x->ranks);
    if (x != nullptr && x->op == "hop" && x->ranks == 3) {
      largest_hop = std::max(largest_hop, x->bytes_per_rank);
    }
  }
  // 5 heads and 8 query blocks over 3x1 and 1x3 ranks; 2 and 5 heads also occur with 6 ranks
  EXPECT_TRUE(calls.contains({2, 8}));
  EXPECT_TRUE(calls.contains({5, 3}));
  EXPECT_TRUE(exchanging.contains(3));
  // K and V of all heads for a third of the tokens
  EXPECT_GE(largest_hop, 2 * 5 * (500 / 3) * 32 * 4);
  // An odd number of ranks has no halves.
  workload.model.passes = 1;
  const auto odd = MakeSuite({.ranks = 5, .workload = workload});
  workload.model.passes = 2;
  EXPECT_EQ(MakeSuite({.ranks = 5, .workload = workload}).size(), odd.size());
}

TEST(SuiteTest, EveryDegreeIsMeasuredDenseAndSparseBeforeAnyOtherPattern) {
  std::vector<const AttentionConfig*> calls;
  const auto suite = MakeSuite({.ranks = 8, .workload = SmallWorkload()});
  for (const TrialConfig& config : suite) {
    const auto* a = std::get_if<AttentionConfig>(&config);
    if (a != nullptr && a->head_dim == 32) calls.push_back(a);
  }
  ASSERT_GE(calls.size(), 8U);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(calls[i]->pattern, i % 2 == 0 ? "dense" : "uniform");
    EXPECT_EQ(calls[i]->q_blocks, calls[i / 2 * 2]->q_blocks) << "the same call twice";
  }
}

TEST(SuiteTest, LongCallsLoseRowsThenHeadsAndNoColumns) {
  Workload workload = SmallWorkload();
  workload.model.heads = 40;
  workload.model.head_dim = 128;
  workload.model.grid = {21, 45, 80};
  workload.block = {64, 64};
  const int cols = workload.shape().k_blocks();
  std::set<int> columns;
  for (const TrialConfig& config : MakeSuite({.ranks = 8, .workload = workload})) {
    const auto* a = std::get_if<AttentionConfig>(&config);
    if (a == nullptr) continue;
    if (a->head_dim != 128) break;
    SCOPED_TRACE(Describe(config));
    columns.insert(a->k_blocks);
    const double operations = 4.0 * 64 * 64 * 128 * static_cast<double>(a->active_blocks);
    EXPECT_LE(operations, 1.02e10);  // active blocks are rounded
    EXPECT_GE(operations, 1e9);
  }
  EXPECT_TRUE(columns.contains(cols));
}

TEST(SuiteTest, ExchangesHaveTheNumberOfHostsOfTheirRanks) {
  SuiteOptions options{.suite = "collectives", .ranks = 8};
  options.sweep.nodes_of = [](int ranks) { return (ranks + 3) / 4; };
  for (const TrialConfig& config : MakeSuite(options)) {
    const auto& exchange = std::get<ExchangeConfig>(config);
    EXPECT_EQ(exchange.nodes, exchange.ranks == 8 ? 2 : 1) << Describe(config);
    EXPECT_EQ(Describe(config).find(" on 2 hosts") != std::string::npos, exchange.ranks == 8);
  }
}

TEST(SuiteTest, HopsAreMeasuredOnTheHostsOfBothKindsOfRings) {
  SuiteOptions options{.suite = "collectives", .ranks = 8};
  options.sweep.nodes_of = [](int ranks) { return (ranks + 3) / 4; };
  options.sweep.ring_nodes_of = [](int ranks) { return ranks < 2 ? 1 : 2; };
  std::map<std::pair<std::string, int>, std::set<int>> nodes;
  std::set<std::string> keys;
  for (const TrialConfig& config : MakeSuite(options)) {
    const auto& exchange = std::get<ExchangeConfig>(config);
    nodes[{exchange.op, exchange.ranks}].insert(exchange.nodes);
    EXPECT_TRUE(keys.insert(KeyOf(config)).second) << KeyOf(config);
  }
  EXPECT_EQ((nodes.at({"hop", 2})), (std::set<int>{1, 2}));
  EXPECT_EQ((nodes.at({"hop", 4})), (std::set<int>{1, 2}));
  EXPECT_EQ((nodes.at({"hop", 8})), (std::set<int>{2}));
  EXPECT_EQ((nodes.at({"alltoall", 4})), (std::set<int>{1}));
}

TEST(SuiteTest, UnknownNamesAndRanksAreRefused) {
  EXPECT_THROW((void)MakeSuite({.suite = "quik"}), Error);
  EXPECT_THROW((void)MakeSuite({.ranks = 0}), Error);
}

}  // namespace
}  // namespace dbsp::profiler
