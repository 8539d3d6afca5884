// SPDX-License-Identifier: Apache-2.0
#include "tuner/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "test_paths.h"
#include "tests/tuner/scored_result.h"
#include "tuner/baselines.h"
#include "tuner/cluster_costs.h"

namespace dbsp::tuner {
namespace {

using ::testing::HasSubstr;

std::set<std::string> KeysOf(const nlohmann::json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

std::string MadeJson(bool cells, CostSource source = CostSource::kFitted) {
  return CompareJson(
      MakeResult(), "wan", "0123456789abcdef0123456789abcdef", {source, "h200x4", "beef"}, cells);
}

/// Baselines of a result from its candidates, without masks and costs.
std::vector<PricedBaseline> Priced(const SearchResult& result) {
  class NoMasks : public planner::MaskSource {
   public:
    [[nodiscard]] LayerMasks At(int, int) override {
      Fail(ErrorCode::kNotFound, "it was not searched");
    }
    [[nodiscard]] std::string KeyAt(int, int) const override { return ""; }
  } masks;
  return PriceBaselines(masks, ClusterCosts(ParseCluster("h200x4")), result, {});
}

std::string Lines(const SearchResult& result, CostSource costs = CostSource::kFitted) {
  return VerdictLines(result, costs, Priced(result), std::nullopt);
}

TEST(CompareJsonTest, HasExactlyTheKeysOfTheDesign) {
  const auto document = nlohmann::json::parse(MadeJson(false));
  EXPECT_EQ(KeysOf(document),
            (std::set<std::string>{
                "schema", "workload", "ranks", "costs", "cluster", "database_hash", "candidates"}));
  ASSERT_EQ(document["candidates"].size(), 4U);
  for (const auto& candidate : document["candidates"]) {
    EXPECT_EQ(KeysOf(candidate),
              (std::set<std::string>{
                  "strategy",     "family",         "cfg_degree",       "ulysses_degree",
                  "ring_degree",  "exchange",       "chunks",           "layout",
                  "kernels",      "rho_barrier",    "rho_barrier_mean", "rho_barrier_worst",
                  "rho_timeline", "compute_ms",     "exchange_ms",      "total_ms",
                  "total_ms_low", "total_ms_high",  "bytes_per_rank",   "moved_fraction",
                  "plan_us",      "lower_bound_ms", "chosen",           "verdict"}));
  }
  EXPECT_EQ(nlohmann::json::parse(MadeJson(true))["cells"].size(), 4U);
}

TEST(CompareJsonTest, IsTheGoldenDocument) {
  const std::string path = DBSP_SOURCE_DIR "/tests/tuner/golden/compare.json";
  const std::string made = MadeJson(true);
  const char* update = std::getenv("DBSP_UPDATE_GOLDEN");
  if (update != nullptr && std::string(update) == "1") WriteFileAtomically(path, made);
  EXPECT_EQ(made, ReadFile(path));
}

TEST(CompareJsonTest, SumsCellsAndPasses) {
  const auto document = nlohmann::json::parse(MadeJson(false));
  const auto& ulysses = document["candidates"][0];
  EXPECT_DOUBLE_EQ(ulysses["total_ms"], 2 * (3 * 4.0 + 8.0));
  EXPECT_DOUBLE_EQ(ulysses["compute_ms"], 2 * (3 * 3.0 + 7.0));
  EXPECT_DOUBLE_EQ(ulysses["rho_barrier"], 1.25);
  EXPECT_DOUBLE_EQ(ulysses["rho_timeline"], 2.0);
  EXPECT_EQ(ulysses["chosen"], 3);
  EXPECT_EQ(document["candidates"][3]["chosen"], 1);
}

TEST(CompareJsonTest, ExcludedAndUnknownNumbersAreNull) {
  SearchResult result = MakeResult();
  for (CellClass& cls : result.classes) {
    cls.scores[3].lower_bound_ns = 0;
    cls.scores[3].rho_barrier = std::numeric_limits<double>::quiet_NaN();
  }
  const auto document =
      nlohmann::json::parse(CompareJson(result, "w", "h", {CostSource::kFitted, "", ""}, true));
  const auto& ring = document["candidates"][1];
  for (const char* key : {"total_ms", "rho_barrier", "bytes_per_rank", "lower_bound_ms"}) {
    EXPECT_TRUE(ring[key].is_null()) << key;
  }
  EXPECT_THAT(ring["verdict"].get<std::string>(), HasSubstr("excluded: no hop"));
  EXPECT_TRUE(document["candidates"][3]["rho_timeline"].is_null());
  EXPECT_TRUE(document["candidates"][3]["rho_barrier_mean"].is_null());
}

TEST(CompareTest, EveryOutputNamesTheCostSource) {
  EXPECT_EQ(nlohmann::json::parse(MadeJson(false, CostSource::kAnalytic))["costs"], "analytic");
  EXPECT_THAT(CompareTable(MakeResult(), CostSource::kAnalytic, false),
              HasSubstr("analytic costs"));
  EXPECT_THAT(Lines(MakeResult(), CostSource::kAnalytic), HasSubstr("costs are analytic"));
}

/// dbsp U2xR1 with cfg degree 2 in place of dbsp U4xR1: two passes take 7 ms, one pass took 5 ms.
SearchResult WithPassesApart() {
  SearchResult result = MakeResult();
  Strategy& apart = result.candidates[3].strategy;
  apart.cfg_degree = 2;
  apart.ulysses_degree = 2;
  result.distribution = {2, 0};
  result.uniform = 3;
  for (CellClass& cls : result.classes) {
    cls.scores[3] = MakeScore(6'000'000, 1'000'000, 0.1, 3);
    cls.choice = {3, 3, false};
  }
  return result;
}

TEST(CompareTest, ConcurrentPassesCountOnce) {
  const SearchResult result = WithPassesApart();
  const auto summaries = Summarise(result);
  EXPECT_DOUBLE_EQ(summaries[0].total_ms, 2 * (3 * 4.0 + 8.0));
  EXPECT_DOUBLE_EQ(summaries[3].total_ms, 4 * 7.0);
  EXPECT_DOUBLE_EQ(summaries[3].lower_bound_ms, 4 * 3.5);
  EXPECT_EQ(summaries[3].bytes_per_rank, 4 * 2000);
  EXPECT_EQ(summaries[3].verdict, "best uniform");
  EXPECT_EQ(summaries[0].verdict, "42.9% slower");
  const PlanSummary plan = SummarisePlan(result);
  EXPECT_DOUBLE_EQ(plan.total_ms, 28.0);
  EXPECT_DOUBLE_EQ(plan.lower_bound_ms, 14.0);
}

TEST(CompareTest, TheCfgDegreeIsShownWhenSeveralWereSearched) {
  const SearchResult result = WithPassesApart();
  const std::string table = CompareTable(result, CostSource::kFitted, true);
  EXPECT_THAT(table, HasSubstr("\nulysses U4    "));
  EXPECT_THAT(table, HasSubstr("\ndbsp C2 U2xR1  "));
  EXPECT_THAT(table, HasSubstr("dbsp C2 U2xR1"));
  const std::string lines = Lines(result);
  EXPECT_THAT(
      lines,
      HasSubstr("plan: cfg degree 2, 2 passes at the same time on 2 ranks each; best uniform "
                "of degree 1 ulysses U4, 40.000 ms\n"));
  EXPECT_THAT(lines, HasSubstr("plan: 1.429x the speed of plain ulysses [1."));
  EXPECT_THAT(Lines(MakeResult()), ::testing::Not(HasSubstr("cfg degree")));
}

TEST(CompareTest, ABaselineRunsOnePassAfterTheOtherInTheGivenLayoutOrThereIsNone) {
  SearchResult result = WithPassesApart();
  result.candidates[0].strategy.cfg_degree = 2;  // usp U4xR1 is plain ulysses, too
  EXPECT_THAT(Lines(result), HasSubstr("speed of plain ulysses"));
  EXPECT_THAT(Lines(result), HasSubstr("(40.000 ms)"));
  const auto none = [](SearchResult other) {
    const std::string lines = Lines(other);
    EXPECT_THAT(lines, HasSubstr("plan: no gain over plain ulysses is known: it was not searched"));
    EXPECT_THAT(lines, ::testing::Not(HasSubstr("speed of plain ulysses")));
  };
  for (const auto change : std::vector<void (*)(Strategy&)>{
           [](Strategy& s) { s.cfg_degree = 2; },
           [](Strategy& s) { s.layout = 1; },
           [](Strategy& s) { s.chunks = 2; },
           [](Strategy& s) { s.exchange = Exchange::kNeeded; },
           [](Strategy& s) { s.ulysses_degree = s.ring_degree = 2; }}) {
    SearchResult other = result;
    change(other.candidates[2].strategy);
    none(other);
  }
  SearchResult excluded = result;
  excluded.candidates[2].excluded = "it needs too much memory";
  EXPECT_THAT(Lines(excluded),
              HasSubstr("plan: no gain over plain ulysses is known: it needs too much memory"));
}

TEST(CompareTest, VerdictsAreSentences) {
  const auto summaries = Summarise(MakeResult());
  EXPECT_EQ(summaries[0].verdict, "best uniform");
  EXPECT_EQ(summaries[2].verdict, "same as ulysses U4");
  EXPECT_THAT(summaries[3].verdict, HasSubstr("faster in 1 cells"));
  const std::string lines = Lines(MakeResult());
  // 40 ms everywhere Ulysses, 36 ms with dbsp in the last cell.
  EXPECT_THAT(lines, HasSubstr("best uniform strategy ulysses U4, 40.000 ms"));
  EXPECT_THAT(lines, HasSubstr("per cell 36.000 ms"));
  EXPECT_THAT(lines, HasSubstr("1.111x the speed of plain ulysses"));
  EXPECT_THAT(lines, HasSubstr("no gain over plain ring is known: no hop between 4 ranks"));
  EXPECT_THAT(lines, HasSubstr("2.000x the lower bound"));
}

}  // namespace
}  // namespace dbsp::tuner
