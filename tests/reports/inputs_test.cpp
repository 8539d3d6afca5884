// SPDX-License-Identifier: Apache-2.0
#include "reports/inputs.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "db/database.h"
#include "reports/document.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::dbsp::testing::ExpectError;
using ::dbsp::testing::TemporaryFolder;

class ReadInputsTest : public ::testing::Test {
 protected:
  void SetUp() override { WriteFixture(folder_.path()); }
  TemporaryFolder folder_;
};

TEST_F(ReadInputsTest, PlanFileIsMatchedWithItsReplayInTheDatabase) {
  const ReportInputs inputs = ReadInputs({folder_ / "p.db", {folder_ / "plan.json"}, {}});
  ASSERT_EQ(inputs.plans.size(), 1U);
  EXPECT_EQ(inputs.plans[0].name, "plan.json");
  ASSERT_EQ(inputs.other_plans.size(), 1U) << "the stored ulysses plan is a baseline";
  EXPECT_EQ(inputs.trials.size(), FixtureTrials().size());
  EXPECT_EQ(inputs.plans[0].plan.database_hash, inputs.measurement_hash);
  EXPECT_NE(ReportDocument(inputs).find("\"state\":\"passed\""), std::string::npos);
}

TEST_F(ReadInputsTest, WithoutPlanFilesTheBestOfTheComparablePlansComesFirst) {
  const Plan plain = ReadPlan(folder_ / "ulysses.json");
  const Plan chosen = ReadPlan(folder_ / "plan.json");
  const bool faster = chosen.total_ms() < plain.total_ms();
  db::Database database = db::Database::Open(folder_ / "p.db", db::OpenMode::kCreate);
  Plan other = plain;  // the newest plan, which is of other costs, is a group of its own
  other.cluster = "h200x4";
  database.AddPlan(PlanToJson(other));
  Plan again = plain;  // a baseline, made last of its group
  again.created_utc = "2026-02-01T12:00:00Z";
  again.predictions[0].total_ns += 1;
  again.predictions[0].high_ns += 1;
  database.AddPlan(PlanToJson(again));
  const ReportInputs inputs = ReadInputs({folder_ / "p.db", {}, {}});
  ASSERT_EQ(inputs.plans.size(), 4U);
  EXPECT_EQ(inputs.plans[0].name, faster ? "plan 2 of p.db" : "plan 1 of p.db");
  EXPECT_EQ(inputs.plans[3].name, "plan 3 of p.db");
  for (int i = 0; i < 2; ++i) {
    EXPECT_LE(inputs.plans[i].plan.total_ms(), inputs.plans[i + 1].plan.total_ms());
  }
  EXPECT_TRUE(inputs.other_plans.empty());
}

TEST_F(ReadInputsTest, ADatabaseIsOptional) {
  const ReportInputs inputs = ReadInputs({{}, {folder_ / "plan.json"}, {folder_ / "compare.json"}});
  EXPECT_EQ(inputs.plans.size(), 1U);
  EXPECT_EQ(inputs.database_name, "");
  EXPECT_NE(ReportDocument(inputs).find("\"database\":null"), std::string::npos);
}

TEST_F(ReadInputsTest, CompressedPlanIsTheSamePlan) {
  WritePlan(ReadPlan(folder_ / "plan.json"), folder_ / "plan.json.zst");
  const ReportInputs inputs = ReadInputs({folder_ / "p.db", {folder_ / "plan.json.zst"}, {}});
  EXPECT_NE(ReportDocument(inputs).find("\"state\":\"passed\""), std::string::npos);
}

TEST_F(ReadInputsTest, AnIndentedPlanFileIsTheSamePlan) {
  const std::string text = DumpJson(ParseJson(ReadFile(folder_ / "plan.json"), "plan.json"), 1);
  WriteFileAtomically(folder_ / "indented.json", text);
  ReportPaths given;
  given.database = folder_ / "p.db";
  ReportPaths compared = given;
  given.plans.push_back(folder_ / "indented.json");
  compared.compares.push_back(folder_ / "indented.json");
  for (const ReportPaths& paths : {given, compared}) {
    const ReportInputs inputs = ReadInputs(paths);
    EXPECT_EQ(inputs.plans.back().name, "indented.json");
    EXPECT_EQ(inputs.plans.back().hashes.size(), 2U);
    EXPECT_NE(ReportDocument(inputs).find("\"state\":\"passed\""), std::string::npos);
  }
}

TEST_F(ReadInputsTest, MissingAndDamagedFilesAreNamed) {
  ExpectError(ErrorCode::kNotFound, {"none.db"}, [&] {
    (void)ReadInputs({folder_ / "none.db", {}, {}});
  });
  ExpectError(ErrorCode::kNotFound, {"none.json"}, [&] {
    (void)ReadInputs({folder_ / "p.db", {folder_ / "none.json"}, {}});
  });
  const std::string whole = ReadFile(folder_ / "plan.json");
  WriteFileAtomically(folder_ / "cut.json", whole.substr(0, whole.size() / 2));
  ExpectError(ErrorCode::kCorruptInput, {"cut.json"}, [&] {
    (void)ReadInputs({folder_ / "p.db", {folder_ / "cut.json"}, {}});
  });
  WriteFileAtomically(folder_ / "text.db", "this is no database, but it is long enough to look at");
  ExpectError(ErrorCode::kCorruptInput, {"text.db"}, [&] {
    (void)ReadInputs({folder_ / "text.db", {}, {}});
  });
}

}  // namespace
}  // namespace dbsp::reports
