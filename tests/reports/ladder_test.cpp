// SPDX-License-Identifier: Apache-2.0
// Where the time of each strategy goes, and the times per cell that the page shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "reports/document.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using testing::HasSubstr;

Json PlanOf(const ReportInputs& inputs) { return Json::parse(ReportDocument(inputs))["plans"][0]; }

double Number(const Json& rung, const char* key) {
  return rung[key].is_null() ? 0.0 : rung[key].get<double>();
}

TEST(LadderTest, PartsAddUpAndThePlanIsLast) {
  const Json plan = PlanOf(FixtureInputs());
  const Json& ladder = plan["verdict"]["ladder"];
  ASSERT_EQ(ladder.size(), 4U) << "two baselines, the best of db-SP, the plan";
  double before = 1e300;
  for (const Json& rung : ladder) {
    const double total = Number(rung, "total_ms");
    EXPECT_NEAR(Number(rung, "balanced_ms") + Number(rung, "waiting_ms") +
                    Number(rung, "exposed_ms") + Number(rung, "contention_ms"),
                total,
                1e-9 * total)
        << rung["label"];
    EXPECT_LE(Number(rung, "low_ms"), total);
    EXPECT_GE(Number(rung, "high_ms"), total);
    if (rung["kind"] != "plan") {
      EXPECT_LE(total, before) << "the slowest first";
    }
    before = total;
  }
  EXPECT_EQ(ladder.back()["kind"], "plan");
  EXPECT_DOUBLE_EQ(Number(ladder.back(), "total_ms"),
                   plan["verdict"]["predicted_ms"].get<double>());
}

TEST(LadderTest, TimesOfBaselinesAreThoseOfTheGains) {
  const Json plan = PlanOf(FixtureInputs());
  for (const Json& rung : plan["verdict"]["ladder"]) {
    if (rung["kind"] != "baseline") continue;
    for (const Json& gain : plan["verdict"]["baselines"]) {
      if (gain["family"] != rung["family"] || gain["kind"] != "predicted") continue;
      EXPECT_DOUBLE_EQ(Number(rung, "total_ms"), gain["baseline_ms"].get<double>());
    }
  }
}

TEST(LadderTest, ContentionIsWhatConcurrentExchangesAddToTheSlowestRank) {
  ReportInputs inputs = FixtureInputs();
  Plan& plan = inputs.plans[0].plan;
  for (Prediction& prediction : plan.predictions) {
    for (Segment& segment : prediction.segments) {
      if (segment.kind != SegmentKind::kAttention) continue;
      segment.alone_ns = segment.duration_ns - (segment.rank == 0 ? 100 : 40);
    }
  }
  const Json ladder = PlanOf(inputs)["verdict"]["ladder"];
  double expected = 0;
  for (const PlanCell& cell : plan.cells) {
    for (const Segment& segment : plan.predictions[cell.prediction].segments) {
      const bool attention = segment.kind == SegmentKind::kAttention;
      if (attention && segment.rank == 0) expected += 100e-6 * plan.sequential_waves();
    }
  }
  EXPECT_NEAR(Number(ladder.back(), "contention_ms"), expected, 1e-9);
}

TEST(LadderTest, WithoutLoadsTheWaitIsNotKnown) {
  ReportInputs inputs = FixtureInputs();
  for (Prediction& prediction : inputs.plans[0].plan.predictions) prediction.active_blocks.clear();
  const Json rung = PlanOf(inputs)["verdict"]["ladder"].back();
  EXPECT_TRUE(rung["waiting_ms"].is_null());
  EXPECT_GT(Number(rung, "balanced_ms"), 0);
}

TEST(LadderTest, CellsHaveTheTimesOfBaselinesAndTheContract) {
  ReportInputs inputs = FixtureInputs();
  Plan& plan = inputs.plans[0].plan;
  plan.contracts = {{1.5, 0, {}}};
  plan.cells[1].contract = 0;
  const Json out = PlanOf(inputs);
  const PlanCell& first = plan.cells[0];
  const Json& prediction = out["predictions"][out["cells"]["prediction"][0].get<std::size_t>()];
  for (const Baseline& baseline : plan.baselines) {
    const bool ulysses = baseline.family == Family::kUlysses;
    EXPECT_EQ(prediction[ulysses ? "ulysses_ns" : "ring_ns"],
              baseline.times[first.prediction].total_ns);
  }
  EXPECT_TRUE(out["cells"]["rho_limit"][0].is_null());
  EXPECT_EQ(out["cells"]["rho_limit"][1], 1.5);
  for (const Json& cell : out["shown"]) {
    for (std::size_t i = 0; i < out["cells"]["step"].size(); ++i) {
      if (out["cells"]["step"][i] == cell["step"] && out["cells"]["layer"][i] == cell["layer"]) {
        EXPECT_EQ(out["cells"]["prediction"][i], cell["prediction"]);
      }
    }
  }
}

Json WithCells(const ReportInputs& inputs, const Json& times) {
  Json compare = Json::parse(inputs.compares[0].json);
  compare["cells"] = Json::array();
  for (int i = 0; i < 2; ++i) {
    compare["cells"].push_back(
        {{"step", 0}, {"layer", i}, {"mask_class", 7}, {"candidates_total_ms", times}});
  }
  return compare;
}

TEST(LadderTest, CandidatesPerCellAreKeptOncePerMaskClass) {
  ReportInputs inputs = FixtureInputs();
  inputs.compares[0].json = WithCells(inputs, {1.5, nullptr, 2.25}).dump();
  const Json cells = Json::parse(ReportDocument(inputs))["compare"][0]["cells"];
  EXPECT_EQ(cells["layer"], Json({0, 1}));
  EXPECT_EQ(cells["class"], Json({0, 0}));
  EXPECT_EQ(cells["total_us"], Json::parse("[[1500, null, 2250]]"));
}

TEST(LadderTest, ACellWithAnotherNumberOfTimesIsRefusedByName) {
  ReportInputs inputs = FixtureInputs();
  inputs.compares[0].json = WithCells(inputs, {1.5}).dump();
  try {
    (void)ReportDocument(inputs);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
    EXPECT_THAT(error.what(), HasSubstr("compare.json"));
    EXPECT_THAT(error.what(), HasSubstr("candidates_total_ms"));
    EXPECT_THAT(error.what(), HasSubstr("3 times, one per candidate"));
  }
}

}  // namespace
}  // namespace dbsp::reports
