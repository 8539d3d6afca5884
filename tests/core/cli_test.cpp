// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <stdexcept>
#include <system_error>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome RunWith(const std::vector<const char*>& arguments, const std::function<int()>& body) {
  CLI::App app("A tool of a test", "dbsp-test");
  int ranks = 0;
  app.add_option("--ranks", ranks, "Ranks");
  app.add_subcommand("make", "Makes");
  std::vector<const char*> argv = {"dbsp-test"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = RunTool(app, static_cast<int>(argv.size()), argv.data(), body);
  Outcome outcome{code, ::testing::internal::GetCapturedStdout(), ""};
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(RunToolTest, BodyDecidesTheExitCode) {
  EXPECT_EQ(RunWith({"--ranks", "3"}, [] { return 0; }).code, 0);
  EXPECT_EQ(RunWith({}, [] { return 1; }).code, 1);
}

TEST(RunToolTest, ErrorsAreOneLineAndAnExitCode) {
  const Outcome outcome =
      RunWith({}, []() -> int { Fail(ErrorCode::kUnavailable, "no {}", "driver"); });
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.err, "dbsp-test: error: no driver\n");
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(RunWith({}, []() -> int { throw std::bad_alloc(); }).code, 3);
  const Outcome fault = RunWith({}, []() -> int { throw std::logic_error("oops"); });
  EXPECT_EQ(fault.code, 4);
  EXPECT_THAT(fault.err, HasSubstr("internal: oops"));
}

TEST(RunToolTest, MisspeltWordsAreAnsweredWithTheNearest) {
  const auto never = []() -> int { throw std::logic_error("the body ran"); };
  Outcome outcome = RunWith({"--rank=3"}, never);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("unknown flag '--rank'; nearest known: '--ranks'"));
  outcome = RunWith({"mkae"}, never);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("unknown command 'mkae'; nearest known: 'make'"));
  outcome = RunWith({"--ranks", "three"}, never);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--ranks"));
}

TEST(RunToolTest, HelpAndVersionGoToStdoutAndSucceed) {
  const auto never = []() -> int { throw std::logic_error("the body ran"); };
  Outcome outcome = RunWith({"--version"}, never);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("dbsp-test 0."));
  EXPECT_THAT(outcome.out, HasSubstr("commit " + BuildCommit()));
  outcome = RunWith({"--help"}, never);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("--ranks"));
}

TEST(RunToolTest, TextFromOutsideCannotActOnTheTerminal) {
  const auto body = []() -> int {
    Progress("a\x1b[31m\nforged");
    WriteStdout("b\x1b[31m\nline\n");
    throw std::logic_error("c\x1b[31m\nforged \xff");
  };
  const Outcome outcome = RunWith({}, body);
  EXPECT_EQ(outcome.err,
            "a\\u001b[31m\\nforged\n"
            "dbsp-test: error: internal: c\\u001b[31m\\nforged \\xff\n");
  EXPECT_EQ(outcome.out, "b\\u001b[31m\nline\n");
}

TEST(RunToolTest, AThreadThatCannotBeStartedIsUnavailable) {
  const Outcome outcome = RunWith({}, []() -> int {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
  });
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("cannot start a thread"));
}

TEST(RunToolTest, QuietSilencesProgressOnly) {
  const auto body = [] {
    Progress("working");
    WriteStdout("result\n");
    return 0;
  };
  EXPECT_EQ(RunWith({}, body).err, "working\n");
  const Outcome quiet = RunWith({"--quiet"}, body);
  SetQuiet(false);
  EXPECT_EQ(quiet.err, "");
  EXPECT_EQ(quiet.out, "result\n");
}

TEST(WriteStdoutTest, FullDeviceIsAnError) {
  std::fflush(stdout);
  const int saved = ::dup(STDOUT_FILENO);
  FILE* full = std::fopen("/dev/full", "w");
  if (full == nullptr) GTEST_SKIP() << "this machine has no /dev/full";
  ::dup2(::fileno(full), STDOUT_FILENO);
  std::string message;
  try {
    WriteStdout("text");
  } catch (const Error& error) {
    message = error.what();
  }
  std::clearerr(stdout);
  ::dup2(saved, STDOUT_FILENO);
  ::close(saved);
  std::fclose(full);
  EXPECT_THAT(message, HasSubstr("standard output: No space left"));
}

}  // namespace
}  // namespace dbsp
