// SPDX-License-Identifier: Apache-2.0
#include "core/number_flag.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using testing::ExpectError;

void Parse(const std::vector<std::string>& arguments) {
  CLI::App app("A tool of a test", "dbsp-test");
  int ranks = 0;
  std::int64_t work = 0;
  std::uint64_t seed = 0;
  double tolerance = 0;
  std::string name;
  app.add_option("--ranks", ranks, "Ranks")->check(CLI::Range(-100, 1000));
  app.add_option("--work", work, "Work");
  app.add_option("--seed", seed, "Seed")->capture_default_str();
  app.add_option("--tolerance", tolerance, "Tolerance")->check(CLI::Range(0.0, 1e6));
  app.add_option("--name", name, "A text that may look like a number");
  CLI::App* make = app.add_subcommand("make", "Makes");
  make->add_option("--price", tolerance, "Price");
  std::vector<const char*> argv = {"dbsp-test"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  app.parse(static_cast<int>(argv.size()), argv.data());
  CheckNumberFlags(app);
}

TEST(NumberFlagTest, DecimalNumbersOfTheTypeAreAccepted) {
  Parse({});
  Parse({"--ranks", "8", "--work", "9223372036854775807", "--seed", "18446744073709551615"});
  Parse({"--ranks", "-8", "--work", "0", "--tolerance", "1e-3", "--name", "nan"});
  Parse({"--tolerance", "5e-324", "make", "--price", "-1.5"});
}

TEST(NumberFlagTest, OtherNumbersAreRefusedByTheNameOfTheFlag) {
  const auto refuse = [](const std::vector<std::string>& arguments, const std::string& flag) {
    SCOPED_TRACE(arguments.back());
    ExpectError(ErrorCode::kInvalidArgument,
                {flag + ": expected ", "'" + arguments.back() + "'"},
                [&] { Parse(arguments); });
  };
  for (const char* number : {"nan", "NAN", "-nan"}) refuse({"--tolerance", number}, "--tolerance");
  for (const char* number : {"nan", "inf", "-inf", "1e999", "0x1p3"}) {
    refuse({"make", "--price", number}, "--price");
  }
  for (const char* number : {"010", "0x10", "-010"}) refuse({"--ranks", number}, "--ranks");
  for (const char* number : {"99999999999999999999", "-99999999999999999999"}) {
    refuse({"--work", number}, "--work");
  }
  for (const char* number : {"-1", "99999999999999999999", "017"}) {
    refuse({"--seed", number}, "--seed");
  }
}

}  // namespace
}  // namespace dbsp
