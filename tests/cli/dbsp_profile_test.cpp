// SPDX-License-Identifier: Apache-2.0
// The dbsp-profile binary: flags, exit codes, the JSON document, and resuming after a kill and
// after an interrupt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <thread>

#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/workload.h"
#include "db/database.h"
#include "test_paths.h"
#include "tests/cli/run_tool.h"
#include "tests/db/fixtures.h"

namespace dbsp::db {
namespace {

using dbsp::testing::FileText;
using ::testing::HasSubstr;

struct Output {
  int code = -1;
  std::string text;  ///< stdout, followed by stderr unless discarded
};

Output RunProfile(const std::string& flags, const std::string& stderr_to = "&1") {
  Output output;
  FILE* pipe =
      popen((DBSP_BINARY_DIR "/bin/dbsp-profile " + flags + " 2>" + stderr_to).c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.text.append(buffer.data(), n);
  }
  output.code = WEXITSTATUS(pclose(pipe));
  return output;
}

std::size_t TrialsIn(const std::filesystem::path& path) {
  return Database::Open(path, OpenMode::kReadOnly).Trials().size();
}

TEST(DbspProfileTest, BadFlagsFilesAndDevicesHaveTheirExitCodes) {
  const TempFolder folder;
  const std::string db = " --db " + (folder / "p.db").string();
  const Output unknown = RunProfile("--budgt 1s" + db);
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.text, HasSubstr("--budget"));
  const Output suite = RunProfile("--suite quik" + db);
  EXPECT_EQ(suite.code, 2);
  EXPECT_THAT(suite.text, HasSubstr("quick"));
  for (const char* factor : {"nan", "inf", "1e999", "1", "1.0000001"}) {
    EXPECT_EQ(RunProfile(std::string("--suite collectives -f ") + factor + db).code, 2) << factor;
  }
  EXPECT_EQ(RunProfile("--budget soon" + db).code, 2);
  EXPECT_EQ(RunProfile("").code, 2);
  EXPECT_EQ(RunProfile("--device cuda:7" + db).code, 3);
  EXPECT_FALSE(std::filesystem::exists(folder / "p.db"));
  std::ofstream(folder / "p.db") << "this is no database";
  const Output corrupt = RunProfile("--budget 100ms" + db);
  EXPECT_EQ(corrupt.code, 2);
  EXPECT_THAT(corrupt.text, HasSubstr("p.db"));
}

TEST(DbspProfileTest, HelpGroupsItsOptionsAndEndsWithTwoExamples) {
  const std::string help = RunProfile("--help").text;
  std::size_t at = 0;
  for (const char* group : {"What to measure:",
                            "Run and output:",
                            "Suite collectives:",
                            "Rank processes",
                            "Examples:",
                            "dbsp-profile --db p.db --workload w.json",
                            "dbsp-profile --db p.db --device cuda --suite collectives"}) {
    const std::size_t found = help.find(group, at);
    ASSERT_NE(found, std::string::npos) << group << " in " << help;
    at = found;
  }
}

TEST(DbspProfileTest, CollectivesAreMeasuredBySizeWithTheirBandwidths) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  const Output run = RunProfile(
      "--suite collectives --ranks 2 -b 4K -e 8K -f 2 --budget 20s --json --db " + db, "/dev/null");
  ASSERT_EQ(run.code, 0) << run.text;
  const Json document = Json::parse(run.text);
  EXPECT_EQ(document["suite"], "collectives");
  ASSERT_EQ(document["trials"].size(), 12U);  // six exchanges at two sizes
  for (const Json& trial : document["trials"]) {
    EXPECT_EQ(trial["status"], "measured") << trial;
    EXPECT_GT(trial["busbw_gbps"].get<double>(), 0) << trial;
    EXPECT_GE(trial["algbw_gbps"], trial["busbw_gbps"]) << trial;
  }
  EXPECT_EQ(TrialsIn(db), 12U);
  EXPECT_THAT(RunProfile("--suite collectives --ranks 2 -b 8K -e 4K --list").text,
              HasSubstr("begin <= end"));
  EXPECT_EQ(RunProfile("--suite collectives --ranks 1 --list").code, 2);
}

TEST(DbspProfileTest, OverlapsAreStoredWithTheirTimesAlone) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  const Output run =
      RunProfile("--suite overlap --ranks 2 --budget 6s --json --db " + db, "/dev/null");
  ASSERT_EQ(run.code, 0) << run.text;
  const Json document = Json::parse(run.text);
  EXPECT_EQ(document["suite"], "overlap");
  ASSERT_EQ(document["trials"].size(), 24U);  // three sizes, two calls, two exchanges, two sides
  std::size_t measured = 0;
  for (const Json& trial : document["trials"]) {
    if (trial["status"] != "measured") continue;
    ++measured;
    EXPECT_EQ(trial["alone_ns"].size(), trial["samples_ns"].size()) << trial;
    EXPECT_GT(trial["slowdown"].get<double>(), 0) << trial;
  }
  ASSERT_GT(measured, 0U);
  EXPECT_EQ(TrialsIn(db), measured);
  for (const auto& [flags, words] :
       {std::pair{"--ranks 1", "--suite overlap: expected --ranks of 2 or more"},
        std::pair{"--nccl-ctas 4", "--nccl-ctas 4: --suite overlap limits NCCL"},
        std::pair{"--nccl-ctas 6", "--nccl-ctas 6: NCCL takes powers of two only; give 4 or 8"},
        std::pair{"--exchange-clock host", "only --suite collectives between GPUs"},
        std::pair{"--tune-kernels", "leave out --suite collectives, --suite overlap"},
        std::pair{"--counters", "--counters reads counters of attention on a GPU"}}) {
    const Output refused = RunProfile(std::string("--suite overlap --list ") + flags);
    EXPECT_EQ(refused.code, 2) << flags;
    EXPECT_THAT(refused.text, HasSubstr(words));
  }
}

TEST(DbspProfileTest, ListAndDryRunWriteNothing) {
  const TempFolder folder;
  EXPECT_EQ(RunProfile("--list --ranks 2").code, 0);
  EXPECT_EQ(RunProfile("--dry-run --ranks 2 --db " + (folder / "p.db").string()).code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "p.db"));
}

/// Starts the tool in the background and waits until it has stored more than two trials. `log`
/// receives stderr.
pid_t StartProfile(const std::string& db, const std::string& log) {
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen(log.c_str(), "w", stderr) == nullptr ||
        std::freopen("/dev/null", "w", stdout) == nullptr) {
      _exit(126);
    }
    // A shell's background job, and nohup, pass on that these are ignored.
    for (const int one : {SIGINT, SIGTERM, SIGHUP}) std::signal(one, SIG_DFL);
    const char* tool = DBSP_BINARY_DIR "/bin/dbsp-profile";
    execl(tool, tool, "--db", db.c_str(), "--ranks", "2", "--budget", "60s", nullptr);
    _exit(127);
  }
  for (int i = 0; child > 0 && i < 400; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (ShellText(db, "SELECT count(*) > 2 FROM trials") == "1") break;
  }
  return child;
}

/// Starts the tool and sends `signal` after the first trials. Returns the wait status.
int StopProfile(const std::string& db, const std::string& log, int signal) {
  const pid_t child = StartProfile(db, log);
  if (child < 0) return -1;
  kill(child, signal);
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

void ExpectTheNextRunReusesThem(const std::string& db, std::size_t kept) {
  const Output next = RunProfile("-q --budget 300ms --ranks 2 --db " + db);
  EXPECT_EQ(next.code, 0) << next.text;
  EXPECT_THAT(next.text, HasSubstr(std::to_string(kept) + " reused"));
  EXPECT_EQ(ShellText(db, "SELECT count(*) - count(DISTINCT key) FROM trials"), "0");
}

TEST(DbspProfileTest, AKilledRunKeepsItsTrialsAndTheNextRunRepeatsNone) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  const int status = StopProfile(db, "/dev/null", SIGKILL);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  const std::size_t kept = TrialsIn(db);
  ASSERT_GT(kept, 2U);
  ExpectTheNextRunReusesThem(db, kept);
}

TEST(DbspProfileTest, ASecondProfilerIsRefusedByNameAndAKilledOneLeavesNoLock) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  const pid_t first = StartProfile(db, "/dev/null");
  ASSERT_GT(first, 0);
  const Output second = RunProfile("--budget 100ms --db " + db);
  const Output other = RunProfile("--budget 100ms --db " + (folder / "other.db").string());
  const std::string holder = "process " + std::to_string(first);
  kill(first, SIGKILL);
  int status = 0;
  waitpid(first, &status, 0);
  EXPECT_EQ(second.code, 2);
  EXPECT_THAT(second.text, HasSubstr(db + ": another profiler measures into it"));
  EXPECT_THAT(second.text, HasSubstr(holder));
  EXPECT_THAT(second.text, HasSubstr(" since 20"));
  EXPECT_EQ(std::count(second.text.begin(), second.text.end(), '\n'), 1) << second.text;
  EXPECT_EQ(other.code, 0);
  EXPECT_THAT(other.text, HasSubstr("note: another profiler measures on this host"));
  const Output next = RunProfile("--budget 100ms --db " + db);
  EXPECT_EQ(next.code, 0) << next.text;
  EXPECT_FALSE(std::filesystem::exists(db + ".lock"));
  // A file of the user with this name is not touched.
  std::ofstream(db + ".lock") << "mine";
  EXPECT_EQ(RunProfile("--budget 100ms --db " + db).code, 2);
  EXPECT_EQ(FileText(db + ".lock"), "mine");
}

TEST(DbspProfileTest, ACopyThatIsPutBackAfterAKillIsNeverOverwritten) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  ASSERT_EQ(RunProfile("--budget 200ms --db " + db).code, 0);
  const std::string copy = FileText(db);
  for (int round = 0; round < 3; ++round) {
    const int status = StopProfile(db, "/dev/null", SIGKILL);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    std::ofstream(db, std::ios::binary) << copy;
    const Output next = RunProfile("--dry-run --db " + db);
    EXPECT_EQ(FileText(db), copy);
    if (!std::filesystem::exists(db + "-journal")) {
      EXPECT_EQ(next.code, 0) << next.text;
      continue;
    }
    EXPECT_THAT(next.text, HasSubstr("p.db-journal"));
    std::filesystem::remove(db + "-journal");
  }
}

class StoppedProfileTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(, StoppedProfileTest, ::testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST_P(StoppedProfileTest, PrintsTheKeptTrialsAndEndsByTheSignal) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  const int status = StopProfile(db, (folder / "log").string(), GetParam());
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), GetParam());
  const std::size_t kept = TrialsIn(db);
  ASSERT_GT(kept, 2U);
  const std::string log = FileText(folder / "log");
  EXPECT_THAT(log,
              HasSubstr("interrupted: " + std::to_string(kept) + " finished trials are kept in " +
                        db + "; the same command measures the "));
  ExpectTheNextRunReusesThem(db, kept);
}

Workload SmallWorkload() {
  Workload workload;
  workload.model = {"small", 2, 4, 32, {2, 10, 16}, 0, 3, 1};
  workload.block = {32, 32};
  workload.rules = {{"dense", {}, ""}};
  workload.assignments = {{0, 0, 3, 0, 2}};
  return workload;
}

TEST(DbspProfileTest, AWorkloadsShapesAreMeasuredFirstAndTheDocumentListsThem) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  WriteWorkload(SmallWorkload(), folder / "w.json");
  const std::string flags =
      "--json --ranks 2 --budget 1s --db " + db + " --workload " + (folder / "w.json").string();
  const Output output = RunProfile(flags, "/dev/null");
  ASSERT_EQ(output.code, 0) << output.text;
  const Json document = ParseJson(output.text, "stdout");
  EXPECT_EQ(document["schema"], "dbsp.profile/1");
  EXPECT_EQ(document["database"], db);
  EXPECT_EQ(document["interrupted"], false);
  EXPECT_EQ(document["failed"], 0);
  const Json& trials = document["trials"];
  EXPECT_EQ(document["measured"].get<std::size_t>() + document["left_out"].get<std::size_t>(),
            trials.size());
  EXPECT_EQ(document["measured"].get<std::size_t>(), TrialsIn(db));
  // The first call: all columns, 4 heads over 2 ranks.
  const Json first = ParseJson(trials[0]["key"].get<std::string>(), "key");
  EXPECT_EQ(first["pattern"], "dense");
  EXPECT_EQ(first["heads"], 2);
  EXPECT_EQ(first["head_dim"], 32);
  EXPECT_EQ(first["k_blocks"], 10);
  EXPECT_EQ(trials[0]["status"], "measured");
  EXPECT_EQ(trials[0]["method"], "cpu.thread_time");
  EXPECT_GE(trials[0]["samples_ns"].size(), 3U);
  EXPECT_EQ(
      RunProfile("--budget 100ms --db " + db + " --workload " + (folder / "no.json").string()).code,
      2);
}

TEST(DbspProfileTest, RefineMeasuresTheVolumesOfThePlanOnItsRanks) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  Plan plan;
  plan.workload_json = WorkloadToJson(SmallWorkload());
  plan.workload_hash = HashBytes(plan.workload_json);
  plan.workload_name = "small";
  plan.workload_directory = ".";
  plan.device = "cpu";
  plan.created_utc = "2026-01-31T12:34:56Z";
  plan.generator = "test";
  plan.ranks = 4;
  plan.shape = SmallWorkload().shape();
  plan.layouts = {{"given", {}}};
  Partition partition{4, 4, 10, 10, {}};
  const std::vector<int> owner{0, 0, 0, 0, 0, 0, 1, 1, 1, 1};
  partition.groups = {{{0, 1}, {0, 2}, owner, owner}, {{2, 3}, {1, 3}, owner, owner}};
  plan.partitions = {partition};
  plan.strategies = {{.family = Family::kUsp,
                      .ulysses_degree = 2,
                      .ring_degree = 2,
                      .exchange = Exchange::kRing,
                      .kernel = ""}};
  Prediction prediction;
  prediction.total_ns = prediction.low_ns = prediction.high_ns = 100;
  prediction.segments = {{0, SegmentKind::kPack, 0, 0, 10, 8192},
                         {0, SegmentKind::kExchange, 0, 10, 10, 4096},
                         {0, SegmentKind::kHop, 0, 20, 10, 98304}};
  plan.predictions = {prediction};
  plan.cells = {{0, 0, 0, 0}};
  WritePlan(plan, folder / "plan.json");
  const std::string flags = "--json --db " + db + " --refine " + (folder / "plan.json").string();
  const Output output = RunProfile(flags + " --budget 5s", "/dev/null");
  ASSERT_EQ(output.code, 0) << output.text;
  const Json document = ParseJson(output.text, "stdout");
  EXPECT_EQ(document["suite"], "refine");
  EXPECT_EQ(document["ranks"], 4);
  std::map<std::string, std::string> methods;
  for (const Json& trial : document["trials"]) {
    EXPECT_EQ(trial["status"], "measured") << trial["what"];
    const Json key = ParseJson(trial["key"].get<std::string>(), "key");
    if (key["kind"] == "attention") {
      EXPECT_EQ(key["heads"], 2);
      EXPECT_EQ(key["k_blocks"], 6);
    } else if (key["kind"] == "exchange") {
      methods[trial["what"].get<std::string>()] = trial["method"].get<std::string>();
    }
  }
  ASSERT_EQ(methods.size(), 2U);
  // Two pairs of ranks exchange at the same time, and so do the two rings.
  for (const auto& [what, method] : methods) EXPECT_EQ(method, "cpu.wall.busy4") << what;
  EXPECT_EQ(ShellText(db, "SELECT max(suite) || min(suite) FROM trials"), "refinerefine");
  const Output again = RunProfile(flags + " --budget 5s", "/dev/null");
  EXPECT_EQ(ParseJson(again.text, "stdout")["reused"], document["measured"]);
}

}  // namespace
}  // namespace dbsp::db
