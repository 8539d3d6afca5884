// SPDX-License-Identifier: Apache-2.0
#include "tuner/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "tests/tuner/scored_result.h"

namespace dbsp::tuner {
namespace {

using ::testing::HasSubstr;

std::set<std::string> KeysOf(const nlohmann::json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

std::string MadeJson(bool cells, CostSource source = CostSource::kFitted) {
  return CompareJson(MakeResult(), "wan", "0123456789abcdef0123456789abcdef", source, cells);
}

TEST(CompareJsonTest, HasExactlyTheKeysOfTheDesign) {
  const auto document = nlohmann::json::parse(MadeJson(false));
  EXPECT_EQ(KeysOf(document),
            (std::set<std::string>{"schema", "workload", "ranks", "costs", "candidates"}));
  ASSERT_EQ(document["candidates"].size(), 4U);
  for (const auto& candidate : document["candidates"]) {
    EXPECT_EQ(KeysOf(candidate),
              (std::set<std::string>{"family",
                                     "cfg_degree",
                                     "ulysses_degree",
                                     "ring_degree",
                                     "exchange",
                                     "chunks",
                                     "layout",
                                     "kernels",
                                     "rho_barrier",
                                     "rho_barrier_mean",
                                     "rho_barrier_worst",
                                     "rho_timeline",
                                     "compute_ms",
                                     "exchange_ms",
                                     "total_ms",
                                     "total_ms_low",
                                     "total_ms_high",
                                     "bytes_per_rank",
                                     "moved_fraction",
                                     "plan_us",
                                     "lower_bound_ms",
                                     "chosen",
                                     "verdict"}));
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
      nlohmann::json::parse(CompareJson(result, "w", "h", CostSource::kFitted, true));
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
  EXPECT_THAT(VerdictLines(MakeResult(), CostSource::kAnalytic), HasSubstr("costs are analytic"));
}

TEST(CompareTest, VerdictsAreInWords) {
  const auto summaries = Summarise(MakeResult());
  EXPECT_EQ(summaries[0].verdict, "best uniform");
  EXPECT_EQ(summaries[2].verdict, "same as ulysses 4x1");
  EXPECT_THAT(summaries[3].verdict, HasSubstr("faster in 1 cells"));
  const std::string lines = VerdictLines(MakeResult(), CostSource::kFitted);
  // 40 ms everywhere Ulysses, 36 ms with dbsp in the last cell.
  EXPECT_THAT(lines, HasSubstr("best uniform strategy ulysses 4x1, 40.000 ms"));
  EXPECT_THAT(lines, HasSubstr("per cell 36.000 ms"));
  EXPECT_THAT(lines, HasSubstr("1.111x the speed of plain ulysses"));
  EXPECT_THAT(lines, HasSubstr("plain ring was no candidate"));
  EXPECT_THAT(lines, HasSubstr("2.000x the lower bound"));
}

}  // namespace
}  // namespace dbsp::tuner
