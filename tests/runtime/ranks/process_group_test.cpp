// SPDX-License-Identifier: Apache-2.0
// Rank processes: their rank numbers, how they connect, and what ends them. Ranks here are forked;
// tests/profiler/ranks/process_ranks_test.cpp runs whole tools.
#include "runtime/ranks/process_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "runtime/host.h"
#include "runtime/ranks/launcher_rank.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/ranks/forked_ranks.h"

namespace dbsp::runtime {
namespace {

using ::testing::AllOf;
using testing::ExpectError;
using testing::ForkedRanks;
using ::testing::HasSubstr;

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
    EXPECT_FALSE(found->one_host) << launcher;
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

TEST(LauncherRankTest, ALauncherSaysWhetherAllRanksAreOnOneHost) {
  using Variables = std::map<std::string, std::string>;
  const auto one_host = [](Variables variables, const char* name, const char* value) {
    variables[name] = value;
    return LauncherRankIn(variables)->one_host;
  };
  const Variables open_mpi{{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "8"}};
  EXPECT_TRUE(one_host(open_mpi, "OMPI_COMM_WORLD_LOCAL_SIZE", "8"));
  EXPECT_FALSE(one_host(open_mpi, "OMPI_COMM_WORLD_LOCAL_SIZE", "4"));
  EXPECT_FALSE(one_host(open_mpi, "LOCAL_WORLD_SIZE", "8"));
  EXPECT_TRUE(one_host({{"PMI_RANK", "3"}, {"PMI_SIZE", "8"}}, "MPI_LOCALNRANKS", "8"));
  EXPECT_TRUE(one_host({{"RANK", "3"}, {"WORLD_SIZE", "8"}}, "LOCAL_WORLD_SIZE", "8"));
  const Variables slurm{
      {"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_STEP_ID", "0"}};
  EXPECT_TRUE(one_host(slurm, "SLURM_STEP_NUM_NODES", "1"));
  EXPECT_FALSE(one_host(slurm, "SLURM_STEP_NUM_NODES", "2"));
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

TEST(ProcessGroupTest, MessagesGoBetweenRankZeroAndAllOthers) {
  ForkedRanks ranks(4);
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
  ForkedRanks ranks(3);
  ranks.Fork(ranks.Options(1), [](ProcessGroup&) {});
  GroupOptions other = ranks.Options(2);
  other.build = "dbsp other";
  ranks.Fork(std::move(other), [](ProcessGroup&) {});
  ExpectError(ErrorCode::kMismatch,
              {"rank 2 (", "is dbsp other, but rank 0 on", "is dbsp test: start the same build"},
              [&] { (void)ProcessGroup::Join(ranks.Zero()); });
}

TEST(ProcessGroupTest, ARankOfAnotherRunDoesNotJoin) {
  ForkedRanks ranks(2);
  GroupOptions stale = ranks.Options(1);
  stale.token = "the token of an earlier run";
  stale.deadline_ns = 500'000'000;
  ranks.Fork(std::move(stale), [](ProcessGroup&) {});
  GroupOptions zero = ranks.Zero();
  zero.deadline_ns = 1'500'000'000;
  ExpectError(ErrorCode::kMeasurement,
              {"1 of 2 ranks joined", "missing: 1", "did not prove this run's token"},
              [&] { (void)ProcessGroup::Join(std::move(zero)); });
}

/// Facts that a rank with the token may send wrongly.
struct WrongFacts {
  const char* name;
  std::function<void(GroupOptions&)> change;  ///< of rank 1 of 2
  std::vector<std::string> words;
};
void PrintTo(const WrongFacts& wrong, std::ostream* out) { *out << wrong.name; }

class WrongFactsTest : public ::testing::TestWithParam<WrongFacts> {};

TEST_P(WrongFactsTest, EndTheRunAndAreNamed) {
  ForkedRanks ranks(2);
  GroupOptions wrong = ranks.Options(1);
  GetParam().change(wrong);
  const pid_t pid = ranks.Fork(std::move(wrong), [](ProcessGroup&) {});
  ExpectError(
      ErrorCode::kMismatch, GetParam().words, [&] { (void)ProcessGroup::Join(ranks.Zero()); });
  EXPECT_EQ(ranks.Code(pid), testing::kEndedByRankZero);
}

INSTANTIATE_TEST_SUITE_P(
    Every,
    WrongFactsTest,
    ::testing::Values(WrongFacts{"Build",
                                 [](GroupOptions& o) { o.build = "dbsp 9"; },
                                 {"rank 1 (", "is dbsp 9, but rank 0"}},
                      WrongFacts{"Size",
                                 [](GroupOptions& o) { o.size = 3; },
                                 {"rank 1 (", "was started for 3 ranks, but rank 0 for 2"}}),
    [](const auto& param) { return param.param.name; });

/// What a rank that has joined may send wrongly. Each breaks the group and names the rank.
struct WrongMessage {
  const char* name;
  std::function<void(ProcessGroup&)> send;
  std::string words;
};
void PrintTo(const WrongMessage& wrong, std::ostream* out) { *out << wrong.name; }

Json Nested(int depth) {
  Json value = Json::array();
  for (int i = 1; i < depth; ++i) value = Json::array({value});
  return value;
}

class WrongMessageTest : public ::testing::TestWithParam<WrongMessage> {};

TEST_P(WrongMessageTest, BreaksTheGroupAndNamesTheRank) {
  ForkedRanks ranks(2);
  ranks.Fork(ranks.Options(1), [](ProcessGroup& group) {
    GetParam().send(group);
    (void)group.Receive(0, 20'000'000'000, "the end");
  });
  GroupOptions zero = ranks.Zero();
  zero.check = [](const JsonView& message) {
    if (message.Has("trial")) (void)message["trial"].Int(0, 9);
  };
  const auto group = ProcessGroup::Join(std::move(zero));
  while (!group->broken()) {
    group->WaitFor(1, 5'000'000);
    group->Pump();
  }
  EXPECT_THAT(*group->broken(), AllOf(HasSubstr("rank 1 ("), HasSubstr(GetParam().words)));
}

INSTANTIATE_TEST_SUITE_P(
    Every,
    WrongMessageTest,
    ::testing::Values(
        WrongMessage{"NoObject", [](ProcessGroup& g) { g.Send(0, Json::array()); }, "an object"},
        WrongMessage{"Type",
                     [](ProcessGroup& g) {
                       g.Send(0, {{"trial", "one"}});
                     },
                     "key 'trial': expected"},
        WrongMessage{"Range",
                     [](ProcessGroup& g) {
                       g.Send(0, {{"trial", 10}});
                     },
                     "key 'trial'"},
        WrongMessage{"Depth",
                     [](ProcessGroup& g) {
                       g.Send(0, {{"a", Nested(100)}});
                     },
                     "cannot read"},
        WrongMessage{"LongLine",
                     [](ProcessGroup& g) {
                       g.Send(0, {{"a", std::string(2U << 20U, 'x')}});
                     },
                     "sent a line of more than 1048576 bytes"},
        WrongMessage{"Flood",
                     [](ProcessGroup& g) {
                       for (int i = 0; i < 300; ++i) g.Send(0, {{"n", i}});
                     },
                     "messages that nothing asked for"}),
    [](const auto& param) { return param.param.name; });

TEST(ProcessGroupTest, AProcessThatEndsBreaksTheGroupForGood) {
  ForkedRanks ranks(3);
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
  ForkedRanks ranks(2);
  ranks.Fork(ranks.Options(1),
             [](ProcessGroup& group) { (void)group.Receive(0, 20'000'000'000, "nothing"); });
  const auto group = ProcessGroup::Join(ranks.Zero());
  ExpectError(ErrorCode::kMeasurement, {"rank 1 (", "did not answer within 0.2 s: its part"}, [&] {
    (void)group->Receive(1, 200'000'000, "its part");
  });
}

}  // namespace
}  // namespace dbsp::runtime
