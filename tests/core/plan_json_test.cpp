// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "tests/core/expect_error.h"
#include "tests/core/small_plan.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using testing::Editable;
using testing::ExpectError;
using testing::SmallPlan;
using testing::TemporaryFolder;
using Random = std::mt19937_64;

int Draw(Random& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

std::vector<int> DrawOwners(Random& random, int blocks, int ring) {
  std::vector<int> owners(blocks);
  const bool runs = Draw(random, 0, 1) == 0;  // long runs and random owners are written differently
  int owner = 0;
  for (int& entry : owners) {
    if (!runs || Draw(random, 0, 9) == 0) owner = Draw(random, 0, ring - 1);
    entry = owner;
  }
  return owners;
}

Partition DrawPartition(Random& random, const AttentionShape& shape, int ranks, bool columns) {
  Partition partition{ranks, shape.heads, shape.q_blocks(), shape.k_blocks(), {}};
  partition.groups.resize(Draw(random, 1, ranks));
  for (HeadGroup& group : partition.groups) {
    std::vector<int> all(ranks);
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random);
    group.ranks.assign(all.begin(), all.begin() + Draw(random, 1, ranks));
    const int ring = static_cast<int>(group.ranks.size());
    if (ring > 1) group.row_owner = DrawOwners(random, shape.q_blocks(), ring);
    if (ring > 1 && columns) group.col_owner = DrawOwners(random, shape.k_blocks(), ring);
  }
  for (int head = 0; head < shape.heads; ++head) {
    const auto group = Draw(random, 0, static_cast<int>(partition.groups.size()) - 1);
    partition.groups[group].heads.push_back(head);
  }
  return partition;
}

Prediction DrawPrediction(Random& random, int ranks) {
  Prediction prediction;
  prediction.low_ns = Draw(random, 0, 1'000'000);
  prediction.total_ns = prediction.low_ns + Draw(random, 0, 1000);
  prediction.high_ns = prediction.total_ns + Draw(random, 0, 1000);
  prediction.compute_ns = Draw(random, 0, 1000);
  prediction.exchange_ns = Draw(random, 0, 1000);
  prediction.lower_bound_ns = Draw(random, 0, 1000);
  prediction.rho_barrier = std::uniform_real_distribution<double>(1, 2)(random);
  prediction.rho_timeline = 1.0 / 3.0;
  prediction.bytes_per_rank = (std::int64_t{1} << 50) + Draw(random, 0, 1000);
  prediction.moved_fraction = std::uniform_real_distribution<double>(0, 1)(random);
  for (int i = Draw(random, 0, 12); i > 0; --i) {
    prediction.segments.push_back({Draw(random, 0, ranks - 1),
                                   static_cast<SegmentKind>(Draw(random, 0, kSegmentKinds - 1)),
                                   Draw(random, 0, 7),
                                   Draw(random, 0, 1 << 30),
                                   Draw(random, 0, 1 << 30),
                                   Draw(random, 0, 1 << 30)});
    Segment& segment = prediction.segments.back();
    if (segment.kind != SegmentKind::kAttention || Draw(random, 0, 1) == 0) continue;
    segment.alone_ns = segment.duration_ns / 2;
  }
  return prediction;
}

/// Active blocks of every rank, not more in all than the masks of `shape` have.
std::vector<std::int64_t> DrawLoads(Random& random, const AttentionShape& shape, int ranks) {
  const int all = shape.heads * shape.q_blocks() * shape.k_blocks();
  std::vector<std::int64_t> loads(ranks);
  for (std::int64_t& load : loads) load = Draw(random, 0, all / ranks);
  return loads;
}

Contract DrawContract(Random& random, const Partition& partition, bool shares) {
  Contract contract{std::uniform_real_distribution<double>(1, 2)(random), 0, {}};
  for (const HeadGroup& group : partition.groups) {
    if (!shares || group.ranks.size() == 1) continue;
    for (const int head : group.heads) {
      contract.shares.push_back({head, std::vector<double>(group.ranks.size(), 1.0 / 3.0)});
    }
  }
  return contract;
}

Plan DrawPlan(std::uint64_t seed) {
  Random random(seed);
  Plan plan;
  plan.workload_directory = "../masks";
  plan.database_hash = seed % 2 == 0 ? "" : HashBytes("db");
  plan.cluster = "h200x8";
  plan.device = "CPU \"quoted\" \\ name";
  plan.created_utc = "2026-01-31T12:34:56Z";
  plan.generator = "dbsp 0.1.0";
  plan.costs = static_cast<CostSource>(Draw(random, 0, 3));
  plan.passes = Draw(random, 1, 2);
  const int cfg_degree = Draw(random, 1, plan.passes);
  const int pass_ranks = Draw(random, 1, 6);
  plan.ranks = pass_ranks * cfg_degree;
  plan.dtype = static_cast<DType>(Draw(random, 0, 1));
  plan.shape = {Draw(random, 1, 12), 64, Draw(random, 1, 5000), {Draw(random, 8, 99), 64}};
  testing::AddWorkload(plan, 3, 2);
  plan.layouts = {{"given", {}}, {"strided:2", {0, 2, 1, 3}}};
  for (int i = Draw(random, 1, 3); i > 0; --i) {
    const bool ring = Draw(random, 0, 1) == 0;
    const int index = static_cast<int>(plan.partitions.size());
    plan.partitions.push_back(DrawPartition(random, plan.shape, pass_ranks, ring));
    const int chunks = Draw(random, 1, plan.shape.heads);
    for (int head = 0; chunks > 1 && head < plan.shape.heads; ++head) {
      plan.partitions.back().chunk_of_head.push_back(head % chunks);
    }
    plan.strategies.push_back({static_cast<Family>(Draw(random, 0, 5)),
                               cfg_degree,
                               Draw(random, 1, pass_ranks),
                               Draw(random, 1, pass_ranks),
                               ring ? Exchange::kRing : Exchange::kAllToAll,
                               chunks,
                               Draw(random, 0, 1),
                               index,
                               i == 1 ? "" : "cpu.block_sparse"});
    plan.predictions.push_back(DrawPrediction(random, pass_ranks));
    plan.contracts.push_back(DrawContract(random, plan.partitions.back(), !ring));
  }
  if (Draw(random, 0, 1) == 0) {  // a plan may hold no loads
    for (Prediction& prediction : plan.predictions) {
      prediction.active_blocks = DrawLoads(random, plan.shape, pass_ranks);
    }
    plan.baselines = {{Family::kUlysses, plan.ranks, 1, {}}, {Family::kRing, 1, plan.ranks, {}}};
    for (Baseline& baseline : plan.baselines) {
      for (std::size_t i = 0; i < plan.predictions.size(); ++i) {
        baseline.active_blocks.push_back(DrawLoads(random, plan.shape, plan.ranks));
        if (baseline.family == Family::kRing) continue;
        const int low = Draw(random, 0, 1000);
        baseline.times.push_back({low + 10, low, low + 30, 5, 6});
      }
    }
    plan.baselines[1].missing = "no hop was measured";
    plan.notes = {"a note", "\"quoted\" <note>"};
    plan.fits = {{"attention", "cpu.block_sparse", 40, 0.11, 0.03}, {"pack", "", 5, 0.2, {}}};
    plan.close_calls.emplace();
  }
  const int last = static_cast<int>(plan.strategies.size()) - 1;
  for (int step = 0; step < 3; ++step) {
    for (int layer = 0; layer < 2; ++layer) {
      const int strategy = Draw(random, 0, last);
      plan.cells.push_back({step, layer, strategy, Draw(random, 0, last)});
      if (Draw(random, 0, 2) > 0) plan.cells.back().contract = strategy;
      if (plan.close_calls && layer == 0) plan.close_calls->push_back({step, layer, "ring", 17});
    }
  }
  return plan;
}

void ExpectEqual(const Plan& a, const Plan& b) {
  EXPECT_EQ(a.workload_hash, b.workload_hash);
  EXPECT_EQ(a.workload_name, b.workload_name);
  EXPECT_EQ(a.workload_json, b.workload_json);
  EXPECT_EQ(a.workload_directory, b.workload_directory);
  EXPECT_EQ(a.database_hash, b.database_hash);
  EXPECT_EQ(a.cluster, b.cluster);
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.created_utc, b.created_utc);
  EXPECT_EQ(a.generator, b.generator);
  EXPECT_EQ(a.costs, b.costs);
  EXPECT_EQ(a.ranks, b.ranks);
  EXPECT_EQ(a.passes, b.passes);
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.layouts, b.layouts);
  EXPECT_EQ(a.partitions, b.partitions);
  EXPECT_EQ(a.strategies, b.strategies);
  ASSERT_EQ(a.predictions.size(), b.predictions.size());
  for (std::size_t i = 0; i < a.predictions.size(); ++i) {
    const Prediction& p = a.predictions[i];
    const Prediction& q = b.predictions[i];
    EXPECT_EQ(p.segments, q.segments);
    EXPECT_EQ(std::tie(p.total_ns, p.low_ns, p.high_ns, p.compute_ns, p.exchange_ns),
              std::tie(q.total_ns, q.low_ns, q.high_ns, q.compute_ns, q.exchange_ns));
    EXPECT_EQ(std::tie(p.lower_bound_ns, p.rho_barrier, p.rho_timeline, p.bytes_per_rank),
              std::tie(q.lower_bound_ns, q.rho_barrier, q.rho_timeline, q.bytes_per_rank));
    EXPECT_EQ(p.moved_fraction, q.moved_fraction);
    EXPECT_EQ(p.active_blocks, q.active_blocks);
  }
  EXPECT_EQ(a.baselines, b.baselines);
  EXPECT_EQ(a.notes, b.notes);
  EXPECT_EQ(a.fits, b.fits);
  EXPECT_EQ(a.close_calls, b.close_calls);
  EXPECT_EQ(a.contracts, b.contracts);
  ASSERT_EQ(a.cells.size(), b.cells.size());
  for (std::size_t i = 0; i < a.cells.size(); ++i) {
    const PlanCell& c = a.cells[i];
    const PlanCell& d = b.cells[i];
    EXPECT_EQ(std::tie(c.step, c.layer, c.strategy, c.prediction, c.contract),
              std::tie(d.step, d.layer, d.strategy, d.prediction, d.contract));
  }
}

TEST(PlanJsonTest, RandomPlansComeBackWhole) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const Plan plan = DrawPlan(seed);
    const std::string text = PlanToJson(plan);
    const Plan back = PlanFromJson(text, "text");
    ExpectEqual(plan, back);
    EXPECT_EQ(PlanToJson(back), text);
  }
}

TEST(PlanJsonTest, FilesComeBackWholePlainAndCompressed) {
  const TemporaryFolder folder;
  const Plan plan = DrawPlan(7);
  for (const char* name : {"plan.json", "plan.json.zst"}) {
    WritePlan(plan, folder / name);
    ExpectEqual(plan, ReadPlan(folder / name));
  }
  EXPECT_EQ(ReadFile(folder / "plan.json"), PlanToJson(plan));
  EXPECT_LT(std::filesystem::file_size(folder / "plan.json.zst"),
            std::filesystem::file_size(folder / "plan.json"));
}

TEST(PlanJsonTest, LongRunsTakeFewCharactersAndBothFormsAreRead) {
  Plan plan = SmallPlan();
  Json json = Editable(plan);
  EXPECT_EQ(json["partitions"][0]["groups"][0]["row_owner"], Json::parse("[[1,10]]"));
  json["partitions"][0]["groups"][0]["row_owner"] = std::vector<int>(10, 1);
  ExpectEqual(plan, PlanFromJson(json.dump(), "text"));
  plan.partitions[0].groups[0].row_owner = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
  json = Json::parse(PlanToJson(plan));
  EXPECT_EQ(json["partitions"][0]["groups"][0]["row_owner"],
            Json(plan.partitions[0].groups[0].row_owner));
}

TEST(PlanJsonTest, LoadsAreOptionalAndMustFitThePlan) {
  Plan plan = SmallPlan();
  const Json without = Json::parse(PlanToJson(plan));
  EXPECT_FALSE(without.contains("baselines"));
  EXPECT_FALSE(without["predictions"][0].contains("active_blocks"));
  plan.predictions[0].active_blocks = {60, 40};
  plan.baselines = {{Family::kRing, 1, 2, {{50, 50}}}};
  const Json good = Editable(plan);
  ExpectEqual(plan, PlanFromJson(good.dump(), "text"));
  const auto refused = [](const Json& json, std::vector<std::string> words) {
    ExpectError(ErrorCode::kCorruptInput, words, [&] { (void)PlanFromJson(json.dump(), "text"); });
  };
  Json bad = good;
  bad["predictions"][0]["active_blocks"] = {60};
  refused(bad, {"predictions[0].active_blocks", "per rank"});
  bad = good;
  bad["baselines"][0]["active_blocks"][0] = {50, -1};
  refused(bad, {"baselines[0].active_blocks[0][1]"});
  bad = good;
  bad["baselines"][0]["active_blocks"] = Json::array();
  refused(bad, {"baselines[0].active_blocks", "per prediction"});
  bad = good;
  bad["baselines"][0]["ring_degree"] = 1;
  refused(bad, {"baselines[0]", "product 2"});
}

TEST(PlanJsonTest, WhatTheTunerKnewIsOptionalAndMustFitThePlan) {
  Plan plan = SmallPlan();
  plan.baselines = {{Family::kRing, 1, 2, {{50, 50}}, 1, {{20, 10, 30, 15, 5}}}};
  plan.notes = {"note"};
  plan.fits = {{"attention", "k", 9, 0.1, 0.05}};
  plan.close_calls = {{0, 1, "ulysses", 21}};
  const Json good = Editable(plan);
  ExpectEqual(plan, PlanFromJson(good.dump(), "text"));
  const auto refused = [&](const char* pointer, const Json& value, std::vector<std::string> words) {
    SCOPED_TRACE(pointer);
    Json bad = good;
    bad[Json::json_pointer(pointer)] = value;
    ExpectError(ErrorCode::kCorruptInput, words, [&] { (void)PlanFromJson(bad.dump(), "text"); });
  };
  refused("/baselines/0/cfg_degree", 2, {"baselines[0]", "product 2"});
  refused("/baselines/0/cfg_degree", 3, {"baselines[0].cfg_degree"});
  refused("/baselines/0/times/0", {20, 10, 30, 15}, {"baselines[0].times[0]", "total_ns"});
  refused("/baselines/0/times/0", {20, 21, 30, 15, 5}, {"baselines[0].times[0]", "low_ns"});
  refused("/baselines/0/times/0/4", -1, {"baselines[0].times[0][4]"});
  refused("/baselines/0/times/1", {20, 10, 30, 15, 5}, {"baselines[0].times", "per prediction"});
  refused("/fits/0/held_out_error", -1, {"fits[0].held_out_error"});
  refused("/fits/0/median_error", "small", {"fits[0].median_error"});
  refused("/close_calls/0", {1, 1, "ulysses", 21}, {"close_calls[0]", "step 1, layer 1"});
  refused("/close_calls/0", {0, 1, "ulysses"}, {"close_calls[0]"});
  refused("/close_calls/0/3", -1, {"close_calls[0][3]"});
  refused("/notes", "note", {"notes"});
  refused("/notes/0", 1, {"notes[0]"});
}

TEST(PlanJsonTest, BaselinesOfOlderPlansHaveThePlansCfgDegreeAndNoTimes) {
  Plan plan = SmallPlan();
  plan.partitions = {{1, 2, 10, 10, {{{0, 1}, {0}, {}, {}}}}};
  plan.strategies = {{Family::kUlysses, 2, 1, 1, Exchange::kAllToAll, 1, 0, 0, ""}};
  plan.predictions[0].segments.clear();
  plan.baselines = {{Family::kUlysses, 1, 1, {{100}}, 2}};
  Json older = Editable(plan);
  older["baselines"][0].erase("cfg_degree");
  older.erase("close_calls");
  const Plan read = PlanFromJson(older.dump(), "text");
  EXPECT_EQ(read.baselines, plan.baselines);
  EXPECT_FALSE(read.close_calls);
}

TEST(PlanJsonTest, TotalCountsPassesThatRunOneAfterTheOther) {
  Plan plan = SmallPlan();
  EXPECT_DOUBLE_EQ(plan.total_ms(), 3 * 20 * 2 / 1e6);
  plan.strategies[0].cfg_degree = 2;
  EXPECT_EQ(plan.pass_ranks(), 1);
  EXPECT_DOUBLE_EQ(plan.total_ms(), 3 * 20 / 1e6);
  plan.passes = 3;  // two waves: two passes, then one
  EXPECT_DOUBLE_EQ(plan.total_ms(), 3 * 20 * 2 / 1e6);
}

TEST(PlanJsonTest, AllStrategiesHaveOneCfgDegreeAndTheirSegmentsRanksOfAPassGroup) {
  Plan plan = SmallPlan();
  plan.ranks = 4;
  plan.strategies[0].cfg_degree = 2;  // the partition is of 2 ranks
  ExpectEqual(plan, PlanFromJson(PlanToJson(plan), "text"));
  Json json = Editable(plan);
  json["predictions"][0]["segments"][0][0] = 2;
  ExpectError(ErrorCode::kCorruptInput, {"predictions[0].segments[0][0]", "from 0 to 1"}, [&] {
    static_cast<void>(PlanFromJson(json.dump(), "text"));
  });
  // A fallback of another degree, on a partition that would fit it.
  plan.partitions.push_back(plan.partitions[0]);
  plan.partitions[1].ranks = 4;
  plan.strategies.push_back(plan.strategies[0]);
  plan.strategies[1].cfg_degree = 1;
  plan.strategies[1].partition = 1;
  ExpectError(ErrorCode::kInternal, {"strategies[1].cfg_degree", "expected 2"}, [&] {
    static_cast<void>(PlanToJson(plan));
  });
}

struct Corruption {
  const char* pointer;  ///< JSON pointer of the value that is replaced
  const char* value;  ///< its new text
  const char* key;  ///< what the message must name
};

class PlanCorruptionTest : public ::testing::TestWithParam<Corruption> {};

TEST_P(PlanCorruptionTest, IsRefusedByFileAndKey) {
  const Corruption& corruption = GetParam();
  Json json = Editable(SmallPlan());
  json[Json::json_pointer(corruption.pointer)] = Json::parse(corruption.value);
  ExpectError(ErrorCode::kCorruptInput, {"bad.json", corruption.key}, [&] {
    static_cast<void>(PlanFromJson(json.dump(), "bad.json"));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Each,
    PlanCorruptionTest,
    ::testing::Values(
        Corruption{"/schema", "\"dbsp.plan/3\"", "schema"},
        Corruption{"/colour", "1", "colour"},
        Corruption{"/workload/text", "\"{} \"", "workload.hash"},
        Corruption{"/workload/hash", "\"\"", "workload.hash"},
        Corruption{"/workload/hash", "7", "workload.hash"},
        Corruption{"/ranks", "0", "ranks"},
        Corruption{"/ranks", "3", "strategies[0].partition"},
        Corruption{"/ranks", "1e9", "ranks"},
        Corruption{"/passes", "3", "passes"},
        Corruption{"/dtype", "\"f64\"", "dtype"},
        Corruption{"/costs", "\"guessed\"", "costs"},
        Corruption{"/shape/tokens", "-1", "shape.tokens"},
        Corruption{"/shape/tokens", "9000000000000000000", "shape.tokens"},
        Corruption{"/shape/tokens", "2000", "partitions[0].q_blocks"},
        Corruption{"/shape/block", "[100]", "shape.block"},
        Corruption{"/shape/block/0", "0", "shape.block[0]"},
        Corruption{"/layouts", "[]", "layouts"},
        Corruption{"/layouts/0/block_order", "[0]", "layouts[0].block_order"},
        Corruption{"/layouts/1/block_order", "[0, 0]", "layouts[1].block_order[1]"},
        Corruption{"/layouts/1/block_order", "[0, 2]", "layouts[1].block_order[1]"},
        Corruption{"/partitions/0/heads", "3", "partitions[0].heads"},
        Corruption{"/partitions/0/ranks", "4", "partitions[0].ranks"},
        Corruption{"/partitions/0/groups/0/heads", "[0]", "partitions[0]"},
        Corruption{"/partitions/0/groups/0/heads", "[0, 2]", "partitions[0]"},
        Corruption{"/partitions/0/groups/0/ranks", "[0, 0]", "partitions[0]"},
        Corruption{"/partitions/0/groups/0/row_owner", "[[2, 10]]", "partitions[0]"},
        Corruption{"/partitions/0/groups/0/row_owner", "[[1, 9]]", "partitions[0]"},
        Corruption{"/partitions/0/groups/0/row_owner",
                   "[[1, 2000000000]]",
                   "partitions[0].groups[0].row_owner[0][1]"},
        Corruption{
            "/partitions/0/groups/0/row_owner", "[[1]]", "partitions[0].groups[0].row_owner[0]"},
        Corruption{"/partitions/0/groups/0/row_owner",
                   "[[1, 0]]",
                   "partitions[0].groups[0].row_owner[0][1]"},
        Corruption{"/partitions/0/groups/0/col_owner", "[]", "strategies[0].partition"},
        Corruption{"/partitions/0/chunk_of_head", "[0, 1]", "strategies[0].chunks"},
        Corruption{"/partitions/0/chunk_of_head", "[1, 1]", "partitions[0]"},
        Corruption{"/partitions/0/chunk_of_head", "[0, -1]", "partitions[0].chunk_of_head[1]"},
        Corruption{"/strategies/0/family", "\"rign\"", "strategies[0].family"},
        Corruption{"/strategies/0/exchange", "\"alltoall\"", "strategies[0].partition"},
        Corruption{"/strategies/0/partition", "1", "strategies[0].partition"},
        Corruption{"/strategies/0/layout", "2", "strategies[0].layout"},
        Corruption{"/strategies/0/cfg_degree", "3", "strategies[0].cfg_degree"},
        Corruption{"/strategies/0/ring_degree", "3", "strategies[0].ring_degree"},
        Corruption{"/strategies/0/chunks", "3", "strategies[0].chunks"},
        Corruption{"/predictions/0/total_ns", "-1", "predictions[0].total_ns"},
        Corruption{"/predictions/0/total_ns", "1.5", "predictions[0].total_ns"},
        Corruption{"/predictions/0/total_ns", "31", "predictions[0]"},
        Corruption{"/predictions/0/low_ns", "21", "predictions[0]"},
        Corruption{"/predictions/0/rho_barrier", "null", "predictions[0].rho_barrier"},
        Corruption{"/predictions/0/rho_timeline", "-0.5", "predictions[0].rho_timeline"},
        Corruption{"/predictions/0/segments/0", "[1]", "predictions[0].segments[0]"},
        Corruption{"/predictions/0/segments/0/0", "2", "predictions[0].segments[0][0]"},
        Corruption{"/predictions/0/segments/0/1", "\"hopp\"", "predictions[0].segments[0][1]"},
        Corruption{"/predictions/0/segments/0/3", "-5", "predictions[0].segments[0][3]"},
        Corruption{
            "/predictions/0/segments/0/3", "9223372036854775807", "predictions[0].segments[0][3]"},
        Corruption{"/cells/0/2", "1", "cells[0][2]"},
        Corruption{"/cells/1/3", "1", "cells[1][3]"},
        Corruption{"/cells/0/4", "1", "cells[0][4]"},
        Corruption{"/cells/0/4", "0.5", "cells[0][4]"},
        Corruption{"/contracts/0/rho_limit", "-1", "contracts[0].rho_limit"},
        Corruption{"/contracts/0/fallback", "1", "contracts[0].fallback"},
        Corruption{"/contracts/0/shares", "[[0, [0.5, 0.5]]]", "cells[0][4]"},
        Corruption{"/contracts/0/shares", "[[2, [1]]]", "contracts[0].shares[0][0]"},
        Corruption{"/contracts/0/shares", "[[0]]", "contracts[0].shares[0]"},
        Corruption{"/shape/tokens", "999", "shape.tokens"},
        Corruption{"/shape/head_dim", "65", "shape.head_dim"},
        Corruption{"/shape/head_dim", "2147483647", "shape"},
        Corruption{"/passes", "1", "passes"},
        Corruption{"/workload/name", "\"other\"", "workload.name"},
        Corruption{"/cells/2", "[2, 0, 0, 0, null]", "cells[2]"},
        Corruption{"/cells/2", "[1, 2, 0, 0, null]", "cells[2]"},
        Corruption{"/cells/2", "[999, 0, 0, 0, null]", "cells[2]"},
        Corruption{"/predictions/0/high_ns", "4503599627370497", "predictions[0].high_ns"},
        Corruption{"/predictions/0/rho_barrier", "1e300", "predictions[0].rho_barrier"},
        Corruption{"/predictions/0/active_blocks", "[150, 51]", "predictions[0].active_blocks"},
        Corruption{"/predictions/0/active_blocks", "[201, 0]", "predictions[0].active_blocks[0]"},
        Corruption{"/cells/1", "[0, 0, 0, 0, null]", "cells[1]"},
        Corruption{"/cells/2", "[0, 0, 0, 0, null]", "cells[2]"},
        Corruption{"/cells/0", "[0, 0, 0]", "cells[0]"}));

TEST(PlanJsonTest, PlansOfVersionOneAreReadWithoutContracts) {
  const Plan plan = SmallPlan();
  Json json = Editable(plan);
  json["schema"] = "dbsp.plan/1";
  ExpectError(ErrorCode::kCorruptInput, {"old.json", "contracts"}, [&] {
    static_cast<void>(PlanFromJson(json.dump(), "old.json"));
  });
  json.erase("contracts");
  for (Json& partition : json["partitions"]) partition.erase("chunk_of_head");
  for (Json& cell : json["cells"]) cell.erase(4);
  const Plan back = PlanFromJson(json.dump(), "old.json");
  Plan expected = plan;
  expected.contracts.clear();
  for (PlanCell& cell : expected.cells) cell.contract.reset();
  ExpectEqual(expected, back);
}

TEST(PlanJsonTest, EveryMissingMemberIsNamed) {
  const Json whole = Editable(SmallPlan());
  for (const auto& [key, value] : whole.items()) {
    Json json = whole;
    json.erase(key);
    ExpectError(ErrorCode::kCorruptInput, {"bad.json", "'" + key + "'"}, [&] {
      static_cast<void>(PlanFromJson(json.dump(), "bad.json"));
    });
  }
}

TEST(PlanJsonTest, TruncationAtEveryByteIsAnError) {
  const std::string text = PlanToJson(SmallPlan());
  for (std::size_t size = 0; size + 2 < text.size(); ++size) {
    ExpectError(ErrorCode::kCorruptInput, {"cut.json", "line 1"}, [&] {
      static_cast<void>(PlanFromJson(text.substr(0, size), "cut.json"));
    });
  }
}

TEST(PlanJsonTest, TruncatedZstdIsAnErrorAtEveryByte) {
  const TemporaryFolder folder;
  const std::string bytes = ZstdCompress(PlanToJson(SmallPlan()));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    WriteFileAtomically(folder / "cut.zst", std::string_view(bytes).substr(0, size));
    ExpectError(ErrorCode::kCorruptInput, {"cut.zst"}, [&] {
      static_cast<void>(ReadPlan(folder / "cut.zst"));
    });
  }
}

TEST(PlanJsonTest, IllegalPlanIsNotWrittenAndTheOldFileStays) {
  const TemporaryFolder folder;
  WritePlan(SmallPlan(), folder / "plan.json");
  const std::string before = ReadFile(folder / "plan.json");
  Plan plan = SmallPlan();
  plan.predictions[0].rho_barrier = std::numeric_limits<double>::quiet_NaN();
  ExpectError(ErrorCode::kInternal, {"predictions[0].rho_barrier"}, [&] {
    WritePlan(plan, folder / "plan.json");
  });
  EXPECT_EQ(ReadFile(folder / "plan.json"), before);
}

TEST(PlanJsonTest, MissingFileIsNotFound) {
  ExpectError(ErrorCode::kNotFound, {"/nonexistent/plan.json"}, [] {
    static_cast<void>(ReadPlan("/nonexistent/plan.json"));
  });
}

}  // namespace
}  // namespace dbsp
