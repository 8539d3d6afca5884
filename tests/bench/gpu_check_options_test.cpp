// SPDX-License-Identifier: Apache-2.0
// The command line of gpu_check.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "bench/gpu_check/options.h"
#include "core/error.h"
#include "kernels/gpu/gpu_variants.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/environment_variable.h"

namespace dbsp::gpu_check {
namespace {

using ::testing::HasSubstr;

/// Options of a command line. errors  CLI::ParseError
Options Parse(std::vector<std::string> arguments) {
  CLI::App app;
  Options options;
  AddOptions(app, options);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes the last argument first.
  app.parse(arguments);
  return options;
}

/// The message of the error that parsing throws.
std::string ErrorOf(const std::vector<std::string>& arguments) {
  try {
    (void)Parse(arguments);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "no error";
}

TEST(GpuCheckOptionsTest, PartsAndFlagsMayBeMixed) {
  const Options options =
      Parse({"correct", "--out", "x", "--budget", "60", "speed", "--filter", ".d64", "--smoke"});
  EXPECT_EQ(options.parts, (std::vector<std::string>{"correct", "speed"}));
  EXPECT_EQ(options.out, "x");
  EXPECT_EQ(options.budget_s, 60);
  EXPECT_EQ(options.filter, ".d64");
  EXPECT_TRUE(options.smoke);
  EXPECT_EQ(options.seed, 1U);
  EXPECT_EQ(options.device, 0);
}

TEST(GpuCheckOptionsTest, AFilterIsAPartOfANameOrOneExactName) {
  const Options part = Parse({"correct", "--filter", "block64x64.d64"});
  EXPECT_TRUE(FilterMatches(part, "sm90.block64x64.d64"));
  EXPECT_TRUE(FilterMatches(part, "sm80.block64x64.d64"));
  const Options exact = Parse({"correct", "--filter", "=sm90.block64x64.d64"});
  EXPECT_TRUE(FilterMatches(exact, "sm90.block64x64.d64"));
  EXPECT_FALSE(FilterMatches(exact, "sm90.block64x64.d641"));
  EXPECT_FALSE(FilterMatches(exact, "sm90.block64x64.d6"));
  EXPECT_TRUE(FilterMatches(Parse({"correct"}), "memory"));
}

TEST(GpuCheckOptionsTest, AFilterThatChoosesNothingIsRefused) {
  for (const char* good : {"", "sm90", "=memory", "sla", "=sm80.block64x64.d64"}) {
    ApplySelection(Parse({"correct", "--filter", good}));
  }
  dbsp::testing::ExpectError(
      ErrorCode::kInvalidArgument,
      {"--filter: unknown name 'sm90.block64x64.d'", "'sm90.block64x64.d64'"},
      [] {
        ApplySelection(Parse({"correct", "--filter", "=sm90.block64x64.d"}));
      });
  dbsp::testing::ExpectError(
      ErrorCode::kInvalidArgument, {"--filter: no kernel or check", "'sm91'"}, [] {
        ApplySelection(Parse({"correct", "--filter", "sm91"}));
      });
}

TEST(GpuCheckOptionsTest, SkippedKernelsAreAddedToTheVariable) {
  const dbsp::testing::EnvironmentVariable before(kernels::gpu::kSkipKernelsVariable,
                                                  "sm80.block64x64.d64");
  ApplySelection(Parse({"correct", "--skip", "sm90.gather64.d64,sm90.gather64.d128"}));
  EXPECT_THAT(
      kernels::gpu::SkippedKernels(),
      ::testing::ElementsAre("sm80.block64x64.d64", "sm90.gather64.d64", "sm90.gather64.d128"));
  dbsp::testing::ExpectError(ErrorCode::kInvalidArgument, {"unknown kernel 'gather'"}, [] {
    ApplySelection(Parse({"correct", "--skip", "gather"}));
  });
}

TEST(GpuCheckOptionsTest, BadValuesAreRefused) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("part is required"));
  EXPECT_THAT(ErrorOf({"speed", "--budget"}), HasSubstr("--budget"));
  EXPECT_THAT(ErrorOf({"speed", "--budget", "0"}), HasSubstr("--budget"));
  EXPECT_THAT(ErrorOf({"speed", "--budget", "1x"}), HasSubstr("1x"));
  EXPECT_THAT(ErrorOf({"speed", "--device", "-1"}), HasSubstr("--device"));
  EXPECT_THAT(ErrorOf({"speed", "--colour", "1"}), HasSubstr("--colour"));
}

TEST(GpuCheckOptionsTest, AnUnknownPartIsRefused) {
  CheckParts(Parse({"speed", "list"}));
  dbsp::testing::ExpectError(
      ErrorCode::kInvalidArgument, {"unknown part 'speeed'; nearest known: 'speed'"}, [] {
        CheckParts(Parse({"correct", "speeed"}));
      });
}

}  // namespace
}  // namespace dbsp::gpu_check
