// SPDX-License-Identifier: Apache-2.0
// Runs dbsp-tune: exit codes, streams, files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/baseline.h"
#include "core/file.h"
#include "core/plan.h"
#include "core/workload.h"
#include "db/database.h"
#include "planner/workload/mask_flag.h"
#include "test_paths.h"
#include "tests/core/temporary_folder.h"
#include "tests/tuner/synthetic_trials.h"

namespace dbsp::tuner {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class DbspTuneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Workload workload;
    workload.model = {"small", 2, 4, 64, {2, 10, 16}, 0, 3, 1};
    workload.block = {64, 64};
    planner::ApplyMaskFlag("random:density=0.4,seed=1", workload);
    WriteWorkload(workload, folder_ / "w.json");
  }

  Outcome Tune(const std::string& arguments) {
    const std::string out = folder_ / "out";
    const std::string err = folder_ / "err";
    const std::string command = "cd '" + folder_.path().string() +
                                "' && '" DBSP_BINARY_DIR "/bin/dbsp-tune' " + arguments + " >'" +
                                out + "' 2>'" + err + "'";
    const int status = std::system(command.c_str());  // NOLINT: a fixed command of this test
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(out), ReadFile(err)};
  }

  void ExpectUsageError(const std::string& arguments, const std::string& words) {
    SCOPED_TRACE(arguments);
    const Outcome outcome = Tune(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "plan.json"));
  }

  std::string MakeDatabase(const std::vector<int>& rank_counts) {
    const auto path = folder_ / "p.db";
    db::Database database = db::Database::Open(path, db::OpenMode::kCreate);
    SyntheticTrials made(0.02, 3);
    made.AddAll(rank_counts);
    const std::int64_t environment = database.AddEnvironment(made.environment.provenance);
    for (const db::StoredTrial& stored : made.trials) {
      (void)database.AddTrial(environment, stored.trial);
    }
    return database.MeasurementHash();
  }

  dbsp::testing::TemporaryFolder folder_;
};

TEST_F(DbspTuneTest, NumbersThatAreNoneAreRefusedByFlags) {
  for (const std::string flag : {"--dbsp-reward", "--contract-tolerance", "--replan-us"}) {
    for (const std::string number : {"nan", "-nan", "inf", "1e999", "-1"}) {
      ExpectUsageError("--workload w.json --cluster h200x8 -o plan.json " + flag + " " + number,
                       flag);
    }
  }
}

TEST_F(DbspTuneTest, WritesAPlanFromAClusterMarkedAnalytic) {
  const Outcome outcome = Tune("--workload w.json --cluster h200x8 -o plan.json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("plan: costs are analytic"));
  EXPECT_THAT(outcome.out, HasSubstr("plan: best uniform strategy"));
  const Plan plan = ReadPlan(folder_ / "plan.json");
  EXPECT_EQ(plan.costs, CostSource::kAnalytic);
  EXPECT_EQ(plan.ranks, 8);
  EXPECT_EQ(plan.cluster, "h200x8");
  EXPECT_EQ(plan.database_hash, "");
  EXPECT_EQ(plan.workload_directory, ".");
  EXPECT_EQ(plan.workload_hash, HashOf(ReadWorkload(folder_ / "w.json")));
  EXPECT_EQ(plan.cells.size(), 6U);
}

TEST_F(DbspTuneTest, WritesAPlanFromADatabase) {
  const std::string hash = MakeDatabase({2, 4});
  const Outcome outcome = Tune("--workload w.json --db p.db --ranks 4 -o sub.json --compare");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("fitted costs"));
  EXPECT_THAT(outcome.err, HasSubstr("held-out error"));
  const Plan plan = ReadPlan(folder_ / "sub.json");
  EXPECT_EQ(plan.costs, CostSource::kFitted);
  EXPECT_EQ(plan.database_hash, hash);
  EXPECT_EQ(plan.device, "Imaginary CPU");
  EXPECT_EQ(plan.dtype, DType::kF32);
  EXPECT_EQ(plan.strategies.front().kernel, "cpu.block_sparse");
}

/// A database measured on a single GPU has no exchanges, so they come from the cluster.
TEST_F(DbspTuneTest, ADatabaseMayTakeItsExchangesFromACluster) {
  MakeDatabase({});
  EXPECT_EQ(Tune("--workload w.json --db p.db --ranks 8 -o none.json").exit_code, 2);
  const Outcome outcome = Tune("--workload w.json --db p.db --cluster h200x8 -o plan.json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("note: exchanges are those of h200x8"));
  EXPECT_THAT(outcome.err, HasSubstr("held-out error"));
  const Plan plan = ReadPlan(folder_ / "plan.json");
  EXPECT_EQ(plan.ranks, 8);
  EXPECT_EQ(plan.costs, CostSource::kAnalytic);
  EXPECT_EQ(plan.cluster, "h200x8");
  EXPECT_EQ(plan.device, "Imaginary CPU");
  EXPECT_FALSE(plan.database_hash.empty());
  // With --cluster the measured exchanges of a database are not used.
  std::filesystem::remove(folder_ / "p.db");
  MakeDatabase({2, 4, 8});
  ASSERT_EQ(Tune("--workload w.json --db p.db --cluster h200x8 -o more.json").exit_code, 0);
  const Plan more = ReadPlan(folder_ / "more.json");
  ASSERT_EQ(more.predictions.size(), plan.predictions.size());
  const auto hops = [](const Plan& of) {
    std::int64_t ns = 0;
    for (const Prediction& prediction : of.predictions) {
      for (const Segment& segment : prediction.segments) {
        if (segment.kind == SegmentKind::kExchange) ns += segment.duration_ns;
      }
    }
    return ns;
  };
  EXPECT_GT(hops(plan), 0);
  // The attention trials differ by noise, which changes some partitions. The database's own
  // exchanges would be two hundred times slower.
  EXPECT_NEAR(static_cast<double>(hops(more)),
              static_cast<double>(hops(plan)),
              0.25 * static_cast<double>(hops(plan)));
}

TEST_F(DbspTuneTest, JsonIsOneDocumentOnStdout) {
  const Outcome outcome =
      Tune("--workload w.json --cluster a100x4 --compare --json --cells --steps 1-2 --layers 0");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto document = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(document["schema"], "dbsp.compare/1");
  EXPECT_EQ(document["costs"], "analytic");
  EXPECT_EQ(document["ranks"], 4);
  EXPECT_EQ(document["candidates"].size(), 19U);
  EXPECT_EQ(document["cells"].size(), 2U);
}

TEST_F(DbspTuneTest, ListsOfSingleKeysArePlannedAsBlocksAndThisIsSaid) {
  Workload workload = ReadWorkload(folder_ / "w.json");
  planner::ApplyMaskFlag("fine:density=0.2,run=8,queries=64", workload);
  WriteWorkload(workload, folder_ / "fine.json");
  const Outcome outcome = Tune("--workload fine.json --cluster h200x4 -o fine-plan.json");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string said = "6 cells have lists of single keys; they are planned with the blocks";
  EXPECT_THAT(outcome.err, HasSubstr("note: " + said));
  EXPECT_THAT(ReadPlan(folder_ / "fine-plan.json").notes,
              ::testing::Contains(::testing::StartsWith(said)));
}

TEST_F(DbspTuneTest, AnyRankCountWorks) {
  for (const int ranks : {1, 3, 7}) {
    const Outcome outcome =
        Tune("--workload w.json --cluster h100x8 --compare --ranks " + std::to_string(ranks));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  // More ranks than heads times rows: 4 heads of 5 rows.
  MakeDatabase({2, 4, 8, 16, 32});
  const Outcome outcome = Tune("--workload w.json --db p.db --ranks 32 --compare");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(DbspTuneTest, CandidatesWithoutMeasurementsAreListedWithTheReason) {
  MakeDatabase({4, 8});  // no exchange between 2 ranks
  const Outcome outcome = Tune("--workload w.json --db p.db --ranks 4 --compare");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("excluded: no "));
  EXPECT_THAT(outcome.err, HasSubstr("dbsp-profile --db p.db --workload w.json --ranks 4"));
  const Outcome none = Tune("--workload w.json --db p.db --ranks 2 --compare --families ulysses");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("dbsp-profile"));
}

TEST_F(DbspTuneTest, CandidatesAboveTheMemoryCapAreExcludedWithTheReason) {
  const Outcome some =
      Tune("--workload w.json --cluster h200x8 --compare --memory-per-rank 1000000000");
  ASSERT_EQ(some.exit_code, 0) << some.err;
  EXPECT_THAT(some.out, ::testing::Not(HasSubstr("excluded")));
  const Outcome none =
      Tune("--workload w.json --cluster h200x8 -o capped.json --memory-per-rank 100");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("bytes, expected at most 100"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "capped.json"));
}

TEST_F(DbspTuneTest, AFallbackAboveTheMemoryCapIsReported) {
  Workload workload = ReadWorkload(folder_ / "w.json");
  workload.model.grid = {4, 16, 16};
  WriteWorkload(workload, folder_ / "w.json");
  // Half a head per rank needs 393,216 bytes with all its K and V and 458,752 in a ring; a whole
  // head needs 524,288.
  const std::string placed =
      "--workload w.json --cluster h200x8 --families placed -o p.json --memory-per-rank ";
  const Outcome ring = Tune(placed + "460000");
  ASSERT_EQ(ring.exit_code, 0) << ring.err;
  EXPECT_THAT(ring.err, ::testing::Not(HasSubstr("fallback")));
  const Plan plan = ReadPlan(folder_ / "p.json");
  const int fallback = plan.contracts.front().fallback;
  EXPECT_NE(plan.strategies[fallback].family, Family::kUlysses);
  const Outcome none = Tune(placed + "400000");
  ASSERT_EQ(none.exit_code, 0) << none.err;
  EXPECT_THAT(none.err, HasSubstr("the fallback exceeds --memory-per-rank"));
}

TEST_F(DbspTuneTest, PlainMakesABaselineAndEveryPlanStoresItsGains) {
  const std::string base = "--workload w.json --cluster h200x8 --ranks 4 ";
  ASSERT_EQ(Tune(base + "-o p.json").exit_code, 0);
  const Plan plan = ReadPlan(folder_ / "p.json");
  ASSERT_EQ(plan.baselines.size(), 2U);
  EXPECT_FALSE(plan.notes.empty());
  EXPECT_TRUE(plan.close_calls.has_value());
  for (const Baseline& baseline : plan.baselines) {
    const std::string family = NameOf(baseline.family);
    ASSERT_EQ(Tune(base + "--plain --families " + family + " -o plain.json").exit_code, 0);
    const Plan plain = ReadPlan(folder_ / "plain.json");
    EXPECT_TRUE(IsBaselinePlan(plain, plan, baseline.family)) << family;
    const Gain gain = GainOver(plan, baseline).value();
    EXPECT_NEAR(gain.gain, plain.total_ms() / plan.total_ms(), 1e-9) << family;
  }
  for (const char* flag : {"--chunks 2", "--layout zigzag:2", "--cfg-degrees 1"}) {
    ExpectUsageError(base + "--plain -o p.json " + flag, "--plain");
  }
}

TEST_F(DbspTuneTest, TwoPassesMayRunOnSeparateRanks) {
  Workload workload = ReadWorkload(folder_ / "w.json");
  workload.model.passes = 2;
  WriteWorkload(workload, folder_ / "two.json");
  const std::string base = "--workload two.json --cluster h200x8 --ranks 4 --compare --json ";
  const auto degrees = [&](const std::string& flags) {
    const Outcome outcome = Tune(base + flags);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::map<int, double> best;  // total of the fastest candidate of every cfg degree
    const auto document = nlohmann::json::parse(outcome.out);
    for (const auto& candidate : document["candidates"]) {
      const int degree = candidate["cfg_degree"];
      const int ranks =
          candidate["ulysses_degree"].get<int>() * candidate["ring_degree"].get<int>();
      EXPECT_EQ(degree * ranks, 4);
      const double total = candidate["total_ms"];
      const auto [at, fresh] = best.try_emplace(degree, total);
      if (!fresh) at->second = std::min(at->second, total);
    }
    return best;
  };
  const auto both = degrees("-o both.json");
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(degrees("--cfg-degrees 1"), (std::map<int, double>{{1, both.at(1)}}));
  EXPECT_EQ(degrees("--cfg-degrees 2 -o two_plan.json"), (std::map<int, double>{{2, both.at(2)}}));
  const Plan plan = ReadPlan(folder_ / "both.json");
  EXPECT_EQ(plan.ranks, 4);
  EXPECT_EQ(plan.passes, 2);
  // With these costs cfg degree 2 is faster, because its calls are fewer and larger.
  EXPECT_LT(both.at(2), both.at(1));
  EXPECT_EQ(plan.cfg_degree(), 2);
  EXPECT_LE(plan.total_ms(), both.at(2) + 1e-9);
  const Outcome table = Tune("--workload two.json --cluster h200x8 --ranks 4 --compare");
  EXPECT_THAT(table.out, HasSubstr("\nulysses C2 U2 "));
  EXPECT_THAT(table.out,
              HasSubstr("plan: cfg degree 2, 2 passes at the same time on 2 ranks each"));
  ExpectUsageError("--workload two.json --cluster h200x8 --ranks 3 --cfg-degrees 2 -o plan.json",
                   "--cfg-degrees 2");
  ExpectUsageError("--workload w.json --cluster h200x8 --cfg-degrees 2 -o plan.json",
                   "--cfg-degrees 2");
  ExpectUsageError("--workload two.json --cluster h200x8 --cfg-degrees both -o plan.json",
                   "--cfg-degrees both");
}

TEST_F(DbspTuneTest, HelpGroupsTheFlagsAndEndsWithExamples) {
  const Outcome help = Tune("--help");
  EXPECT_EQ(help.exit_code, 0);
  for (const char* group :
       {"Input and output:", "Costs and ranks:", "Search space:", "Changing masks:"}) {
    EXPECT_THAT(help.out, HasSubstr(group));
  }
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  dbsp-tune --workload"));
}

TEST_F(DbspTuneTest, BadInputIsOneLineAndNoFile) {
  ExpectUsageError("--workload w.json --compare", "--db FILE");
  ExpectUsageError("--workload w.json --cluster h200x8", "-o PLAN");
  ExpectUsageError("--workload w.json --cluster h200x17 -o plan.json", "such as h200x3x8");
  ExpectUsageError("--workload w.json --cluster h200x2x9 -o plan.json", "at most 8");
  ExpectUsageError("--workload w.json --cluster h200x8 --ranks-per-node 4 -o plan.json",
                   "NAMExNODESx4");
  ExpectUsageError("--workload w.json --cluster file:none.json -o plan.json", "none.json");
  ExpectUsageError("--workload w.json --cluster h2000x8 -o plan.json", "nearest known");
  ExpectUsageError("--workload w.json --cluster h200x4 --ranks 8 -o plan.json", "has 4 GPUs");
  ExpectUsageError("--workload w.json --cluster h200x8 --families placd -o plan.json", "'placed'");
  ExpectUsageError("--workload w.json --cluster h200x8 --families rung -o plan.json", "'ring'");
  ExpectUsageError("--workload w.json --cluster h200x8 --steps 9 -o plan.json", "--steps 9");
  ExpectUsageError("--workload w.json --cluster h200x8 --raanks 2 -o plan.json", "--ranks");
  ExpectUsageError("--workload w.json --cluster h200x8 --ranks 0 -o plan.json", "--ranks");
  ExpectUsageError("--workload no.json --cluster h200x8 -o plan.json", "no.json");
  ExpectUsageError("--workload w.json --db no.db --ranks 2 -o plan.json", "no.db");
  ExpectUsageError("--workload w.json --cluster h200x8 -o w.json", "overwrite");
  ExpectUsageError("--workload w.json --cluster h200x8 -o no/folder/plan.json", "no/folder");
  WriteFileAtomically(folder_ / "bad.db", "this is no database, and long enough to be none");
  ExpectUsageError("--workload w.json --db bad.db --ranks 2 -o plan.json", "bad.db");
  const std::string text = ReadFile(folder_ / "w.json");
  WriteFileAtomically(folder_ / "cut.json", text.substr(0, text.size() / 2));
  ExpectUsageError("--workload cut.json --cluster h200x8 -o plan.json", "cut.json");
  (void)db::Database::Open(folder_ / "empty.db", db::OpenMode::kCreate);
  ExpectUsageError("--workload w.json --db empty.db --ranks 2 -o plan.json", "dbsp-profile");
  MakeDatabase({2});
  ExpectUsageError("--workload w.json --db p.db --ranks 2 --db-device H200 -o plan.json", "H200");
}

}  // namespace
}  // namespace dbsp::tuner
