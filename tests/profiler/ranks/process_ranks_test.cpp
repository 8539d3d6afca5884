// SPDX-License-Identifier: Apache-2.0
// Exchanges between processes with the whole tool: emulated GPUs, real processes, real sockets, and
// a stand-in for NCCL that moves bytes between processes. A run whose ranks are killed, stopped or
// started wrongly must print one line and leave no process and no shared memory behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "core/workload.h"
#include "db/database.h"
#include "runtime/ranks/listener.h"
#include "test_paths.h"
#include "tests/profiler/small_workload.h"
#include "tests/runtime/background_process.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::profiler {
namespace {

using testing::BackgroundProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TemporaryFolder;
using Variables = std::map<std::string, std::string>;

const std::string kTool = DBSP_BINARY_DIR "/bin/profiler_emulated_profile";

std::vector<std::string> Command(const std::string& flags) {
  std::vector<std::string> argv{kTool, "--device", "cuda", "--suite", "collectives"};
  std::istringstream words(flags);
  for (std::string word; words >> word;) argv.push_back(word);
  return argv;
}

std::unique_ptr<BackgroundProcess> StartTool(const std::vector<std::string>& argv,
                                             Variables variables) {
  variables.emplace("LD_LIBRARY_PATH", DBSP_BINARY_DIR "/fake_vendor/processes");
  return std::make_unique<BackgroundProcess>(argv, variables);
}

std::unique_ptr<BackgroundProcess> Start(const std::string& flags,
                                         const Variables& variables = {}) {
  return StartTool(Command(flags), variables);
}

/// Starts one rank with Open MPI's variables.
std::unique_ptr<BackgroundProcess> StartRank(int rank, int size, const std::string& flags) {
  return Start(flags,
               {{"OMPI_COMM_WORLD_RANK", std::to_string(rank)},
                {"OMPI_COMM_WORLD_SIZE", std::to_string(size)}});
}

std::size_t TrialsIn(const std::string& path) {
  if (!std::filesystem::exists(path)) return 0;
  try {
    return db::Database::Open(path, db::OpenMode::kReadOnly).Trials().size();
  } catch (const Error&) {
    return 0;  // being made
  }
}

/// Shared-memory segments of the fake NCCL that `pid` created.
std::vector<std::string> SegmentsOf(pid_t pid) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("dbsp-fake-nccl-" + std::to_string(pid) + "-")) found.push_back(name);
  }
  return found;
}

bool IsThere(pid_t pid) { return ::kill(pid, 0) == 0; }

/// A long run that has started `ranks` processes and stored two trials.
class RunningRanks {
 public:
  explicit RunningRanks(int ranks, const std::string& flags = "")
      : db_((folder_ / "p.db").string()) {
    tool_ = Start("--processes --ranks " + std::to_string(ranks) +
                  " -b 4K -e 64K --budget 50s --db " + db_ + " " + flags);
    EXPECT_TRUE(Eventually([&] { return TrialsIn(db_) >= 2; })) << tool_->Err();
    others_ = tool_->Children();
    EXPECT_EQ(others_.size(), static_cast<std::size_t>(ranks - 1));
  }
  [[nodiscard]] BackgroundProcess& tool() { return *tool_; }
  [[nodiscard]] const std::vector<pid_t>& others() const { return others_; }

  /// Expects that only the finished trials are left.
  void ExpectCleanAfter(const std::vector<pid_t>& more = {}) {
    for (const pid_t pid : others_) EXPECT_TRUE(Eventually([&] { return !IsThere(pid); })) << pid;
    for (const pid_t pid : more) EXPECT_FALSE(IsThere(pid));
    EXPECT_THAT(SegmentsOf(tool_->pid()), IsEmpty());
    EXPECT_GE(TrialsIn(db_), 2U);
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      files.insert(entry.path().filename().string());
    }
    for (const std::string& file : files) EXPECT_THAT(file, Not(HasSubstr(".ranks")));
  }

 private:
  TemporaryFolder folder_;
  std::string db_;
  std::unique_ptr<BackgroundProcess> tool_;
  std::vector<pid_t> others_;
};

class ExchangesBetween : public ::testing::TestWithParam<int> {};

TEST_P(ExchangesBetween, ProcessesMoveTheRightValues) {
  const int ranks = GetParam();
  const auto tool =
      Start("--processes --check --json -b 4K -e 64K -f 16 --ranks " + std::to_string(ranks));
  ASSERT_EQ(tool->Code(), 0) << tool->Out() << tool->Err();
  const Json document = ParseJson(tool->Out(), "checks");
  EXPECT_EQ(document["schema"], "dbsp.exchange_check/1");
  EXPECT_EQ(document["ranks"], ranks);
  std::set<std::string> ops;
  for (const Json& check : document["exchanges"]) {
    EXPECT_EQ(check["outcome"], "ok") << check;
    ops.insert(ParseJson(check["key"].get<std::string>(), "key")["op"].get<std::string>());
  }
  EXPECT_EQ(ops,
            (std::set<std::string>{"allgather", "alltoall", "hop", "needed", "reducescatter"}));
  EXPECT_THAT(SegmentsOf(tool->pid()), IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Ranks, ExchangesBetween, ::testing::Values(2, 3, 8));

TEST(ProcessRanksTest, AWrongValueIsFoundAndNamed) {
  const auto tool =
      Start("--processes --check --ranks 3 -b 4K -e 4K", {{"DBSP_FAKE_NCCL_WRONG", "2"}});
  EXPECT_EQ(tool->Code(), 1);
  EXPECT_THAT(tool->Out(), HasSubstr("wrong  alltoall 3 ranks"));
  EXPECT_THAT(tool->Out(), HasSubstr("on rank 2: element"));
}

TEST(ProcessRanksTest, OneGpuIsCheckedAndNeverTimed) {
  const auto tool =
      Start("--processes --one-gpu --ranks 2 -b 4K -e 4K", {{"DBSP_EMULATED_DEVICES", "1"}});
  EXPECT_EQ(tool->Code(), 0) << tool->Err();
  EXPECT_THAT(tool->Out(),
              HasSubstr("6 exchanges checked: 6 right, 0 wrong or failed; no times were taken"));
  EXPECT_THAT(tool->Out(), Not(HasSubstr("GB/s")));
}

TEST(ProcessRanksTest, ExchangesCanBeTimedByTheHost) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const auto tool =
      Start("--processes --ranks 2 -b 4K -e 4K --budget 1s --exchange-clock host --db " + db);
  ASSERT_EQ(tool->Code(), 0) << tool->Err();
  const db::Database stored = db::Database::Open(db, db::OpenMode::kReadOnly);
  ASSERT_GE(stored.Trials().size(), 1U);
  for (const db::StoredTrial& trial : stored.Trials()) {
    EXPECT_EQ(trial.trial.outcome, TrialOutcome::kOk) << trial.trial.detail;
    EXPECT_EQ(trial.trial.method, "nccl.slowest20");
  }
}

TEST(ProcessRanksTest, TrialsAreStoredWithTheirRanksAndReused) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const std::string flags = "--processes --ranks 2 -b 4K -e 4K --budget 2s --db " + db;
  const auto tool = Start(flags);
  ASSERT_EQ(tool->Code(), 0) << tool->Err();
  EXPECT_EQ(tool->Err().find("rank 1"), std::string::npos) << tool->Err();
  const db::Database stored = db::Database::Open(db, db::OpenMode::kReadOnly);
  const auto trials = stored.Trials();
  ASSERT_GE(trials.size(), 1U);
  for (const db::StoredTrial& trial : trials) {
    EXPECT_EQ(trial.trial.outcome, TrialOutcome::kOk) << trial.trial.detail;
    EXPECT_EQ(trial.trial.method, "nccl.events20");
    EXPECT_EQ(std::get<ExchangeConfig>(trial.trial.config).nodes, 1);
  }
  const Provenance machine = stored.Environments().at(0).provenance;
  EXPECT_THAT(machine.extra.at("ranks"), HasSubstr("2 processes on 1 host"));
  EXPECT_EQ(machine.extra.at("launcher"), "dbsp-profile --processes");
  const auto again = Start(flags + " --dry-run");
  EXPECT_EQ(again->Code(), 0);
  EXPECT_THAT(again->Out(), HasSubstr(std::to_string(trials.size()) + " reused"));
}

/// Starts the tool with --suite overlap and a layer that an emulated GPU computes quickly.
std::unique_ptr<BackgroundProcess> StartOverlaps(const TemporaryFolder& folder,
                                                 const std::string& flags,
                                                 const Variables& variables = {}) {
  WriteWorkload(testing::SmallWorkload(), folder / "w.json");
  std::vector<std::string> argv = Command(flags + " --workload " + (folder / "w.json").string() +
                                          " --db " + (folder / "p.db").string());
  *std::ranges::find(argv, "collectives") = "overlap";
  return StartTool(argv, variables);
}

TEST(ProcessRanksTest, OverlapsAreMeasuredBetweenProcesses) {
  for (const int ranks : {2, 3}) {
    SCOPED_TRACE(ranks);
    const TemporaryFolder folder;
    const std::string db = (folder / "p.db").string();
    const auto tool =
        StartOverlaps(folder, fmt::format("--processes --ranks {} --budget 10s", ranks));
    ASSERT_EQ(tool->Code(), 0) << tool->Out() << tool->Err();
    const db::Database stored = db::Database::Open(db, db::OpenMode::kReadOnly);
    ASSERT_FALSE(stored.Trials().empty());
    std::set<TimedSide> timed;
    for (const db::StoredTrial& trial : stored.Trials()) {
      const auto& overlap = std::get<OverlapConfig>(trial.trial.config);
      EXPECT_EQ(trial.trial.outcome, TrialOutcome::kOk) << trial.trial.detail;
      EXPECT_EQ(trial.trial.method, "cuda.events.overlap");
      EXPECT_EQ(overlap.exchange.nodes, 1);
      EXPECT_EQ(trial.trial.alone_ns.size(), trial.trial.samples_ns.size());
      EXPECT_FALSE(trial.trial.samples_ns.empty());
      timed.insert(overlap.timed);
    }
    EXPECT_EQ(timed.size(), 2U);
    EXPECT_THAT(SegmentsOf(tool->pid()), IsEmpty());
  }
}

TEST(ProcessRanksTest, AnOverlapWithAWrongValueIsStoredAsWrong) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const auto tool =
      StartOverlaps(folder, "--processes --ranks 2 --budget 3s", {{"DBSP_FAKE_NCCL_WRONG", "1"}});
  EXPECT_EQ(tool->Code(), 1) << tool->Err();
  const db::Database stored = db::Database::Open(db, db::OpenMode::kReadOnly);
  ASSERT_FALSE(stored.Trials().empty());
  for (const db::StoredTrial& trial : stored.Trials()) {
    EXPECT_EQ(trial.trial.outcome, TrialOutcome::kWrong) << trial.trial.detail;
    EXPECT_THAT(trial.trial.detail, HasSubstr("rank 1: "));
  }
}

TEST(ProcessRanksTest, ARankKilledInAnOverlapIsNamedAndFinishedTrialsAreKept) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const auto tool = StartOverlaps(folder, "--processes --ranks 2 --budget 50s");
  ASSERT_TRUE(Eventually([&] { return TrialsIn(db) >= 1; })) << tool->Err();
  const std::vector<pid_t> others = tool->Children();
  ASSERT_EQ(others.size(), 1U);
  ::kill(others.front(), SIGKILL);
  EXPECT_EQ(tool->Code(), 1) << tool->Err();
  EXPECT_THAT(tool->Err(), HasSubstr("was killed by signal 9"));
  EXPECT_GE(TrialsIn(db), 1U);
  EXPECT_THAT(SegmentsOf(tool->pid()), IsEmpty());
}

TEST(ProcessRanksTest, AKilledRankIsNamedAndEndsTheRun) {
  RunningRanks running(3);
  ::kill(running.others().at(1), SIGKILL);
  EXPECT_EQ(running.tool().Code(), 1) << running.tool().Err();
  EXPECT_THAT(running.tool().Err(), HasSubstr("rank 2 ("));
  EXPECT_THAT(running.tool().Err(), HasSubstr("pid " + std::to_string(running.others().at(1))));
  EXPECT_THAT(running.tool().Err(), HasSubstr("was killed by signal 9"));
  EXPECT_THAT(running.tool().Err(), HasSubstr("finished trials are kept"));
  running.ExpectCleanAfter();
}

TEST(ProcessRanksTest, AStoppedRankEndsTheRunAtTheDeadline) {
  RunningRanks running(3, "--deadline 2s");
  ::kill(running.others().at(0), SIGSTOP);
  EXPECT_EQ(running.tool().Code(), 1) << running.tool().Err();
  EXPECT_THAT(running.tool().Err(), HasSubstr("did not answer within 2 s"));
  EXPECT_THAT(running.tool().Err(), HasSubstr("rank 1 ("));
  running.ExpectCleanAfter();
}

TEST(ProcessRanksTest, RanksEndWithTheProcessThatStartedThem) {
  RunningRanks running(3);
  running.tool().Signal(SIGKILL);
  EXPECT_EQ(running.tool().Code(), -SIGKILL);
  running.ExpectCleanAfter();
}

TEST(ProcessRanksTest, CtrlCOnAnyRankEndsAll) {
  RunningRanks running(3);
  ::kill(running.others().at(0), SIGINT);
  EXPECT_EQ(running.tool().Code(), -SIGINT) << running.tool().Err();
  EXPECT_THAT(running.tool().Err(), HasSubstr("interrupted: "));
  EXPECT_THAT(running.tool().Err(), HasSubstr("finished trials are kept"));
  running.ExpectCleanAfter();
}

TEST(ProcessRanksTest, AnExchangeThatHangsFailsAndTheNextOnesRun) {
  const auto tool = Start("--processes --check --ranks 2 -b 4K -e 4K --deadline 3s",
                          {{"DBSP_FAKE_NCCL_HANG", "1"}});
  EXPECT_EQ(tool->Code(), 1);
  EXPECT_THAT(tool->Out(), HasSubstr("6 exchanges checked: 5 right, 1 wrong or failed"));
  EXPECT_THAT(tool->Out(), HasSubstr("took more than 3 s"));
}

TEST(ProcessRanksTest, AFailingRankIsNamedByRankZero) {
  const auto tool =
      Start("--processes --check --ranks 3 -b 4K -e 4K", {{"DBSP_FAKE_NCCL_ERROR", "1"}});
  EXPECT_EQ(tool->Code(), 1);
  EXPECT_THAT(tool->Out(), HasSubstr("failed  alltoall 2 ranks"));
  EXPECT_THAT(tool->Out(), HasSubstr("rank 1 ("));
  EXPECT_THAT(tool->Out(), HasSubstr("the fake NCCL has a system error"));
}

TEST(LaunchedRanksTest, RanksOfALauncherFindRankZeroThroughAFileBesideTheDatabase) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const std::string flags = "-b 4K -e 4K --budget 2s --db " + db;
  std::vector<std::unique_ptr<BackgroundProcess>> ranks;
  for (int rank = 0; rank < 3; ++rank) ranks.push_back(StartRank(rank, 3, flags));
  for (const auto& rank : ranks) EXPECT_EQ(rank->Code(), 0) << rank->Err();
  EXPECT_THAT(ranks[0]->Out(), HasSubstr("alltoall 3 ranks"));
  for (int rank = 1; rank < 3; ++rank) EXPECT_EQ(ranks[rank]->Out() + ranks[rank]->Err(), "");
  EXPECT_GE(TrialsIn(db), 1U);
  EXPECT_FALSE(std::filesystem::exists(db + ".ranks"));
}

/// A launcher that may be installed.
struct RealLauncher {
  const char* name;  ///< its name in dbsp
  const char* package;  ///< the Debian package
  std::vector<std::string> command;
};

class LaunchedBy : public ::testing::TestWithParam<RealLauncher> {
 protected:
  void SetUp() override {
    if (::access(GetParam().command.front().c_str(), X_OK) != 0) {
      GTEST_SKIP() << "this machine has no launcher " << GetParam().command.front() << " (package "
                   << GetParam().package << ")";
    }
  }
  /// Starts `ranks` processes of the tool through the launcher.
  [[nodiscard]] std::unique_ptr<BackgroundProcess> Launch(int ranks,
                                                          const std::string& flags) const {
    std::vector<std::string> argv = GetParam().command;
    argv.insert(argv.end(), {"-n", std::to_string(ranks)});
    const std::vector<std::string> tool = Command(flags);
    argv.insert(argv.end(), tool.begin(), tool.end());
    return StartTool(argv, {});
  }
};

TEST_P(LaunchedBy, ItsOwnProcessesExchangeAndAreStored) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const auto run = Launch(3, "-b 4K -e 4K --budget 2s --db " + db);
  ASSERT_EQ(run->Code(), 0) << run->Out() << run->Err();
  EXPECT_THAT(run->Out(), HasSubstr("alltoall 3 ranks"));
  EXPECT_FALSE(std::filesystem::exists(db + ".ranks"));
  const db::Database stored = db::Database::Open(db, db::OpenMode::kReadOnly);
  ASSERT_FALSE(stored.Trials().empty());
  for (const db::StoredTrial& trial : stored.Trials()) {
    EXPECT_EQ(trial.trial.outcome, TrialOutcome::kOk) << trial.trial.detail;
  }
  const Provenance machine = stored.Environments().at(0).provenance;
  EXPECT_THAT(machine.extra.at("ranks"), HasSubstr("3 processes on 1 host"));
  EXPECT_THAT(machine.extra.at("launcher"), HasSubstr(GetParam().name));
}

TEST_P(LaunchedBy, AKilledProcessEndsTheRunAndLeavesFinishedTrials) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  const auto run = Launch(3, "-b 4K -e 64K --budget 50s --db " + db);
  ASSERT_TRUE(Eventually([&] { return TrialsIn(db) >= 2; })) << run->Err();
  run->Signal(SIGTERM);  // launchers forward the signal
  EXPECT_NE(run->Code(), 0);
  EXPECT_GE(TrialsIn(db), 2U);
}

INSTANTIATE_TEST_SUITE_P(Real,
                         LaunchedBy,
                         ::testing::Values(RealLauncher{"Open MPI",
                                                        "openmpi-bin",
                                                        {"/usr/bin/mpirun.openmpi",
                                                         "--allow-run-as-root",
                                                         "--oversubscribe"}},
                                           RealLauncher{"PMI", "mpich", {"/usr/bin/mpirun.mpich"}}),
                         [](const auto& launcher) {
                           std::string name = launcher.param.name;
                           std::erase(name, ' ');
                           return name;
                         });

TEST(LaunchedRanksTest, TwoProcessesOfOneRankAreRefused) {
  const TemporaryFolder folder;
  const std::string flags = "--check --rendezvous file:" + (folder / "rendezvous").string();
  std::vector<std::unique_ptr<BackgroundProcess>> ranks;
  for (const int rank : {0, 1, 1}) ranks.push_back(StartRank(rank, 3, flags));
  EXPECT_EQ(ranks[0]->Code(), 2);
  EXPECT_THAT(ranks[0]->Err(), HasSubstr("two processes have the same rank"));
  for (int i = 1; i < 3; ++i) {
    EXPECT_NE(ranks[i]->Code(), 0);
    EXPECT_EQ(ranks[i]->Err(), "");
  }
}

TEST(LaunchedRanksTest, RanksStartedForDifferentSizesAreRefused) {
  const TemporaryFolder folder;
  const std::string flags = "--check --rendezvous file:" + (folder / "rendezvous").string();
  const auto zero = StartRank(0, 2, flags);
  const auto one = StartRank(1, 3, flags);
  EXPECT_EQ(zero->Code(), 2);
  EXPECT_THAT(zero->Err(), HasSubstr("was started for 3 ranks, but rank 0 for 2"));
  EXPECT_EQ(one->Code(), 2);
}

TEST(LaunchedRanksTest, AMissingRankIsNamedAtTheDeadline) {
  const TemporaryFolder folder;
  const std::string flags =
      "--check --deadline 2s --rendezvous file:" + (folder / "rendezvous").string();
  const auto zero = StartRank(0, 3, flags);
  const auto two = StartRank(2, 3, flags);
  EXPECT_EQ(zero->Code(), 1);
  EXPECT_THAT(zero->Err(), HasSubstr("2 of 3 ranks joined within 2 s; missing: 1"));
  EXPECT_EQ(two->Code(), 1);
  EXPECT_FALSE(std::filesystem::exists(folder / "rendezvous"));
}

/// A port that was free a moment ago.
std::string FreePort() {
  return std::to_string(runtime::Listener::Open("127.0.0.1", 0, true).port());
}

TEST(LaunchedRanksTest, RanksJoinThroughAnAddressWhileStrangersFloodIt) {
  const std::string port = FreePort();
  const std::string flags = "--check -b 4K -e 4K --rendezvous 127.0.0.1:" + port;
  const auto zero = StartRank(0, 3, flags);
  std::vector<runtime::FileDescriptor> silent;
  std::string problem;
  const auto attack = [&](const std::string& text) {
    auto socket = runtime::Connect("127.0.0.1", std::stoi(port), 5'000'000'000, problem);
    if (!socket) return false;
    (void)!::send(socket->get(), text.data(), text.size(), MSG_NOSIGNAL);
    silent.push_back(std::move(*socket));
    return true;
  };
  ASSERT_TRUE(Eventually([&] { return attack(""); })) << zero->Err();
  for (int i = 0; i < 50; ++i) {
    for (const std::string& text : {std::string(100'000, '['),
                                    std::string("{\"protocol\":1e400}\n"),
                                    std::string("{\"rank\":1,\"token\":\"\"}\n"),
                                    std::string("dbsp")}) {
      EXPECT_TRUE(attack(text));
    }
  }
  const auto one = StartRank(1, 3, flags);
  const auto two = StartRank(2, 3, flags);
  EXPECT_EQ(zero->Code(), 0) << zero->Err();
  EXPECT_EQ(one->Code(), 0) << one->Err();
  EXPECT_EQ(two->Code(), 0) << two->Err();
  EXPECT_THAT(zero->Err(), HasSubstr("rank 0 listens on 127.0.0.1, port " + port));
  EXPECT_THAT(zero->Err(), HasSubstr("Open MPI shares no secret with its ranks"));
  for (const runtime::FileDescriptor& socket : silent) {
    char byte = 0;
    EXPECT_LE(::recv(socket.get(), &byte, 1, 0), 0) << "a stranger received a byte";
  }
}

TEST(LaunchedRanksTest, ARankWithAnotherTokenDoesNotJoinAndNoTokenIsPrinted) {
  const std::string flags =
      "--check --deadline 2s -b 4K -e 4K --rendezvous 127.0.0.1:" + FreePort();
  const auto start = [&](int rank, const std::string& token) {
    return Start(flags,
                 {{"OMPI_COMM_WORLD_RANK", std::to_string(rank)},
                  {"OMPI_COMM_WORLD_SIZE", "2"},
                  {"DBSP_RENDEZVOUS_TOKEN", token}});
  };
  const std::string first = "the first random token";
  const std::string second = "the second random token";
  const auto zero = start(0, first);
  const auto one = start(1, second);
  EXPECT_EQ(zero->Code(), 1);
  EXPECT_EQ(one->Code(), 1);
  EXPECT_THAT(zero->Err(), HasSubstr("only programs that know the run's token can join"));
  EXPECT_THAT(zero->Err(), HasSubstr("missing: 1"));
  EXPECT_THAT(zero->Err(), HasSubstr("another token"));
  for (const std::string& text : {zero->Err(), one->Err(), zero->Out(), one->Out()}) {
    EXPECT_THAT(text, Not(HasSubstr(first)));
    EXPECT_THAT(text, Not(HasSubstr(second)));
  }
  const auto empty = start(0, "");
  EXPECT_EQ(empty->Code(), 2);
  EXPECT_THAT(empty->Err(), HasSubstr("DBSP_RENDEZVOUS_TOKEN has 0 characters"));
}

TEST(LaunchedRanksTest, APortInUseIsOneLine) {
  const runtime::Listener taken = runtime::Listener::Open("127.0.0.1", 0, true);
  const std::string port = std::to_string(taken.port());
  const auto zero = StartRank(0, 2, "--check --rendezvous 127.0.0.1:" + port);
  EXPECT_EQ(zero->Code(), 3);
  EXPECT_THAT(zero->Err(), HasSubstr("rank 0 cannot listen on port " + port));
}

TEST(LaunchedRanksTest, ContradictoryFlagsAreRefusedBeforeAnythingStarts) {
  const auto code = [](const std::string& flags, const Variables& variables, const char* words) {
    const auto tool = Start(flags, variables);
    EXPECT_EQ(tool->Code(), 2) << flags;
    EXPECT_THAT(tool->Err(), HasSubstr(words));
  };
  const Variables launched{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}};
  code("--check", launched, "give --rendezvous");
  code("--processes --check", launched, "Open MPI already started 2");
  code("--check --ranks 4 --db p.db", launched, "Open MPI started 2 ranks");
  code("--check --rendezvous nowhere", launched, "expected host:port, or file:PATH");
  code("--check", {}, "use --processes");
  code("--processes --check --ranks 1", {}, "2 or more");
  const auto quick = StartTool({kTool, "--suite", "quick", "--db", "p.db"}, launched);
  EXPECT_EQ(quick->Code(), 2);
  EXPECT_THAT(quick->Err(), HasSubstr("only --suite collectives and overlap"));
  const auto overlap =
      StartTool({kTool, "--suite", "overlap", "--device", "cuda", "--processes", "--check"}, {});
  EXPECT_EQ(overlap->Code(), 2);
  EXPECT_THAT(overlap->Err(), HasSubstr("the exchanges of --suite collectives"));
  code("--check", {{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, "=2 of OMPI");
}

TEST(LaunchedRanksTest, ARankWithoutItsDeviceEndsTheRun) {
  const auto tool =
      Start("--processes --check --ranks 3 -b 4K -e 4K", {{"DBSP_EMULATED_DEVICES", "2"}});
  EXPECT_EQ(tool->Code(), 1);
  EXPECT_THAT(tool->Err(), HasSubstr("number 3 on its host, which has 2 GPUs"));
}

}  // namespace
}  // namespace dbsp::profiler
