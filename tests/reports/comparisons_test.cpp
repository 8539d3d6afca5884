// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "reports/document_parts.h"
#include "reports/exports.h"
#include "tests/core/temporary_folder.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::testing::HasSubstr;

/// The fixture's plan and a second one, in which every time is `factor` times as long.
ReportInputs WithScaledPlan(double factor) {
  ReportInputs inputs = FixtureInputs();
  PlanInput other = inputs.plans[0];
  other.name = "other.json";
  other.hashes = {"other"};
  const auto scale = [&](std::int64_t& ns) {
    ns = static_cast<std::int64_t>(static_cast<double>(ns) * factor);
  };
  for (Prediction& p : other.plan.predictions) {
    for (std::int64_t* ns : {&p.total_ns, &p.low_ns, &p.high_ns, &p.compute_ns, &p.exchange_ns}) {
      scale(*ns);
    }
  }
  inputs.plans.push_back(other);
  return inputs;
}

Json ComparisonOf(const ReportInputs& inputs) { return ComparisonsJson(inputs, {}).at(0); }

TEST(ComparisonsTest, EveryCellAndTheTotalHaveAVerdictByThePrintedRule) {
  for (const auto& [factor, verdict] : {std::pair{0.5, "FASTER"},
                                        std::pair{2.0, "SLOWER"},
                                        std::pair{1.0, "SAME"},
                                        std::pair{1.01, "SAME"}}) {
    SCOPED_TRACE(verdict);
    const Json one = ComparisonOf(WithScaledPlan(factor));
    EXPECT_EQ(one["base"], "plan.json");
    EXPECT_EQ(one["other"], "other.json");
    EXPECT_TRUE(one["problem"].is_null());
    EXPECT_EQ(one["total"]["verdict"], verdict);
    EXPECT_NEAR(one["total"]["gain"].get<double>(), 1 / factor, 1e-4);
    EXPECT_EQ(one["counts"][verdict], one["rows_total"]);
    EXPECT_EQ(one["rows_total"], 6);
    for (const Json& of_row : one["rows"]["verdict"]) EXPECT_EQ(of_row, verdict);
    EXPECT_THAT(one["rule"].get<std::string>(), HasSubstr("AMBIGUOUS"));
  }
}

TEST(ComparisonsTest, ErrorsOfTheCostsMakeASmallGainAmbiguous) {
  ReportInputs inputs = WithScaledPlan(0.95);
  for (PlanInput& input : inputs.plans) {
    for (Prediction& p : input.plan.predictions) {
      p.low_ns = p.total_ns / 10;
      p.high_ns = 2 * p.total_ns;
    }
  }
  inputs.plans[1].plan.fits =
      inputs.plans[0].plan.fits = {{"attention", "cpu.block_sparse", 10, 0.5, 0.5}};
  for (PlanInput& input : inputs.plans) {
    for (Strategy& strategy : input.plan.strategies) strategy.kernel = "cpu.block_sparse";
  }
  EXPECT_EQ(ComparisonOf(inputs)["total"]["verdict"], "AMBIGUOUS");
}

TEST(ComparisonsTest, OtherCostsOrWorkloadsAreNamedAndGiveNoVerdict) {
  ReportInputs inputs = WithScaledPlan(0.5);
  inputs.plans[1].plan.database_hash = "ffff";
  Json one = ComparisonOf(inputs);
  EXPECT_THAT(one["problem"].get<std::string>(), HasSubstr("other costs"));
  EXPECT_TRUE(one["total"].is_null());
  EXPECT_EQ(one["rows_total"], 0);
  inputs = WithScaledPlan(0.5);
  inputs.plans[1].plan.workload_hash = "other";
  EXPECT_THAT(ComparisonOf(inputs)["problem"].get<std::string>(), HasSubstr("other workloads"));
  inputs.plans[1].stored = true;  // nobody asked for this one
  EXPECT_TRUE(ComparisonsJson(inputs, {}).empty());
}

TEST(ComparisonsTest, CellsOfOnePlanAreCountedAndTheLimitHolds) {
  ReportInputs inputs = WithScaledPlan(0.5);
  inputs.plans[1].plan.cells.pop_back();
  Json one = ComparisonOf(inputs);
  EXPECT_EQ(one["only_base"], 1);
  EXPECT_EQ(one["only_other"], 0);
  EXPECT_EQ(one["rows_total"], 5);
  one = ComparisonsJson(inputs, {.cells = 2}).at(0);
  EXPECT_EQ(one["rows"]["step"].size(), 2U);
  EXPECT_EQ(one["rows_total"], 5);
  inputs.plans[1].plan.cells.clear();
  EXPECT_TRUE(ComparisonOf(inputs)["total"].is_null());
}

TEST(ComparisonsTest, TheCommentHasTheVerdictAndTheRule) {
  const ReportInputs inputs = WithScaledPlan(0.5);
  const std::string text = MarkdownText(MakeDocument(inputs), "title");
  EXPECT_THAT(text, HasSubstr("- other.json instead of plan.json: **FASTER**, "));
  EXPECT_THAT(text, HasSubstr("Cells: 6 FASTER 0 SLOWER 0 SAME 0 AMBIGUOUS."));
  EXPECT_THAT(text, HasSubstr("AMBIGUOUS: it contains 1"));
}

TEST(ComparisonsTest, ComparedFilesMayBePlans) {
  const dbsp::testing::TemporaryFolder folder;
  WriteFixture(folder.path());
  const ReportInputs inputs =
      ReadInputs({{}, {folder / "plan.json"}, {folder / "ulysses.json", folder / "compare.json"}});
  ASSERT_EQ(inputs.plans.size(), 2U);
  EXPECT_EQ(inputs.plans[1].name, "ulysses.json");
  EXPECT_EQ(inputs.compares.size(), 1U);
  EXPECT_EQ(ComparisonOf(inputs)["total"]["verdict"], "FASTER");
  // A name that looks like the schema of a plan does not make a document one.
  std::string text = ReadFile(folder / "compare.json");
  const std::string name = R"("chosen")";
  text.insert(text.find(name), R"("note": "\"schema\": \"dbsp.plan/2\"", )");
  WriteFileAtomically(folder / "named.json", text);
  EXPECT_EQ(ReadInputs({{}, {}, {folder / "named.json"}}).compares.size(), 1U);
}

}  // namespace
}  // namespace dbsp::reports
