// SPDX-License-Identifier: Apache-2.0
// Rank processes: their rank numbers, how they connect, and what ends them. Ranks here are forked;
// tests/profiler/ranks/process_ranks_test.cpp runs whole tools.
#include "runtime/ranks/process_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "runtime/child_process.h"
#include "runtime/host.h"
#include "runtime/ranks/launcher_rank.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/background_process.h"

namespace dbsp::runtime {
namespace {

using testing::Eventually;
using testing::ExpectError;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

std::optional<LauncherRank> LauncherRankIn(const std::map<std::string, std::string>& variables) {
  return FindLauncherRank([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(LauncherRankTest, TheVariablesOfEveryLauncherAreRead) {
  EXPECT_FALSE(LauncherRankIn({}).has_value());
  const auto expect = [](const std::map<std::string, std::string>& variables,
                         const std::string& launcher,
                         const std::optional<std::string>& job) {
    const auto found = LauncherRankIn(variables);
    ASSERT_TRUE(found.has_value()) << launcher;
    EXPECT_EQ(found->rank, 3);
    EXPECT_EQ(found->size, 8);
    EXPECT_EQ(found->launcher, launcher);
    EXPECT_EQ(found->job, job);
  };
  expect({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "8"}, {"PMIX_NAMESPACE", "n@1"}},
         "Open MPI",
         "n@1");
  expect({{"PMI_RANK", "3"}, {"PMI_SIZE", "8"}}, "PMI", std::nullopt);
  expect({{"RANK", "3"}, {"WORLD_SIZE", "8"}, {"TORCHELASTIC_RUN_ID", "r"}}, "torchrun", "r");
  expect({{"SLURM_PROCID", "3"},
          {"SLURM_NTASKS", "16"},
          {"SLURM_STEP_NUM_TASKS", "8"},
          {"SLURM_JOB_ID", "77"},
          {"SLURM_STEP_ID", "0"}},
         "Slurm",
         "77.0");
  // With mpirun inside a Slurm job the inner launcher counts.
  expect({{"OMPI_COMM_WORLD_RANK", "3"},
          {"OMPI_COMM_WORLD_SIZE", "8"},
          {"SLURM_PROCID", "0"},
          {"SLURM_NTASKS", "1"},
          {"SLURM_STEP_ID", "1"}},
         "Open MPI",
         std::nullopt);
}

TEST(LauncherRankTest, AJobScriptAndCommonVariableNamesGiveNoRank) {
  // SLURM_BATCH_SCRIPT and SLURM_INTERACTIVE_STEP of slurm.h, and a shell without a step.
  for (const char* step : {"4294967291", "4294967290"}) {
    EXPECT_FALSE(
        LauncherRankIn({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}, {"SLURM_STEP_ID", step}}));
  }
  EXPECT_FALSE(LauncherRankIn({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}));
  EXPECT_FALSE(LauncherRankIn({{"RANK", "3"}}));
}

TEST(LauncherRankTest, WrongVariablesAreNamed) {
  ExpectError(ErrorCode::kInvalidArgument, {"PMI_RANK=1 without PMI_SIZE"}, [] {
    (void)LauncherRankIn({{"PMI_RANK", "1"}});
  });
  ExpectError(ErrorCode::kInvalidArgument, {"PMI_RANK=2 of PMI_SIZE=2"}, [] {
    (void)LauncherRankIn({{"PMI_RANK", "2"}, {"PMI_SIZE", "2"}});
  });
  ExpectError(ErrorCode::kInvalidArgument, {"PMI_RANK='one'"}, [] {
    (void)LauncherRankIn({{"PMI_RANK", "one"}, {"PMI_SIZE", "2"}});
  });
}

TEST(RendezvousTest, TextsAreParsed) {
  EXPECT_EQ(ParseRendezvous("gpu1:2950").host, "gpu1");
  EXPECT_EQ(ParseRendezvous("gpu1:2950").port, 2950);
  EXPECT_EQ(ParseRendezvous("[fe80::1]:80").host, "fe80::1");
  EXPECT_EQ(ParseRendezvous("file:/a/b").path, "/a/b");
  for (const char* wrong :
       {"", "gpu1", "gpu1:", ":80", "gpu1:0", "gpu1:70000", "gpu1:8x", "file:"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"--rendezvous", "file:PATH"}, [&] {
      (void)ParseRendezvous(wrong);
    });
  }
}

TEST(RendezvousTest, AFileIsCompleteOrAbsentAndReadableByItsOwnerOnly) {
  const TemporaryFolder folder;
  const std::string path = (folder / "rendezvous").string();
  EXPECT_FALSE(ReadRankZero(path));
  WriteRankZero(path, {{"a", "::1"}, 99, "token"});
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 077U, 0U);
  const auto zero = ReadRankZero(path);
  ASSERT_TRUE(zero);
  EXPECT_EQ(zero->hosts, (std::vector<std::string>{"a", "::1"}));
  EXPECT_EQ(zero->port, 99);
  EXPECT_EQ(zero->token, "token");
  std::ofstream(path) << "{\"schema\":";
  EXPECT_FALSE(ReadRankZero(path));
}

/// Forked ranks of one test. Each runs `body` and exits. Rank 0 is the test itself.
class Ranks {
 public:
  explicit Ranks(int size) : size_(size) {
    listener_ = Listen(ListenOn::kThisHost, 0);
    port_ = PortOf(listener_);
  }
  ~Ranks() {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  [[nodiscard]] GroupOptions Options(int rank) const {
    GroupOptions options;
    options.rank = rank;
    options.size = size_;
    options.rendezvous = {.host = "127.0.0.1", .port = port_};
    options.token = "token";
    options.build = "dbsp test";
    options.deadline_ns = 20'000'000'000;
    return options;
  }
  GroupOptions Zero() {
    GroupOptions options = Options(0);
    options.listener = std::move(listener_);
    return options;
  }
  pid_t Fork(GroupOptions options, const std::function<void(ProcessGroup&)>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      listener_.Reset();
      int code = 0;
      try {
        body(*ProcessGroup::Join(std::move(options)));
      } catch (const EndedByRankZero&) {
        code = 7;
      } catch (const std::exception&) {
        code = 8;
      }
      ::_exit(code);
    }
    pids_.push_back(pid);
    return pid;
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  int size_;
  FileDescriptor listener_;
  int port_ = 0;
  std::vector<pid_t> pids_;
};

TEST(ProcessGroupTest, MessagesGoBetweenRankZeroAndAllOthers) {
  Ranks ranks(4);
  for (int r = 1; r < 4; ++r) {
    ranks.Fork(ranks.Options(r), [](ProcessGroup& group) {
      for (;;) {
        Json message = group.Receive(0, 20'000'000'000, "a number");
        if (message.contains("end")) return;
        message["by"] = group.rank();
        message["of"] = group.ranks().size();
        group.Send(0, message);
      }
    });
  }
  const auto group = ProcessGroup::Join(ranks.Zero());
  ASSERT_EQ(group->ranks().size(), 4U);
  for (int r = 0; r < 4; ++r) {
    EXPECT_EQ(group->ranks()[r].rank, r);
    EXPECT_EQ(group->ranks()[r].local_rank, r);
    EXPECT_EQ(group->ranks()[r].node, 0);
    EXPECT_EQ(group->ranks()[r].host, HostName());
  }
  const std::string long_text(300'000, 'x');  // more than a socket holds at once
  for (int n = 0; n < 3; ++n) {
    for (int r = 1; r < 4; ++r) group->Send(r, {{"n", n}, {"text", long_text}});
    for (int r = 3; r >= 1; --r) {
      const Json answer = group->Receive(r, 20'000'000'000, "its number");
      EXPECT_EQ(answer["n"], n);
      EXPECT_EQ(answer["by"], r);
      EXPECT_EQ(answer["of"], 4);
      EXPECT_EQ(answer["text"], long_text);
    }
  }
  for (int r = 1; r < 4; ++r) group->Send(r, {{"end", true}});
}

TEST(ProcessGroupTest, AnotherBuildEndsTheRunForAllRanksWithOneLine) {
  Ranks ranks(3);
  ranks.Fork(ranks.Options(1), [](ProcessGroup&) {});
  GroupOptions other = ranks.Options(2);
  other.build = "dbsp other";
  ranks.Fork(std::move(other), [](ProcessGroup&) {});
  ExpectError(ErrorCode::kMismatch,
              {"rank 2 (", "is dbsp other (dbsp.ranks/1)", "is dbsp test (dbsp.ranks/1)"},
              [&] { (void)ProcessGroup::Join(ranks.Zero()); });
}

TEST(ProcessGroupTest, ConnectionsOfOtherProgramsAreDropped) {
  Ranks ranks(2);
  std::string problem;
  std::vector<std::optional<FileDescriptor>> others;
  for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "{\"protocol\":\"dbsp.ranks/1\"}\n", "{}\n"}) {
    others.push_back(Connect("127.0.0.1", ranks.port(), 5'000'000'000, problem));
    ASSERT_TRUE(others.back()) << problem;
    ASSERT_GT(::send(others.back()->get(), text, std::string(text).size(), MSG_NOSIGNAL), 0);
  }
  others.push_back(Connect("127.0.0.1", ranks.port(), 5'000'000'000, problem));  // sends nothing
  ranks.Fork(ranks.Options(1), [](ProcessGroup& group) { group.Send(0, {{"here", 1}}); });
  const auto group = ProcessGroup::Join(ranks.Zero());
  EXPECT_EQ(group->Receive(1, 20'000'000'000, "its message")["here"], 1);
}

TEST(ProcessGroupTest, ARankOfAnotherRunDoesNotJoin) {
  Ranks ranks(2);
  GroupOptions stale = ranks.Options(1);
  stale.token = "of an earlier run";
  stale.deadline_ns = 500'000'000;
  ranks.Fork(std::move(stale), [](ProcessGroup&) {});
  GroupOptions zero = ranks.Zero();
  zero.deadline_ns = 1'500'000'000;
  ExpectError(ErrorCode::kMeasurement, {"1 of 2 ranks joined", "missing: 1"}, [&] {
    (void)ProcessGroup::Join(std::move(zero));
  });
}

TEST(ProcessGroupTest, AProcessThatEndsBreaksTheGroupForGood) {
  Ranks ranks(3);
  const pid_t gone = ranks.Fork(ranks.Options(1), [](ProcessGroup&) {});
  ranks.Fork(ranks.Options(2),
             [](ProcessGroup& group) { (void)group.Receive(0, 20'000'000'000, "the end"); });
  const auto group = ProcessGroup::Join(ranks.Zero());
  ExpectError(ErrorCode::kMeasurement,
              {"rank 1 (", "pid " + std::to_string(gone), "is gone: connection closed"},
              [&] { (void)group->Receive(2, 20'000'000'000, "nothing"); });
  ASSERT_TRUE(group->broken());
  EXPECT_THAT(*group->broken(), HasSubstr("rank 1 ("));
  EXPECT_THROW((void)group->Receive(2, 20'000'000'000, "nothing"), Error);
}

TEST(ProcessGroupTest, ARankThatSendsNothingBreaksTheGroupAtTheDeadline) {
  Ranks ranks(2);
  ranks.Fork(ranks.Options(1),
             [](ProcessGroup& group) { (void)group.Receive(0, 20'000'000'000, "nothing"); });
  const auto group = ProcessGroup::Join(ranks.Zero());
  ExpectError(ErrorCode::kMeasurement, {"rank 1 (", "did not answer within 0.2 s: its part"}, [&] {
    (void)group->Receive(1, 200'000'000, "its part");
  });
}

}  // namespace
}  // namespace dbsp::runtime
