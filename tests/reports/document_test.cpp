// SPDX-License-Identifier: Apache-2.0
#include "reports/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "core/file.h"
#include "core/json.h"
#include "core/ledger.h"
#include "planner/workload/mask_source.h"
#include "tests/core/expect_error.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::dbsp::testing::ExpectError;
using ::testing::HasSubstr;

Json Document(const ReportInputs& inputs, const ReportLimits& limits = {}) {
  return Json::parse(ReportDocument(inputs, limits));
}

std::string Notices(const Json& list) {
  std::string text;
  for (const Json& notice : list) {
    text += notice["level"].get<std::string>() + ": " + notice["text"].get<std::string>() + "\n";
  }
  return text;
}

const Json* FindBaseline(const Json& plan, const std::string& family, const std::string& kind) {
  for (const Json& baseline : plan["verdict"]["baselines"]) {
    if (baseline["family"] == family && baseline["kind"] == kind) return &baseline;
  }
  return nullptr;
}

TEST(ReportDocumentTest, SameInputsGiveTheSameText) {
  EXPECT_EQ(ReportDocument(FixtureInputs()), ReportDocument(FixtureInputs()));
}

TEST(ReportDocumentTest, PredictedTimeIsThePlansOwnAndItsIntervalHoldsIt) {
  const ReportInputs inputs = FixtureInputs();
  const Json verdict = Document(inputs)["plans"][0]["verdict"];
  EXPECT_DOUBLE_EQ(verdict["predicted_ms"].get<double>(), inputs.plans[0].plan.total_ms());
  EXPECT_LE(verdict["low_ms"].get<double>(), verdict["predicted_ms"].get<double>());
  EXPECT_GE(verdict["high_ms"].get<double>(), verdict["predicted_ms"].get<double>());
  EXPECT_GT(verdict["lower_bound_ms"].get<double>(), 0);
  EXPECT_LE(verdict["lower_bound_ms"].get<double>(), verdict["predicted_ms"].get<double>());
}

TEST(ReportDocumentTest, ReplayIsComparedOnItsOwnCells) {
  ReportInputs inputs = FixtureInputs();
  inputs.replays[1].replay.cells.resize(2);
  const Json plan = Document(inputs)["plans"][0];
  const Json replay = plan["verdict"]["replay"];
  EXPECT_EQ(replay["cells"], 2);
  EXPECT_NEAR(
      replay["replayed_ms"].get<double>(), 1.25 * replay["predicted_ms"].get<double>(), 1e-5);
  int replayed = 0;
  for (const Json& time : plan["cells"]["replayed_ns"]) replayed += time.is_null() ? 0 : 1;
  EXPECT_EQ(replayed, 2);
}

/// Inputs in which every rank has a core, so that replays are of the plan's devices.
ReportInputs EnoughCores() {
  ReportInputs inputs = FixtureInputs();
  inputs.environments[0].provenance.cores = kFixtureRanks;
  return inputs;
}

TEST(ReportDocumentTest, GainsAreOfThePlansOwnBaselinesAndOfReplayedPlainPlans) {
  const ReportInputs inputs = EnoughCores();
  const Json plan = Document(inputs)["plans"][0];
  const double total = plan["verdict"]["predicted_ms"];
  for (const std::string family : {"ulysses", "ring"}) {
    const Json* predicted = FindBaseline(plan, family, "predicted");
    ASSERT_NE(predicted, nullptr) << family;
    const double gain = (*predicted)["gain"];
    EXPECT_DOUBLE_EQ(gain, (*predicted)["baseline_ms"].get<double>() / total);
    EXPECT_LT((*predicted)["gain_low"].get<double>(), gain);
    EXPECT_GT((*predicted)["gain_high"].get<double>(), gain);
    EXPECT_EQ((*predicted)["source"], "plan.json");
  }
  const Json* replayed = FindBaseline(plan, "ulysses", "replayed");
  ASSERT_NE(replayed, nullptr);
  EXPECT_EQ((*replayed)["source"], "replays 1 and 2");
  EXPECT_TRUE((*replayed)["gain_low"].is_null()) << "one run each has no interval";
  EXPECT_EQ(plan["verdict"]["baselines"][0], *replayed) << "replayed on devices comes first";
  EXPECT_EQ(FindBaseline(plan, "ring", "replayed"), nullptr);
  // More ranks than cores: times of such replays are no gain.
  EXPECT_EQ(FindBaseline(Document(FixtureInputs())["plans"][0], "ulysses", "replayed"), nullptr);
}

TEST(ReportDocumentTest, AGainOverAPlanOrCompareDocumentOfOtherCostsIsNone) {
  const auto baselines = [](const std::function<void(ReportInputs&)>& change) {
    ReportInputs inputs = EnoughCores();
    inputs.plans[0].plan.baselines.clear();  // as plans of older versions
    change(inputs);
    return Document(inputs)["plans"][0]["verdict"];
  };
  EXPECT_EQ(baselines([](ReportInputs&) {})["baselines"].size(), 3U);
  // A plan of a cluster's published costs, beside a database of CPU plans and their comparison.
  const Json other = baselines([](ReportInputs& inputs) {
    Plan& plan = inputs.plans[0].plan;
    plan.costs = CostSource::kAnalytic;
    plan.cluster = "h200x4";
    plan.database_hash = "";
  });
  EXPECT_TRUE(other["baselines"].empty());
  ASSERT_EQ(other["missing_baselines"].size(), 2U);
  EXPECT_THAT(other["missing_baselines"][0]["reason"].get<std::string>(), HasSubstr("baselines"));
  for (const auto change :
       std::vector<void (*)(Plan&)>{[](Plan& p) { p.costs = CostSource::kAnalytic; },
                                    [](Plan& p) { p.cluster = "h200x4"; },
                                    [](Plan& p) { p.database_hash = "another"; }}) {
    EXPECT_TRUE(baselines([&](ReportInputs& inputs) { change(inputs.plans[0].plan); })["baselines"]
                    .empty());
  }
  // A comparison that does not say which costs it has.
  EXPECT_TRUE(baselines([](ReportInputs& inputs) {
                inputs.other_plans.clear();
                Json older = Json::parse(inputs.compares[0].json);
                older.erase("database_hash");
                inputs.compares[0].json = older.dump();
              })["baselines"]
                  .empty());
}

TEST(ReportDocumentTest, OnlyThePlainCandidateOfAComparisonIsABaseline) {
  const auto change = [](const char* key, const Json& value) {
    ReportInputs inputs = FixtureInputs();
    inputs.plans[0].plan.baselines.clear();
    inputs.other_plans.clear();
    Json compare = Json::parse(inputs.compares[0].json);
    compare["candidates"][0][key] = value;  // plain ulysses
    inputs.compares[0].json = compare.dump();
    return FindBaseline(Document(inputs)["plans"][0], "ulysses", "predicted") != nullptr;
  };
  EXPECT_TRUE(change("chunks", 1));
  EXPECT_TRUE(change("family", "usp"));
  EXPECT_FALSE(change("chunks", 2));
  EXPECT_FALSE(change("layout", "strided:8"));
  EXPECT_FALSE(change("exchange", "needed"));
  EXPECT_FALSE(change("cfg_degree", 2));
  EXPECT_FALSE(change("ulysses_degree", 2));
  EXPECT_FALSE(change("total_ms", nullptr));
  EXPECT_FALSE(change("total_ms", 1e300));
}

TEST(ReportDocumentTest, APlainPlanAgainstItselfGainsExactlyNothing) {
  ReportInputs inputs = FixtureInputs();
  inputs.plans = inputs.other_plans;
  const Json gain = Document(inputs)["plans"][0]["verdict"]["baselines"][0];
  EXPECT_EQ(gain["family"], "ulysses");
  EXPECT_EQ(gain["gain"], 1.0);
  EXPECT_EQ(gain["gain_low"], 1.0);
  EXPECT_EQ(gain["gain_high"], 1.0);
  EXPECT_EQ(gain["verdict"], "same");
}

TEST(ReportDocumentTest, TheHeadlineIsReplayedOnDevicesElseSeriallyElsePredicted) {
  const auto verdict = [](const std::function<void(ReportInputs&)>& change) {
    ReportInputs inputs = EnoughCores();
    change(inputs);
    return Document(inputs)["plans"][0]["verdict"];
  };
  const auto source = [&](const std::function<void(ReportInputs&)>& change) {
    const Json headline = verdict(change)["headline"];
    return headline["source"].get<std::string>();
  };
  const auto serial = [](ReportInputs& inputs) { inputs.replays[1].replay.transport = "serial"; };
  const Json both = verdict([](ReportInputs&) {});
  EXPECT_EQ(both["headline"]["source"], "replayed");
  EXPECT_EQ(both["headline"]["replay"], 2);
  EXPECT_NEAR(both["headline"]["ms"].get<double>(),
              1.25 * both["predicted_ms"].get<double>(),
              1e-3 * both["predicted_ms"].get<double>());
  EXPECT_EQ(source(serial), "replayed serially");
  EXPECT_EQ(source([&](ReportInputs& inputs) {  // a newer serial replay stays behind
              inputs.replays.push_back(inputs.replays[1]);
              inputs.replays[2].id = 3;
              inputs.replays[2].replay.transport = "serial";
            }),
            "replayed");
  EXPECT_EQ(source([](ReportInputs& inputs) { inputs.replays.clear(); }), "predicted");
  EXPECT_EQ(source([](ReportInputs& inputs) { inputs.environments[0].provenance.cores = 2; }),
            "predicted")
      << "oversubscribed";
  EXPECT_EQ(source([](ReportInputs& inputs) { inputs.replays[1].replay.device = "Another CPU"; }),
            "predicted");
  EXPECT_EQ(source([](ReportInputs& inputs) { inputs.replays[1].replay.passed = false; }),
            "predicted");
  EXPECT_EQ(source([](ReportInputs& inputs) { inputs.replays[1].replay.cells.resize(2); }),
            "predicted")
      << "two of six cells are not the plan";
  EXPECT_EQ(source([](ReportInputs& inputs) {
              inputs.plans[0].plan.cluster = "h200x4";
              inputs.plans[0].plan.database_hash = "";
            }),
            "predicted")
      << "a CPU is no device of a GPU cluster";
}

TEST(ReportDocumentTest, TimesThatASerialReplayCopiesFromThePlanAreNotMeasured) {
  ReportInputs inputs = EnoughCores();
  const auto row = [&](const char* kind) {
    const Json replay = Document(inputs)["plans"][0]["replays"][0];
    for (const Json& one : replay["ledger"]) {
      if (one["kind"] == kind) return one;
    }
    return Json();
  };
  EXPECT_EQ(row("exchange")["measured"], true);
  EXPECT_NEAR(row("exchange")["relative_error"].get<double>(), 0.25, 1e-3);
  inputs.replays[1].replay.transport = "serial";
  for (ReplayCell& cell : inputs.replays[1].replay.cells) {
    for (Segment& segment : cell.segments) {
      if (!IsMeasured("serial", segment.kind)) segment.duration_ns = *segment.predicted_ns;
    }
  }
  EXPECT_EQ(row("exchange")["measured"], false);
  EXPECT_TRUE(row("exchange")["relative_error"].is_null());
  EXPECT_TRUE(row("exchange")["difference_ns"].is_null());
  EXPECT_EQ(row("attention")["measured"], true);
  const Json replay = Document(inputs)["plans"][0]["replays"][0];
  EXPECT_NEAR(replay["measured_relative_error"].get<double>(), 0.25, 1e-3);
}

TEST(ReportDocumentTest, AReplayedCellCountsForAllCellsThatItStandsFor) {
  // The cells of layer 1 share a prediction, so one of them is replayed for both.
  const Workload workload = FixtureWorkload();
  Plan plan = MixedPlan(workload);
  Plan ulysses = UniformPlan(workload, Family::kUlysses, kFixtureRanks, 1);
  const auto share = [&](Plan& shared) {
    const int layers = workload.model.layers;
    shared.cells[layers + 1].prediction = shared.cells[1].prediction;
    shared.cells[layers + 1].strategy = shared.cells[1].strategy;
  };
  share(plan);
  share(ulysses);
  const auto gain = [&](bool representatives) {
    ReportInputs inputs = EnoughCores();
    plan.database_hash = ulysses.database_hash = inputs.measurement_hash;
    inputs.compares.clear();
    inputs.plans = {{plan, "plan.json", {HashBytes(PlanToJson(plan))}}};
    inputs.other_plans = {{ulysses, "plain", {HashBytes(PlanToJson(ulysses))}}};
    inputs.replays = {{1, 1, ReplayOf(ulysses, 1.5)}, {2, 1, ReplayOf(plan, 1.25)}};
    for (db::StoredReplay& stored : inputs.replays) {
      if (!representatives) break;
      std::vector<ReplayCell>& cells = stored.replay.cells;
      cells.erase(cells.begin() + workload.model.layers + 1);
      cells[1].multiplicity = 2;
    }
    const Json shown = Document(inputs)["plans"][0];
    const Json* replayed = FindBaseline(shown, "ulysses", "replayed");
    return replayed == nullptr ? 0.0 : (*replayed)["gain"].get<double>();
  };
  EXPECT_GT(gain(false), 0);
  EXPECT_DOUBLE_EQ(gain(true), gain(false));
}

TEST(ReportDocumentTest, ConcurrentPassesCountByWavesAndShowBothNumbersOfRanks) {
  const Workload workload = FixtureWorkload();
  ReportInputs inputs = EnoughCores();
  Plan plan = UniformPlan(workload, Family::kDbsp, 2, 1, 2);
  plan.database_hash = inputs.measurement_hash;
  inputs.plans = {{plan, "plan.json", {HashBytes(PlanToJson(plan))}}};
  Plan ulysses = UniformPlan(workload, Family::kUlysses, kFixtureRanks, 1);
  ulysses.database_hash = inputs.measurement_hash;
  const Plan split = UniformPlan(workload, Family::kUlysses, 2, 1, 2);
  inputs.other_plans = {{split, "split", {HashBytes(PlanToJson(split))}},
                        {ulysses, "plain", {HashBytes(PlanToJson(ulysses))}}};
  inputs.replays = {{1, 1, ReplayOf(ulysses, 1.5)}, {2, 1, ReplayOf(plan, 1.25)}};
  inputs.compares = {{"compare.json", FixtureCompare({split, ulysses, plan}, plan)}};
  const Json shown = Document(inputs)["plans"][0];
  EXPECT_DOUBLE_EQ(shown["verdict"]["predicted_ms"].get<double>(), plan.total_ms());
  EXPECT_LE(shown["verdict"]["lower_bound_ms"].get<double>(), plan.total_ms());
  EXPECT_DOUBLE_EQ(shown["strategies"][0]["total_ms"].get<double>(), plan.total_ms());
  EXPECT_EQ(shown["strategies"][0]["label"], "dbsp C2 U2xR1");
  EXPECT_EQ(shown["verdict"]["cfg_degree"], 2);
  EXPECT_EQ(shown["verdict"]["pass_ranks"], 2);
  // Plain ulysses runs one pass after the other.
  for (const char* kind : {"predicted", "replayed"}) {
    double times = kind == std::string("predicted") ? 1.0 : 1.5 / 1.25;
    const Json* baseline = FindBaseline(shown, "ulysses", kind);
    ASSERT_NE(baseline, nullptr) << kind;
    EXPECT_NEAR(
        (*baseline)["gain"].get<double>(), times * ulysses.total_ms() / plan.total_ms(), 1e-3)
        << kind;
  }
  const Json& cell = shown["shown"][0];
  EXPECT_EQ(cell["ranks"], 2);
  EXPECT_EQ(cell["pass_groups"], 2);
  // The load is of all ranks and passes on both sides.
  EXPECT_EQ(cell["load"]["ranks"], 4);
  for (const Json& chart : cell["load"]["charts"]) {
    const std::vector<std::int64_t> blocks = chart["blocks"];
    ASSERT_EQ(blocks.size(), 4U);
    EXPECT_DOUBLE_EQ(std::accumulate(blocks.begin(), blocks.end(), 0.0) / 4, cell["load"]["mean"]);
  }
  const std::vector<std::int64_t> plain = cell["load"]["charts"][0]["blocks"];
  const std::vector<std::int64_t>& pass = plan.baselines[0].active_blocks[0];
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(plain[rank], 2 * pass[rank]);
  const std::vector<int> predicted = cell["predicted"]["rank"];
  const std::vector<int> replayed = cell["replayed"][0]["segments"]["rank"];
  EXPECT_EQ(*std::max_element(predicted.begin(), predicted.end()), 1);
  EXPECT_EQ(*std::max_element(replayed.begin(), replayed.end()), 3);
  EXPECT_EQ(replayed.size(), 2 * predicted.size());
}

TEST(ReportDocumentTest, NothingToCompareWithGivesNoGain) {
  ReportInputs inputs = FixtureInputs();
  inputs.compares.clear();
  inputs.other_plans.clear();
  inputs.plans[0].plan.baselines.clear();
  const Json verdict = Document(inputs)["plans"][0]["verdict"];
  EXPECT_TRUE(verdict["baselines"].empty());
  EXPECT_EQ(verdict["missing_baselines"].size(), 2U);
}

TEST(ReportDocumentTest, LoadOfEveryPlacementSumsToTheActiveBlocks) {
  const ReportInputs inputs = FixtureInputs();
  const auto masks = planner::OpenMasks(FixtureWorkload());
  const Json plan = Document(inputs)["plans"][0];
  ASSERT_EQ(plan["shown"].size(), inputs.plans[0].plan.cells.size());
  for (const Json& cell : plan["shown"]) {
    std::int64_t expected = 0;
    const LayerMasks layer = masks->At(cell["step"], cell["layer"]);
    for (const auto& mask : layer.head) expected += mask->Count() * inputs.plans[0].plan.passes;
    ASSERT_EQ(cell["load"]["charts"].size(), 3U);
    for (const Json& chart : cell["load"]["charts"]) {
      const std::vector<std::int64_t> blocks = chart["blocks"];
      ASSERT_EQ(blocks.size(), static_cast<std::size_t>(kFixtureRanks)) << chart["name"];
      EXPECT_EQ(std::accumulate(blocks.begin(), blocks.end(), std::int64_t{0}), expected)
          << chart["name"];
    }
    EXPECT_DOUBLE_EQ(cell["load"]["mean"].get<double>(),
                     static_cast<double>(expected) / kFixtureRanks);
  }
}

TEST(ReportDocumentTest, TimelinesAreThePlansSegmentsAndTheReplays) {
  const ReportInputs inputs = FixtureInputs();
  const Json shown = Document(inputs)["plans"][0]["shown"];
  for (const Json& cell : shown) {
    const Json& predicted = cell["predicted"];
    ASSERT_EQ(cell["replayed"].size(), 1U);
    const Json& replayed = cell["replayed"][0]["segments"];
    ASSERT_EQ(predicted["rank"].size(), replayed["rank"].size());
    for (std::size_t i = 0; i < predicted["rank"].size(); ++i) {
      EXPECT_EQ(predicted["kind"][i], replayed["kind"][i]);
      EXPECT_NEAR(replayed["duration_ns"][i].get<double>(),
                  1.25 * predicted["duration_ns"][i].get<double>(),
                  1.0);
    }
  }
}

TEST(ReportDocumentTest, LedgerIsSignedAndCountsSegmentsWithoutPrediction) {
  ReportInputs inputs = FixtureInputs();
  auto& cells = inputs.replays[1].replay.cells;
  std::int64_t expected = 0;
  std::int64_t segments = 0;
  for (const ReplayCell& cell : cells) {
    for (const Segment& segment : cell.segments) {
      if (segment.kind != SegmentKind::kAttention) continue;
      expected += segment.duration_ns - segment.predicted_ns.value();
      ++segments;
    }
  }
  const auto attention = [&] {
    const Json ledger = Document(inputs)["plans"][0]["replays"][0]["ledger"];
    for (const Json& row : ledger) {
      if (row["kind"] == "attention") return row;
    }
    return Json();
  };
  EXPECT_EQ(attention()["difference_ns"], expected);
  EXPECT_GT(expected, 0);
  EXPECT_EQ(attention()["segments"], segments);
  EXPECT_EQ(attention()["unmatched"], 0);
  for (ReplayCell& cell : cells) {
    for (Segment& segment : cell.segments) segment.predicted_ns.reset();
  }
  EXPECT_TRUE(attention()["difference_ns"].is_null());
  EXPECT_EQ(attention()["unmatched"], segments);
}

TEST(ReportDocumentTest, PlanWithoutReplaySaysSo) {
  ReportInputs inputs = FixtureInputs();
  inputs.replays.clear();
  const Json plan = Document(inputs)["plans"][0];
  EXPECT_TRUE(plan["verdict"]["replay"].is_null());
  EXPECT_EQ(plan["verdict"]["verification"]["state"], "none");
  EXPECT_TRUE(plan["replays"].empty());
  EXPECT_THAT(Notices(plan["notices"]), HasSubstr("was not replayed"));
  EXPECT_TRUE(plan["shown"][0]["replayed"].empty());
}

TEST(ReportDocumentTest, EmptyDatabaseWithoutPlanIsAReport) {
  ReportInputs inputs;
  inputs.database_name = "empty.db";
  const Json document = Document(inputs);
  EXPECT_EQ(document["schema"], "dbsp.report/1");
  EXPECT_TRUE(document["plans"].empty());
  EXPECT_TRUE(document["trials"].empty());
  EXPECT_EQ(ReportTitle(inputs), "dbsp report: empty.db");
}

TEST(ReportDocumentTest, WarnsOfFailedOversubscribedAndStaleResults) {
  ReportInputs inputs = FixtureInputs();
  EXPECT_THAT(Notices(Document(inputs)["plans"][0]["notices"]), HasSubstr("4 ranks on 2 cores"));
  EXPECT_THAT(Notices(Document(inputs)["notices"]), HasSubstr("1 failed, 1 wrong"));
  inputs.plans[0].plan.costs = CostSource::kAnalytic;
  inputs.plans[0].plan.cluster = "h200x8";
  inputs.plans[0].plan.database_hash = "ffff";
  inputs.replays[1].replay.passed = false;
  const std::string notices = Notices(Document(inputs)["plans"][0]["notices"]);
  EXPECT_THAT(notices, HasSubstr("analytic (h200x8)"));
  EXPECT_THAT(notices, HasSubstr("Stale"));
  EXPECT_THAT(notices, HasSubstr("error: Replay 2 failed"));
}

TEST(ReportDocumentTest, EveryOversubscribedReplayIsNamed) {
  ReportInputs inputs = FixtureInputs();
  for (const std::int64_t id : {3, 4}) {
    inputs.replays.push_back(inputs.replays[1]);
    inputs.replays.back().id = id;
  }
  inputs.replays.back().replay.transport = "serial";
  const std::string notices = Notices(Document(inputs)["plans"][0]["notices"]);
  EXPECT_THAT(notices, HasSubstr("replay 2 ran 4 ranks"));
  EXPECT_THAT(notices, HasSubstr("replay 3 ran 4 ranks"));
  EXPECT_THAT(notices, HasSubstr("Replay 4 ran the ranks one after the other"));
}

TEST(ReportDocumentTest, MadeUpPositionsCloseCallsAndThrottledSamplesAreSaid) {
  ReportInputs inputs = FixtureInputs();
  EXPECT_THAT(Notices(Document(inputs)["plans"][0]["notices"]), HasSubstr("Masks are random"));
  EXPECT_THAT(Notices(Document(inputs)["plans"][0]["notices"]),
              HasSubstr("1 of 6 cells are close calls"));
  const Json tuning = Document(inputs)["plans"][0]["tuning"];
  EXPECT_EQ(tuning["close_calls"]["rival"][0], "ring R4");
  EXPECT_EQ(tuning["fits"][0]["held_out_error"], 0.1);
  EXPECT_EQ(tuning["notes"], Json(inputs.plans[0].plan.notes));
  Plan& plan = inputs.plans[0].plan;
  plan.close_calls.reset();
  Workload workload = FixtureWorkload();
  workload.rules = {{"density", {}, ""}};
  plan.workload_json = WorkloadToJson(workload);
  const std::string notices = Notices(Document(inputs)["plans"][0]["notices"]);
  EXPECT_THAT(notices, HasSubstr("warning: Block positions are made up"));
  EXPECT_THAT(notices, HasSubstr("stored no close calls"));
  EXPECT_THAT(Notices(Document(inputs)["notices"]),
              HasSubstr("samples of 7 trials were discarded"));
  EXPECT_THAT(Notices(Document(inputs)["notices"]), ::testing::Not(HasSubstr("Throttled")));
  for (const char* events : {"power cap", "application clocks, thermal slowdown"}) {
    inputs.environments[0].provenance.extra["gpu_clock_events"] = events;
    EXPECT_THAT(Notices(Document(inputs)["notices"]), HasSubstr(std::string("(") + events + ")"));
  }
  for (const char* events : {"none", "idle", "application clocks", "sync boost"}) {
    inputs.environments[0].provenance.extra["gpu_clock_events"] = events;
    EXPECT_THAT(Notices(Document(inputs)["notices"]), ::testing::Not(HasSubstr("Throttled")));
  }
}

TEST(ReportDocumentTest, FreshPlanOnEnoughCoresHasNoWarning) {
  EXPECT_THAT(Notices(Document(EnoughCores())["plans"][0]["notices"]),
              ::testing::Not(::testing::AnyOf(HasSubstr("warning"), HasSubstr("error:"))));
}

TEST(ReportDocumentTest, WithoutADatabaseAPlanAloneIsAReport) {
  ReportInputs inputs = FixtureInputs();
  ReportInputs alone;
  alone.plans = inputs.plans;
  const Json document = Document(alone);
  EXPECT_TRUE(document["database"].is_null());
  EXPECT_EQ(document["plans"][0]["verdict"]["baselines"].size(), 2U);
  EXPECT_THAT(Notices(document["plans"][0]["notices"]), ::testing::Not(HasSubstr("Stale")));
  alone.plans.clear();
  alone.compares = inputs.compares;
  EXPECT_EQ(Document(alone)["compare"].size(), 1U);
  EXPECT_EQ(ReportTitle(alone), "dbsp report: compare.json");
}

TEST(ReportDocumentTest, LimitsKeepTheHeaviestCellsAndCountTheRest) {
  const ReportInputs inputs = FixtureInputs();
  ReportLimits limits;
  limits.shown_cells = 2;
  limits.cells = 3;
  limits.trials = 4;
  limits.segments = 0;
  const Json document = Document(inputs, limits);
  const Json& plan = document["plans"][0];
  EXPECT_EQ(plan["shown"].size(), 2U);
  EXPECT_EQ(plan["shown_total"], inputs.plans[0].plan.cells.size());
  EXPECT_EQ(plan["cells"]["step"].size(), 3U);
  EXPECT_EQ(plan["cells_total"], inputs.plans[0].plan.cells.size());
  EXPECT_EQ(document["trials"].size(), 4U);
  EXPECT_EQ(document["trials"][3]["id"], 9) << "the newest stay";
  EXPECT_EQ(document["trials_total"], 9);
  EXPECT_TRUE(plan["shown"][0]["predicted"].is_null());
  EXPECT_TRUE(plan["shown"][0]["timeline_missing"].is_string());
}

TEST(ReportDocumentTest, StrategiesThatDifferInPartitionOnlyAreOne) {
  const Json plan = Document(FixtureInputs())["plans"][0];
  ASSERT_EQ(plan["strategies"].size(), 2U);
  EXPECT_EQ(plan["strategies"][0]["label"], "ulysses U4");
  EXPECT_EQ(plan["strategies"][1]["label"], "dbsp U2xR2");
  EXPECT_EQ(plan["strategies"][0]["cells"], 2);
  EXPECT_EQ(plan["strategies"][1]["cells"], 4);
}

TEST(ReportDocumentTest, CellsWithOnePredictionAreShownOnce) {
  ReportInputs inputs = FixtureInputs();
  for (PlanCell& cell : inputs.plans[0].plan.cells) cell.prediction = cell.strategy = 1;
  const Json plan = Document(inputs)["plans"][0];
  ASSERT_EQ(plan["shown"].size(), 1U);
  EXPECT_EQ(plan["shown"][0]["same_cells"], 6);
}

TEST(ReportDocumentTest, PlanWithoutStoredLoadsSaysSoInTheLoadViewOnly) {
  ReportInputs inputs = FixtureInputs();
  Plan& stored = inputs.plans[0].plan;
  stored.baselines.clear();
  Json cell = Document(inputs)["plans"][0]["shown"][0];
  EXPECT_THAT(cell["load"]["note"].get<std::string>(), HasSubstr("no stored baselines"));
  EXPECT_EQ(cell["load"]["charts"].size(), 1U) << "the plan's own load is stored";
  for (Prediction& prediction : stored.predictions) prediction.active_blocks.clear();
  cell = Document(inputs)["plans"][0]["shown"][0];
  EXPECT_THAT(cell["load"]["missing"].get<std::string>(), HasSubstr("no stored loads"));
  EXPECT_FALSE(cell["predicted"].is_null());
}

TEST(ReportDocumentTest, NeedsNoMaskOfTheWorkload) {
  ReportInputs inputs = FixtureInputs();
  Workload workload = FixtureWorkload();
  workload.rules = {{"no_such_rule", {}, ""}};
  workload.assignments = {{0, 0, 2, 0, 3}};
  inputs.plans[0].plan.workload_json = WorkloadToJson(workload);
  EXPECT_EQ(Document(inputs)["plans"][0]["shown"][0]["load"]["charts"].size(), 3U);
}

TEST(ReportDocumentTest, NonFiniteNumbersAreNull) {
  ReportInputs inputs = FixtureInputs();
  EXPECT_EQ(Document(inputs)["plans"][0]["verdict"]["verification"]["max_lse_error"], 3.5e-6);
  inputs.replays[1].replay.cells[0].relative_error = std::numeric_limits<double>::infinity();
  std::get<ExchangeConfig>(inputs.trials[5].trial.config).unevenness = std::nan("");
  const Json document = Document(inputs);
  EXPECT_TRUE(document["plans"][0]["verdict"]["verification"]["max_relative_error"].is_null());
  EXPECT_TRUE(document["trials"][5]["unevenness"].is_null());
}

TEST(ReportDocumentTest, QuartilesAreThoseOfTheSamples) {
  const Json trial = Document(FixtureInputs())["trials"][0];
  EXPECT_EQ(trial["median_ns"], 512200.0);
  EXPECT_EQ(trial["q25_ns"], 512100.0);
  EXPECT_EQ(trial["q75_ns"], 512300.0);
  EXPECT_EQ(trial["samples"], 5);
  EXPECT_TRUE(Document(FixtureInputs())["trials"][4]["median_ns"].is_null());
}

TEST(ReportDocumentTest, AnOverlapShowsBothConfigurationsAndItsSlowdown) {
  ReportInputs inputs = FixtureInputs();
  Trial& trial = inputs.trials[0].trial;
  trial.config = OverlapConfig{.attention = std::get<AttentionConfig>(trial.config),
                               .exchange = {.op = "hop", .transport = "nccl", .ranks = 4},
                               .sm_margin = 8,
                               .timed = TimedSide::kExchange};
  trial.samples_ns = {300, 100, 200};
  trial.alone_ns = {90, 80, 70};
  const Json shown = Document(inputs)["trials"][0];
  EXPECT_EQ(shown["kind"], "overlap");
  EXPECT_EQ(shown["timed"], "exchange");
  EXPECT_EQ(shown["sm_margin"], 8);
  EXPECT_EQ(shown["op"], "hop");
  EXPECT_TRUE(shown.contains("kernel"));
  EXPECT_EQ(shown["alone_median_ns"], 80.0);
  EXPECT_EQ(shown["slowdown"], 2.5);
}

TEST(ReportDocumentTest, CompareOfAnotherWorkloadGivesNoGainAndIsNamed) {
  ReportInputs inputs = FixtureInputs();
  inputs.other_plans.clear();
  inputs.plans[0].plan.baselines.clear();
  Json other = Json::parse(inputs.compares[0].json);
  other["workload"]["hash"] = "another";
  inputs.compares[0].json = other.dump();
  const Json document = Document(inputs);
  EXPECT_TRUE(document["compare"][0]["plans"].empty());
  EXPECT_TRUE(document["plans"][0]["verdict"]["baselines"].empty());
  EXPECT_THAT(Notices(document["notices"]), HasSubstr("compare.json"));
}

TEST(ReportDocumentTest, CompareOverOtherCellsThanThePlansGivesNoGain) {
  ReportInputs inputs = FixtureInputs();
  inputs.other_plans.clear();
  inputs.plans[0].plan.baselines.clear();
  const auto cells = static_cast<std::int64_t>(inputs.plans[0].plan.cells.size());
  const auto baselines = [&](std::int64_t claimed) {
    Json other = Json::parse(inputs.compares[0].json);
    other["workload"]["cells"] = claimed;
    inputs.compares[0].json = other.dump();
    const Json document = Document(inputs);
    return document["plans"][0]["verdict"]["baselines"].size();
  };
  EXPECT_GT(baselines(cells), 0U);
  EXPECT_EQ(baselines(cells + 1), 0U);
}

TEST(ReportDocumentTest, BadCompareDocumentsAreRefusedWithFileAndKey) {
  const auto refused = [](const char* text, std::vector<std::string> words) {
    ReportInputs inputs = FixtureInputs();
    inputs.compares = {{"c.json", text}};
    words.emplace_back("c.json");
    ExpectError(ErrorCode::kCorruptInput, words, [&] { (void)ReportDocument(inputs); });
  };
  refused("{\"schema\":", {"line 1"});
  refused(R"({"schema":"dbsp.plan/1"})", {"dbsp.compare/1", "dbsp.plan/1"});
  refused(R"({"schema":"dbsp.compare/1","ranks":0,"workload":"x"})", {"ranks"});
  refused(R"({"schema":"dbsp.compare/1","ranks":4,"workload":7,"candidates":[]})", {"workload"});
  refused(
      R"({"schema":"dbsp.compare/1","ranks":4,"workload":"x","candidates":[{"family":"ring","total_ms":"fast"}]})",
      {"candidates[0].total_ms"});
  refused(
      R"({"schema":"dbsp.compare/1","ranks":4,"workload":"x","candidates":[{"family":"ring","total_ms":-1}]})",
      {"candidates[0].total_ms"});
}

TEST(ReportDocumentTest, StoredSegmentsOutsideTheRanksAreRefused) {
  ReportInputs inputs = FixtureInputs();
  inputs.replays[1].replay.cells[3].segments[0].rank = 99;
  ExpectError(ErrorCode::kCorruptInput, {"p.db", "replay 2", "rank 99"}, [&] {
    (void)ReportDocument(inputs);
  });
}

}  // namespace
}  // namespace dbsp::reports
