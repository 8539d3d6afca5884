// SPDX-License-Identifier: Apache-2.0
// The dbsp-replay binary: flags, hashes, exit codes, output and stored records.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "db/database.h"
#include "test_paths.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"
#include "tests/replay/plans.h"
#include "tests/runtime/background_process.h"

namespace dbsp::replay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Output {
  int code = -1;
  std::string out;
  std::string err;
};

/// A folder with a plan for 4 ranks, in which the tool runs.
class DbspReplayTest : public ::testing::Test {
 protected:
  DbspReplayTest()
      : workload_(testing::SmallWorkload(1, 2)),
        plan_(testing::SmallPlan(workload_, Family::kUsp, {2, 2})) {
    Write();
  }

  void Write() const { WritePlan(plan_, folder_ / "plan.json"); }

  [[nodiscard]] Output Run(const std::string& flags, const std::string& plan = "plan.json") const {
    const std::string out = (folder_ / "out").string();
    const std::string err = (folder_ / "err").string();
    const std::string command = "cd '" + folder_.path().string() +
                                "' && '" DBSP_BINARY_DIR "/bin/dbsp-replay' " + plan + " " + flags +
                                " </dev/null >'" + out + "' 2>'" + err + "'";
    const int status = std::system(command.c_str());
    Output output;
    if (WIFEXITED(status)) output.code = WEXITSTATUS(status);
    output.out = ReadFile(out);
    output.err = ReadFile(err);
    return output;
  }

  /// A database of this plan's costs; returns its measurement hash.
  std::string MakeDatabase(const std::string& name) const {
    return db::Database::Open(folder_ / name, db::OpenMode::kCreate).MeasurementHash();
  }

  dbsp::testing::TemporaryFolder folder_;
  Workload workload_;
  Plan plan_;
};

TEST_F(DbspReplayTest, VerifiesAndPrintsTheLedgerWhenNothingIsStored) {
  for (const char* transport : {"serial", "threads"}) {
    const Output run = Run(std::string("--verify --repeat 1 --transport ") + transport);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_THAT(run.out, HasSubstr("verified    passed"));
    EXPECT_THAT(run.out, HasSubstr("predicted_ns"));
    EXPECT_THAT(run.out, HasSubstr("stored      nowhere"));
    EXPECT_THAT(run.err, HasSubstr("cell 2 of 2"));
  }
}

TEST_F(DbspReplayTest, PassesOnSeparateRanksRunVerifyAndAreStored) {
  plan_ = testing::SmallPlan(workload_, Family::kRing, {1, 2}, "given", 2);
  Write();
  for (const char* transport : {"serial", "threads"}) {
    const Output run =
        Run(std::string("--verify --repeat 1 --db r.db --trace t --transport ") + transport);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_THAT(run.out, HasSubstr("4 ranks (2 passes at the same time, 2 ranks each)"));
    EXPECT_THAT(run.out, HasSubstr("verified    passed"));
    EXPECT_TRUE(std::filesystem::exists(folder_ / "t/rank3.json"));
  }
  const auto replays = db::Database::Open(folder_ / "r.db", db::OpenMode::kReadOnly).Replays();
  ASSERT_EQ(replays.size(), 2U);
  for (const auto& stored : replays) {
    EXPECT_EQ(stored.replay.ranks, 4);
    int last = 0;
    for (const Segment& s : stored.replay.cells[0].segments) last = std::max(last, s.rank);
    EXPECT_EQ(last, 3);
  }
}

TEST_F(DbspReplayTest, JsonIsOneDocument) {
  const Output run = Run("--json --verify -q --cells 0,1 --seed 9");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  const Json json = ParseJson(run.out, "stdout");
  EXPECT_EQ(json["schema"], "dbsp.replay/1");
  EXPECT_EQ(json["seed"], 9);
  ASSERT_EQ(json["cells"].size(), 1U);
  EXPECT_EQ(json["cells"][0]["layer"], 1);
  EXPECT_LE(json["verification"]["relative_error"].get<double>(), 1e-5);
}

TEST_F(DbspReplayTest, StoresReplayPlanAndMachine) {
  plan_.cluster.clear();
  plan_.database_hash = MakeDatabase("p.db");
  Write();
  for (int run = 1; run <= 2; ++run) {  // storing a replay does not make the plan stale
    const Output output = Run("--db p.db --verify");
    EXPECT_EQ(output.code, 0) << output.err;
    EXPECT_THAT(output.out, HasSubstr("stored      p.db"));
    EXPECT_THAT(output.out, Not(HasSubstr("predicted_ns")));
  }
  const auto database = db::Database::Open(folder_ / "p.db", db::OpenMode::kReadOnly);
  const auto replays = database.Replays();
  ASSERT_EQ(replays.size(), 2U);
  EXPECT_EQ(database.Plans().size(), 1U);
  EXPECT_EQ(replays[0].replay.plan_hash, database.Plans()[0].hash);
  EXPECT_TRUE(replays[0].replay.verified);
  EXPECT_TRUE(replays[0].replay.passed);
  EXPECT_EQ(replays[0].replay.cells.size(), 2U);
  EXPECT_FALSE(replays[0].replay.device.empty());
}

TEST_F(DbspReplayTest, ThePageShowsTheTotalsThatTheReplayPrints) {
  // Ten cells with two distinct ones, and two waves of passes.
  workload_ = testing::SmallWorkload(2, 5);
  workload_.model.passes = 2;
  workload_.rules.clear();
  workload_.assignments.clear();
  planner::ApplyMaskFlag("dense", workload_);
  plan_ = testing::SmallPlan(workload_, Family::kUlysses, {2, 1});
  testing::ShareFirst(plan_);
  plan_.cells[3].strategy = plan_.cells[3].prediction = 3;
  Write();
  const Output run = Run("--db p.db --json");
  ASSERT_EQ(run.code, 0) << run.err;
  const Json printed = ParseJson(run.out, "stdout");
  ASSERT_EQ(printed["cells"].size(), 2U);
  EXPECT_EQ(printed["cells"][0]["multiplicity"], 9);
  const auto path = [&](const char* name) { return (folder_ / name).string(); };
  const auto report = dbsp::testing::RunTool(
      "dbsp-report", {"--db", path("p.db"), "--plan", path("plan.json"), "--json"});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  const Json page = ParseJson(report.out, "dbsp-report")["plans"][0];
  const Json& shown = page["verdict"]["replay"];
  EXPECT_EQ(shown["cells_meant"], 10);
  EXPECT_EQ(shown["predicted_ms"], printed["predicted_ms"]);
  EXPECT_EQ(shown["replayed_ms"], printed["replayed_ms"]);
  EXPECT_EQ(shown["relative_error"], printed["relative_error"]);
  // The replay is of the whole plan, so what it was predicted at is the plan's predicted time.
  EXPECT_NEAR(shown["predicted_ms"].get<double>(),
              page["verdict"]["predicted_ms"].get<double>(),
              1e-9 * page["verdict"]["predicted_ms"].get<double>());
  const Json& ledger = page["replays"][0]["ledger"];
  ASSERT_EQ(ledger.size(), printed["kinds"].size());
  for (std::size_t i = 0; i < ledger.size(); ++i) {
    EXPECT_EQ(ledger[i]["kind"], printed["kinds"][i]["kind"]);
    EXPECT_EQ(ledger[i]["replayed_ns"].get<double>() / 1e6, printed["kinds"][i]["replayed_ms"]);
    EXPECT_EQ(ledger[i]["relative_error"], printed["kinds"][i]["relative_error"]);
  }
}

TEST_F(DbspReplayTest, RefusesAnotherDatabaseUnlessForced) {
  const std::string found = MakeDatabase("p.db");
  plan_.cluster.clear();
  plan_.database_hash = "0123456789abcdef0123456789abcdef";
  Write();
  const Output refused = Run("--db p.db");
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("database hash is " + found));
  EXPECT_THAT(refused.err, HasSubstr(plan_.database_hash));
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_TRUE(db::Database::Open(folder_ / "p.db", db::OpenMode::kReadOnly).Replays().empty());
  const Output forced = Run("--db p.db --force");
  EXPECT_EQ(forced.code, 0) << forced.err;
  EXPECT_THAT(forced.err, HasSubstr("warning: p.db: database hash"));
}

TEST_F(DbspReplayTest, RefusesAnotherWorkloadUnlessForced) {
  Workload other = workload_;
  other.rules.clear();
  other.assignments.clear();
  planner::ApplyMaskFlag("random:density=0.4,seed=4", other);
  WriteWorkload(other, folder_ / "w.json");
  const Output refused = Run("--workload w.json");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("workload hash is " + HashOf(other)));
  EXPECT_THAT(refused.err, HasSubstr(plan_.workload_hash));
  const Output forced = Run("--workload w.json --force --verify");
  EXPECT_EQ(forced.code, 0) << forced.err;
  WriteWorkload(workload_, folder_ / "same.json");
  EXPECT_EQ(Run("--workload same.json").code, 0);
}

TEST_F(DbspReplayTest, AMissingDatabaseIsNotMade) {
  plan_.cluster.clear();
  plan_.database_hash = "0123456789abcdef0123456789abcdef";
  Write();
  EXPECT_EQ(Run("--db none.db").code, 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none.db"));
}

TEST_F(DbspReplayTest, AFailedVerificationEndsWithOneAndIsStored) {
  const Output run = Run("--verify --tolerance 1e-13 --db new.db");
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, HasSubstr("verified    FAILED"));
  EXPECT_THAT(run.err, HasSubstr("verification failed: step 0 layer 0: head"));
  EXPECT_THAT(run.err, HasSubstr("computed by rank"));
  const auto database = db::Database::Open(folder_ / "new.db", db::OpenMode::kReadOnly);
  ASSERT_EQ(database.Replays().size(), 1U);
  EXPECT_FALSE(database.Replays()[0].replay.passed);
}

TEST_F(DbspReplayTest, WritesOneTracePerRank) {
  EXPECT_EQ(Run("--trace traces --repeat 1").code, 0);
  for (int rank = 0; rank < 4; ++rank) {
    const auto path = folder_ / ("traces/rank" + std::to_string(rank) + ".json");
    EXPECT_FALSE(ParseJson(ReadFile(path), path.string())["traceEvents"].empty());
  }
}

TEST_F(DbspReplayTest, WhatIsNotHereIsUnavailable) {
  for (const char* flags : {"--transport nccl", "--device cuda:99"}) {
    const Output run = Run(flags);
    EXPECT_EQ(run.code, 3) << flags;
    EXPECT_THAT(run.err, HasSubstr("unavailable: "));
  }
}

TEST_F(DbspReplayTest, BadUsageNamesWhatIsKnown) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--transprt serial", "--transport"},
      {"--transport thread", "threads"},
      {"--transport mpi", "serial, threads, nccl"},
      {"--device gpu", "--device"},
      {"--cells some", "first:N"},
      {"--cells 5,5", "step 5"},
      {"--repeat 0", "--repeat"},
      {"--verify-work 0", "--verify-work"},
      {"extra", "extra"}};
  for (const auto& [flags, word] : cases) {
    const Output run = Run(flags);
    EXPECT_EQ(run.code, 2) << flags << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr(word));
    EXPECT_EQ(run.out, "");
  }
  EXPECT_EQ(Run("", "").code, 2);
  EXPECT_EQ(Run("", "absent.json").code, 2);
}

TEST_F(DbspReplayTest, ACorruptPlanIsNamed) {
  const std::string text = ReadFile(folder_ / "plan.json");
  WriteFileAtomically(folder_ / "half.json", text.substr(0, text.size() / 2));
  const Output run = Run("", "half.json");
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("half.json"));
}

class StoppedReplayTest : public DbspReplayTest, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(, StoppedReplayTest, ::testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST_P(StoppedReplayTest, LeavesNoPartOfARecordAndDiesByTheSignal) {
  const std::string db = (folder_ / "r.db").string();
  dbsp::testing::BackgroundProcess tool({DBSP_BINARY_DIR "/bin/dbsp-replay",
                                         (folder_ / "plan.json").string(),
                                         "--transport",
                                         "threads",
                                         "--repeat",
                                         "100000000",
                                         "--db",
                                         db,
                                         "--trace",
                                         (folder_ / "trace").string()});
  ASSERT_TRUE(dbsp::testing::Eventually([&] {
    return tool.Err().find("cell 1 of 2") != std::string::npos;
  })) << tool.Err();
  tool.Signal(GetParam());
  EXPECT_EQ(tool.Code(), -GetParam()) << tool.Err();
  EXPECT_THAT(tool.Err(), HasSubstr("nothing of this replay is stored"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "trace"));
  const db::Database database = db::Database::Open(db, db::OpenMode::kReadOnly);
  EXPECT_TRUE(database.Replays().empty());
  EXPECT_EQ(database.Integrity().message(), "");
}

TEST_F(DbspReplayTest, SerialNeedsTheTimesOfExchanges) {
  for (Prediction& prediction : plan_.predictions) prediction.segments.clear();
  Write();
  const Output serial = Run("--transport serial");
  EXPECT_EQ(serial.code, 2);
  EXPECT_THAT(serial.err,
              HasSubstr("step 0 layer 0: the plan has no predicted time of exchange 0"));
  EXPECT_EQ(Run("--transport threads").code, 0);
}

}  // namespace
}  // namespace dbsp::replay
