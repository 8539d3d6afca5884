// SPDX-License-Identifier: Apache-2.0
// The tools are killed before one call that changes a file, or one such call or one allocation
// fails, for calls spread over the whole run. Files must then be old or whole, the database must
// keep what it had, and the same command must succeed afterwards and leave nothing else behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/plan.h"
#include "db/database.h"
#include "tests/cli/run_tool.h"

namespace dbsp::testing {
namespace {

namespace fs = std::filesystem;

struct Counts {
  long calls = 0;
  long allocations = 0;
};

/// One command of a tool. "@" in an argument stands for the folder.
struct Operation {
  std::string name;
  std::string tool;
  std::vector<std::string> arguments;
  std::string output;  ///< file that it replaces, "" for none
  bool writes_database = false;
  int points = 30;  ///< calls tried for each kind of fault
};

void PrintTo(const Operation& operation, std::ostream* out) { *out << operation.name; }

const std::vector<Operation>& Operations() {
  static const std::vector<Operation> operations{
      {"make",
       "dbsp-workload",
       {"-q",
        "make",
        "--heads",
        "2",
        "--head-dim",
        "64",
        "--grid",
        "2,8,8",
        "--layers",
        "2",
        "--steps",
        "2",
        "--mask",
        "random:density=0.3,seed=1",
        "--block",
        "32x32",
        "-o",
        "@/made.json"},
       "made.json"},
      {"export",
       "dbsp-workload",
       {"-q", "export", "@/w.json", "--step", "0", "--layer", "0", "-o", "@/m.npz"},
       "m.npz"},
      {"tune",
       "dbsp-tune",
       {"-q",
        "--workload",
        "@/w.json",
        "--cluster",
        "h100x8",
        "--ranks",
        "2",
        "-o",
        "@/made.json.zst"},
       "made.json.zst"},
      {"report",
       "dbsp-report",
       {"-q", "--db", "@/p.db", "--plan", "@/plan.json", "-o", "@/r.html"},
       "r.html"},
      {"replay",
       "dbsp-replay",
       {"-q", "@/plan.json", "--db", "@/p.db", "--cells", "first:1"},
       "",
       true},
      {"profile",
       "dbsp-profile",
       {"-q", "--workload", "@/w.json", "--db", "@/p.db", "--ranks", "2", "--budget", "1s"},
       "",
       true,
       8},
  };
  return operations;
}

std::set<std::string> Names(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

class FaultSweepTest : public ::testing::TestWithParam<Operation> {
 protected:
  static void SetUpTestSuite() {
    prepared_ = new TemporaryFolder;
    const auto run = [](const std::string& tool, std::vector<std::string> arguments) {
      const ToolResult result = RunTool(tool, Placed(std::move(arguments), prepared_->path()));
      ASSERT_EQ(result.exit_code, 0) << result.err;
    };
    run("dbsp-workload",
        {"-q",
         "make",
         "--heads",
         "2",
         "--head-dim",
         "64",
         "--grid",
         "2,8,8",
         "--layers",
         "2",
         "--steps",
         "2",
         "--mask",
         "random:density=0.3,seed=2",
         "--block",
         "32x32",
         "-o",
         "@/w.json"});
    run("dbsp-tune",
        {"-q",
         "--workload",
         "@/w.json",
         "--cluster",
         "h100x8",
         "--ranks",
         "2",
         "-o",
         "@/plan.json"});
    run("dbsp-profile",
        {"-q", "--workload", "@/w.json", "--db", "@/p.db", "--ranks", "2", "--budget", "1s"});
    for (const Operation& operation : Operations()) {
      if (!operation.output.empty()) std::ofstream(*prepared_ / operation.output) << kOld;
    }
  }
  static void TearDownTestSuite() {
    delete prepared_;
    prepared_ = nullptr;
  }

  static std::vector<std::string> Placed(std::vector<std::string> arguments,
                                         const fs::path& folder) {
    for (std::string& argument : arguments) {
      if (argument.starts_with('@')) argument = folder.string() + argument.substr(1);
    }
    return arguments;
  }

  /// Runs the operation in `folder` under the preloaded library. `counts` gets the calls.
  static ToolResult Run(const Operation& operation,
                        const fs::path& folder,
                        const std::string& fault,
                        Counts* counts = nullptr) {
    const TemporaryFolder around;
    std::string command = "LD_PRELOAD=" + ShellQuote(DBSP_BINARY_DIR "/bin/libdbsp_fault_shim.so") +
                          " DBSP_FAULT=" + fault +
                          " DBSP_FAULT_COUNTS=" + ShellQuote((around / "counts").string()) + " " +
                          ShellQuote(std::string(DBSP_BINARY_DIR "/bin/") + operation.tool);
    for (const std::string& argument : Placed(operation.arguments, folder)) {
      command += " " + ShellQuote(argument);
    }
    command += " </dev/null >" + ShellQuote((around / "out").string()) + " 2>" +
               ShellQuote((around / "err").string());
    const int status = std::system(command.c_str());
    ToolResult result;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    result.out = FileText(around / "out");
    result.err = FileText(around / "err");
    if (counts != nullptr) std::ifstream(around / "counts") >> counts->calls >> counts->allocations;
    return result;
  }

  /// Calls and allocations of a run without a fault.
  static Counts CountsOf(const Operation& operation) {
    const TemporaryFolder folder;
    fs::copy(prepared_->path(), folder.path());
    Counts counts;
    const ToolResult result = Run(operation, folder.path(), "none:0", &counts);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_GT(counts.calls, 0);
    EXPECT_GT(counts.allocations, 0);
    return counts;
  }

  static std::vector<long> Points(long count, int wanted, unsigned seed) {
    std::set<long> points;
    for (long i = 1; i <= std::min<long>(count, wanted / 3); ++i) {
      points.insert(i);  // the first ones
      points.insert(count + 1 - i);  // the last ones
    }
    std::mt19937 random(seed);
    std::uniform_int_distribution<long> any(1, std::max(1L, count));
    while (static_cast<long>(points.size()) < std::min<long>(count, wanted))
      points.insert(any(random));
    return {points.begin(), points.end()};
  }

  /// The output is the old one or whole, and the database kept what it had.
  static void ExpectNothingLost(const Operation& operation, const fs::path& folder) {
    if (!operation.output.empty()) {
      const std::string text = FileText(folder / operation.output);
      EXPECT_TRUE(text == kOld || IsWhole(operation, folder / operation.output, text))
          << text.size() << " bytes";
    }
    const auto stored = db::Database::Open(folder / "p.db", db::OpenMode::kReadOnly);
    const auto before = db::Database::Open(*prepared_ / "p.db", db::OpenMode::kReadOnly);
    EXPECT_TRUE(stored.Integrity().ok());
    const auto kept = stored.Trials();
    EXPECT_GE(kept.size(), before.Trials().size());
    for (const db::StoredTrial& trial : kept) {
      EXPECT_EQ(trial.trial.samples_ns.empty(), trial.trial.outcome != TrialOutcome::kOk);
    }
    for (const db::StoredReplay& replay : stored.Replays())
      EXPECT_FALSE(replay.replay.cells.empty());
  }

  /// The page and the plan hold the time at which they were made.
  static bool IsWhole(const Operation& operation, const fs::path& path, const std::string& text) {
    if (operation.name == "report") return text.ends_with("</html>\n");
    if (operation.name == "tune") return ReadPlan(path).cells.size() == 4;
    static std::map<std::string, std::string> references;
    std::string& reference = references[operation.name];
    if (reference.empty()) {
      const TemporaryFolder folder;
      fs::copy(prepared_->path(), folder.path());
      EXPECT_EQ(Run(operation, folder.path(), "none:0").exit_code, 0);
      reference = FileText(folder / operation.output);
    }
    return text == reference;
  }

  static constexpr const char* kOld = "an old file\n";
  static TemporaryFolder* prepared_;
};

TemporaryFolder* FaultSweepTest::prepared_ = nullptr;

TEST_P(FaultSweepTest, AKillLosesNothingAndTheNextRunClearsUp) {
  const Operation& operation = GetParam();
  const Counts counts = CountsOf(operation);
  int killed = 0;
  for (const long point : Points(counts.calls, operation.points, 1)) {
    SCOPED_TRACE(fmt::format("killed before call {} of {}", point, counts.calls));
    const TemporaryFolder folder;
    fs::copy(prepared_->path(), folder.path());
    killed += Run(operation, folder.path(), fmt::format("kill:{}", point)).exit_code == 137;
    ExpectNothingLost(operation, folder.path());
    const ToolResult again = Run(operation, folder.path(), "none:0");
    EXPECT_EQ(again.exit_code, 0) << again.err;
    ExpectNothingLost(operation, folder.path());
    EXPECT_EQ(Names(folder.path()), Names(prepared_->path()));
    if (HasFailure()) return;
  }
  EXPECT_GT(killed, 0);
}

TEST_P(FaultSweepTest, AFailedCallIsOneErrorLineAndNothingIsLost) {
  const Operation& operation = GetParam();
  const Counts counts = CountsOf(operation);
  int failed = 0;
  for (const char* error : {"ENOSPC", "EIO", "EINTR", "EDQUOT"}) {
    for (const long point : Points(counts.calls, operation.points / 2, 2)) {
      SCOPED_TRACE(fmt::format("call {} of {} fails with {}", point, counts.calls, error));
      const TemporaryFolder folder;
      fs::copy(prepared_->path(), folder.path());
      const ToolResult result = Run(operation, folder.path(), fmt::format("{}:{}", error, point));
      EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 2) << result.exit_code << result.err;
      if (result.exit_code != 0) {
        ++failed;
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
        EXPECT_THAT(result.err, ::testing::StartsWith(operation.tool + ": error: "));
      }
      ExpectNothingLost(operation, folder.path());
      EXPECT_EQ(Names(folder.path()), Names(prepared_->path())) << result.err;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(failed, 0);
}

TEST_P(FaultSweepTest, AnAllocationThatFailsIsOneErrorLineAndNothingIsLost) {
  const Operation& operation = GetParam();
  const Counts counts = CountsOf(operation);
  int failed = 0;
  for (const long point : Points(counts.allocations, 2 * operation.points, 3)) {
    SCOPED_TRACE(fmt::format("allocation {} of {} fails", point, counts.allocations));
    const TemporaryFolder folder;
    fs::copy(prepared_->path(), folder.path());
    const ToolResult result = Run(operation, folder.path(), fmt::format("memory:{}", point));
    // The C library itself ends a process that has no memory for a thread's data.
    const bool c_library = result.err.starts_with("cannot allocate memory for thread-local data");
    EXPECT_TRUE(c_library || (result.exit_code >= 0 && result.exit_code <= 3))
        << result.exit_code << result.err;
    if (result.exit_code != 0) {
      ++failed;
      // dbsp-profile names trials that failed on its standard output.
      const auto lines = std::count(result.err.begin(), result.err.end(), '\n');
      EXPECT_TRUE(lines == 1 || (lines == 0 && !result.out.empty())) << result.err;
    }
    ExpectNothingLost(operation, folder.path());
    if (HasFailure()) return;
  }
  EXPECT_GT(failed, 0);
}

INSTANTIATE_TEST_SUITE_P(Tools,
                         FaultSweepTest,
                         ::testing::ValuesIn(Operations()),
                         [](const auto& operation) { return operation.param.name; });

}  // namespace
}  // namespace dbsp::testing
