// SPDX-License-Identifier: Apache-2.0
// A user's kernels from the flag to the plan: dbsp-profile, dbsp-tune and dbsp-replay with plugins,
// good and broken ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/plugin_facts.h"
#include "db/database.h"
#include "tests/cli/run_tool.h"

namespace dbsp::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string PluginFile(const std::string& mode) {
  return DBSP_BINARY_DIR "/plugins/" + mode + ".so";
}

/// A folder with a workload of 4 heads and 256 tokens in blocks of 32 x 32.
class PluginToolsTest : public ::testing::Test {
 protected:
  PluginToolsTest() {
    const ToolResult made = RunTool("dbsp-workload",
                                    {"make",
                                     "--heads",
                                     "4",
                                     "--layers",
                                     "1",
                                     "--steps",
                                     "1",
                                     "--head-dim",
                                     "16",
                                     "--tokens",
                                     "250",
                                     "--block",
                                     "32x32",
                                     "--mask",
                                     "random:density=0.4,seed=3",
                                     "-o",
                                     Path("w.json")});
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return (folder_ / name).string();
  }

  [[nodiscard]] ToolResult Profile(const std::string& mode,
                                   const std::string& kernel,
                                   std::vector<std::string> more = {},
                                   const std::string& budget = "6s") const {
    std::vector<std::string> arguments{"--db",
                                       Path("p.db"),
                                       "--workload",
                                       Path("w.json"),
                                       "--ranks",
                                       "2",
                                       "--budget",
                                       budget,
                                       "--kernels",
                                       PluginFile(mode),
                                       "--kernel",
                                       kernel,
                                       "--json",
                                       "-q"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-profile", arguments);
  }
  /// Measures until a kernel has `least` attention trials: a slow machine needs several runs.
  [[nodiscard]] ToolResult Measure(const std::string& mode,
                                   const std::string& kernel,
                                   int least = 6) const {
    ToolResult profile;
    for (int run = 0; run < 20; ++run) {
      profile = Profile(mode, kernel);
      if (profile.exit_code != 0 || OutcomesOf(kernel).trials >= least) break;
    }
    return profile;
  }
  [[nodiscard]] ToolResult Tune(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"--workload",
                                       Path("w.json"),
                                       "--db",
                                       Path("p.db"),
                                       "--ranks",
                                       "2",
                                       "-o",
                                       Path("plan.json")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-tune", arguments);
  }
  [[nodiscard]] ToolResult Replay(std::vector<std::string> more) const {
    std::vector<std::string> arguments{
        Path("plan.json"), "--db", Path("p.db"), "--verify", "--repeat", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-replay", arguments);
  }
  [[nodiscard]] std::vector<db::StoredTrial> Trials() const {
    return db::Database::Open(Path("p.db"), db::OpenMode::kReadOnly).Trials();
  }
  /// Outcomes and details of the attention trials of a kernel.
  struct Outcomes {
    std::set<TrialOutcome> outcomes;
    std::string details;
    int trials = 0;
  };
  [[nodiscard]] Outcomes OutcomesOf(const std::string& kernel) const {
    Outcomes found;
    for (const db::StoredTrial& stored : Trials()) {
      const auto* attention = std::get_if<AttentionConfig>(&stored.trial.config);
      if (attention == nullptr || !attention->kernel.starts_with(kernel)) continue;
      found.outcomes.insert(stored.trial.outcome);
      found.details += stored.trial.detail + "\n";
      ++found.trials;
    }
    return found;
  }

  TemporaryFolder folder_;
};

TEST_F(PluginToolsTest, AKernelIsMeasuredPlannedReplayedAndVerified) {
  const std::string id = "ref.csr@1.0#" + PluginFileHash(PluginFile("good"));
  const ToolResult profile = Measure("good", "ref.csr");
  ASSERT_EQ(profile.exit_code, 0) << profile.err;
  const Outcomes measured = OutcomesOf(id);
  EXPECT_GE(measured.trials, 4);
  EXPECT_EQ(measured.outcomes, std::set{TrialOutcome::kOk});
  EXPECT_THAT(measured.details, HasSubstr("prepared in "));

  const ToolResult tune = Tune({"--kernels", PluginFile("good")});
  ASSERT_EQ(tune.exit_code, 0) << tune.err;
  const Plan plan = ReadPlan(Path("plan.json"));
  EXPECT_EQ(plan.strategies[static_cast<std::size_t>(plan.cells[0].strategy)].kernel, id);

  const ToolResult without = Replay({});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, AllOf(HasSubstr(id), HasSubstr("give its file with --kernels")));
  const ToolResult changed = Replay({"--kernels", PluginFile("wrong")});
  EXPECT_EQ(changed.exit_code, 2);
  EXPECT_THAT(changed.err, HasSubstr("the file of --kernels has changed"));

  for (const char* transport : {"serial", "threads"}) {
    const ToolResult replay =
        Replay({"--kernels", PluginFile("good"), "--transport", transport, "--force"});
    EXPECT_EQ(replay.exit_code, 0) << replay.err;
    EXPECT_THAT(replay.out, AllOf(HasSubstr("verified    passed"), HasSubstr("kernel      " + id)));
  }
  EXPECT_THAT(Profile("good", "ref.csr").out, HasSubstr(R"("status": "reused")"));
}

TEST_F(PluginToolsTest, AKernelWithoutLogSumExpIsPlannedWithoutARing) {
  ASSERT_EQ(Measure("good", "ref.no_lse").exit_code, 0);
  const ToolResult tune = Tune({"--compare", "--kernels", PluginFile("good")});
  ASSERT_EQ(tune.exit_code, 0) << tune.err;
  EXPECT_THAT(tune.err,
              AllOf(HasSubstr("ring R2 excluded: kernel ref.no_lse@1.0#"),
                    HasSubstr("writes no log-sum-exp, so that the partial results of a ring cannot "
                              "be merged")));
  const ToolResult replay = Replay({"--kernels", PluginFile("good"), "--force"});
  EXPECT_EQ(replay.exit_code, 0) << replay.err;
  EXPECT_THAT(replay.out, HasSubstr("no log-sum-exp: the kernel writes none"));

  const ToolResult ring = Tune({"--families", "ring", "--plain"});
  EXPECT_EQ(ring.exit_code, 2) << ring.out;
  EXPECT_THAT(ring.err, HasSubstr("writes no log-sum-exp"));
}

TEST_F(PluginToolsTest, TheDeclaredErrorIsTheLimitOfTheChecks) {
  const ToolResult profile = Measure("good", "ref.quantised");
  ASSERT_EQ(profile.exit_code, 0) << profile.err;
  ASSERT_EQ(Tune({"--kernels", PluginFile("good")}).exit_code, 0);
  const ToolResult replay = Replay({"--kernels", PluginFile("good"), "--force"});
  EXPECT_EQ(replay.exit_code, 0) << replay.err << replay.out;
  const ToolResult strict =
      Replay({"--kernels", PluginFile("good"), "--force", "--tolerance", "1e-5"});
  EXPECT_EQ(strict.exit_code, 1) << "an own tolerance is kept";
}

TEST_F(PluginToolsTest, EveryFaultOfAKernelIsItsOwnFailedTrial) {
  const struct {
    const char* mode;
    TrialOutcome outcome;
    const char* words;
  } cases[] = {
      {"wrong", TrialOutcome::kWrong, "the relative error of 3 rows against fp64 is"},
      {"not_written", TrialOutcome::kWrong, "has log-sum-exp nan and output nan"},
      {"error", TrialOutcome::kFailed, "launch failed: the kernel refuses"},
      {"prepare_error", TrialOutcome::kFailed, "prepare failed: the JIT has no compiler"},
      {"crash", TrialOutcome::kFailed, "its process was killed by signal 11"},
      {"exit", TrialOutcome::kFailed, "its process ended with exit code 3"},
      {"hang", TrialOutcome::kTimeout, "no answer within"},
  };
  for (const auto& [mode, outcome, words] : cases) {
    // All kernels of one file, so that a broken one stands beside good ones.
    // Long enough that a good kernel answers on a loaded machine, too.
    const bool hangs = std::string_view(mode) == "hang";
    const ToolResult profile =
        Profile(mode, "ref.", {"--deadline", hangs ? "10s" : "60s"}, hangs ? "20s" : "4s");
    EXPECT_EQ(profile.exit_code, 1) << mode << ": " << profile.err;
    const Outcomes bad = OutcomesOf("ref.csr@1.0#" + PluginFileHash(PluginFile(mode)));
    EXPECT_TRUE(bad.outcomes.contains(outcome)) << mode << ": " << bad.details;
    EXPECT_FALSE(bad.outcomes.contains(TrialOutcome::kOk)) << mode;
    EXPECT_THAT(bad.details, HasSubstr(words)) << mode;
    const Outcomes good = OutcomesOf("ref.padded@1.0#" + PluginFileHash(PluginFile(mode)));
    EXPECT_EQ(good.outcomes, std::set{TrialOutcome::kOk}) << mode << ": " << good.details;
  }
}

TEST_F(PluginToolsTest, TuneKernelsChoosesAmongOursAndTheirs) {
  const ToolResult tuned = Profile("crash", "", {"--tune-kernels", "--deadline", "60s"}, "8s");
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  const Json document = ParseJson(tuned.out, "choices");
  const Json& shape = document["shapes"][0];
  EXPECT_EQ(shape["default"], "cpu.block_sparse");
  bool crashed = false;
  for (const Json& trial : shape["trials"]) {
    crashed |=
        trial["kernel"].get<std::string>().starts_with("ref.csr@") && trial["outcome"] == "failed";
  }
  EXPECT_TRUE(crashed) << shape;
}

TEST_F(PluginToolsTest, APluginThatCannotBeUsedEndsBeforeAnythingIsMeasured) {
  for (const char* mode : {"old_abi", "short_table", "short_info", "no_symbol"}) {
    const ToolResult profile = Profile(mode, "ref.");
    EXPECT_EQ(profile.exit_code, 2) << mode;
    EXPECT_THAT(profile.err, StartsWith("dbsp-profile: error: --kernels " + PluginFile(mode)));
    EXPECT_EQ(std::count(profile.err.begin(), profile.err.end(), '\n'), 1) << profile.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "p.db"));
  EXPECT_EQ(Profile("cuda_memory", "ref.").exit_code, 3);
  EXPECT_EQ(Profile("absent", "ref.").exit_code, 2);
  const ToolResult output =
      RunTool("dbsp-profile", {"--db", PluginFile("good"), "--kernels", PluginFile("good"), "-q"});
  EXPECT_EQ(output.exit_code, 2) << "the plugin is an input, so that it is no output";
  const ToolResult analytic = RunTool("dbsp-tune",
                                      {"--workload",
                                       Path("w.json"),
                                       "--cluster",
                                       "h200x2",
                                       "--compare",
                                       "--kernels",
                                       PluginFile("good")});
  EXPECT_EQ(analytic.exit_code, 2);
  EXPECT_THAT(analytic.err, HasSubstr("give --db FILE"));
}

TEST_F(PluginToolsTest, AFileThatWasNotMeasuredIsNamedWithTheCommand) {
  ASSERT_EQ(Measure("good", "ref.csr").exit_code, 0);
  const ToolResult tune = Tune({"--kernels", PluginFile("crash")});
  EXPECT_EQ(tune.exit_code, 2);
  EXPECT_THAT(tune.err,
              AllOf(HasSubstr("no kernel of this file was measured"),
                    HasSubstr("measured are ref.csr@1.0#"),
                    HasSubstr("--kernels " + PluginFile("crash"))));
}

}  // namespace
}  // namespace dbsp::testing
