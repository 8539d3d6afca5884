// SPDX-License-Identifier: Apache-2.0
// scripts/lib/ptxas-gate over a stand-in for nvcc that prints what ptxas prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "test_paths.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Lines of nvcc 13.0's ptxas -v.
constexpr const char* kClean =
    "ptxas info    : 0 bytes gmem\n"
    "ptxas info    : Compiling entry function '_Z2OkPf' for 'sm_90a'\n"
    "ptxas info    : Function properties for _Z2OkPf\n"
    "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
    "ptxas info    : Used 168 registers, used 1 barriers, 512 bytes smem\n"
    "ptxas info    : Compile time = 2.989 ms\n";
constexpr const char* kInjectedArrive =
    "ptxas info    : (C7519) warpgroup.arrive is injected in around line 45 by compiler\n";
constexpr const char* kSerialised =
    "ptxas info    : (C7511) Potential Performance Loss: wgmma.mma_async instructions are "
    "serialized "
    "due to insufficient register resources for the wgmma pipeline in the function '_Z2OkPf'\n";
constexpr const char* kSpilled =
    "    1016 bytes stack frame, 1456 bytes spill stores, 1456 bytes spill loads\n";
constexpr const char* kDropped =
    "ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored\n";

struct Outcome {
  int exit_code = -1;
  bool object = false;
  std::string log;
  std::string err;
};

Outcome Compile(const std::string& words, int exit_code = 0) {
  const dbsp::testing::TemporaryFolder folder;
  std::ofstream(folder / "words") << words;
  const std::string object = (folder / "a.o").string();
  const std::string fake = "cat " + (folder / "words").string() + " >&2; : >" + object + "; exit " +
                           std::to_string(exit_code);
  const std::string command = DBSP_SOURCE_DIR "/scripts/lib/ptxas-gate sh -c " +
                              dbsp::testing::ShellQuote(fake) + " sh -c x.cu -o " + object + " 2>" +
                              (folder / "err").string();
  const int status = std::system(command.c_str());
  Outcome outcome;
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  outcome.object = std::filesystem::exists(object);
  outcome.log = dbsp::testing::FileText(object + ".ptxas");
  outcome.err = dbsp::testing::FileText(folder / "err");
  return outcome;
}

TEST(PtxasGateTest, ACleanCompilationIsSilentAndLeavesItsFigures) {
  const Outcome outcome = Compile(kClean);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.object);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.log, kClean);
}

TEST(PtxasGateTest, WhatCostsSpeedInSilenceIsRefused) {
  for (const char* words : {kSerialised, kSpilled, kDropped}) {
    const Outcome outcome = Compile(std::string(kClean) + words);
    EXPECT_EQ(outcome.exit_code, 1) << words;
    EXPECT_FALSE(outcome.object) << "a kept object would pass for built: " << words;
    EXPECT_THAT(outcome.err, HasSubstr(words));
  }
}

TEST(PtxasGateTest, AHarmlessRemarkIsShownAndAccepted) {
  const Outcome outcome = Compile(std::string(kClean) + kInjectedArrive);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.object);
  EXPECT_THAT(outcome.err, HasSubstr("C7519"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("registers")));
}

TEST(PtxasGateTest, ACompilersOwnErrorKeepsItsCodeAndWords) {
  const Outcome outcome = Compile("x.cu(3): error: expected a ';'\n", 2);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("expected a ';'"));
}

}  // namespace
