// SPDX-License-Identifier: Apache-2.0
// Runs the dbsp-report binary: flags, exit codes, output, and no changed files on failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "core/file.h"
#include "core/json.h"
#include "reports/page_bundle.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::dbsp::testing::RunTool;
using ::dbsp::testing::TemporaryFolder;
using ::dbsp::testing::ToolResult;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class DbspReportTest : public ::testing::Test {
 protected:
  void SetUp() override { WriteFixture(folder_.path()); }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return (folder_ / name).string();
  }
  TemporaryFolder folder_;
};

/// Fails when the page contains text that makes a browser fetch something.
void ExpectSelfContained(const std::string& html) {
  for (const char* word : {"src=", "@import", "url(http", "fetch(", "XMLHttpRequest", "import("}) {
    EXPECT_THAT(html, Not(HasSubstr(word)));
  }
}

TEST_F(DbspReportTest, WritesOneSelfContainedPageOrSaysThatItWasNotBuilt) {
  const ToolResult run = RunTool("dbsp-report",
                                 {"--db",
                                  Path("p.db"),
                                  "--plan",
                                  Path("plan.json"),
                                  "--compare",
                                  Path("compare.json"),
                                  "-o",
                                  Path("r.html")});
  if (!BuiltPage()) {
    EXPECT_EQ(run.exit_code, 3);
    EXPECT_THAT(run.err, HasSubstr("page was not built: npm missing at build time"));
    return;
  }
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  const std::string html = ReadFile(folder_ / "r.html");
  EXPECT_THAT(html, StartsWith("<!doctype html>"));
  EXPECT_THAT(
      html,
      HasSubstr(
          "<title>dbsp report: small &lt;video&gt; &amp; &quot;model&quot; on 4 ranks</title>"));
  EXPECT_THAT(html, HasSubstr("\\u003c/script>\\u003c!-- not markup"));
  ExpectSelfContained(html);
}

TEST_F(DbspReportTest, JsonIsTheDocumentAndNoPageIsWritten) {
  const ToolResult run = RunTool("dbsp-report",
                                 {"--db",
                                  Path("p.db"),
                                  "--plan",
                                  Path("plan.json"),
                                  "--plan",
                                  Path("ulysses.json"),
                                  "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json document = Json::parse(run.out);
  EXPECT_EQ(document["schema"], "dbsp.report/1");
  EXPECT_EQ(document["plans"].size(), 2U);
  const ToolResult file = RunTool(
      "dbsp-report", {"--db", Path("p.db"), "--format", "json", "-o", Path("document.json")});
  ASSERT_EQ(file.exit_code, 0) << file.err;
  EXPECT_EQ(file.out, "");
  EXPECT_EQ(Json::parse(ReadFile(folder_ / "document.json"))["schema"], "dbsp.report/1");
}

TEST_F(DbspReportTest, EveryFormatIsWrittenWhereTheFlagsSay) {
  const std::vector<std::string> inputs{"--db", Path("p.db"), "--plan", Path("plan.json")};
  const auto report = [&](std::vector<std::string> more) {
    more.insert(more.begin(), inputs.begin(), inputs.end());
    return RunTool("dbsp-report", more);
  };
  ToolResult run = report({"--format", "markdown"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("### dbsp report: "));
  run = report({"--format", "csv", "--table", "trials"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("id,kind,suite,"));
  run = report({"--format", "csv", "-o", Path("new/tables")});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(ReadFile(folder_ / "new/tables/plans.csv"), StartsWith("plan,hash,"));
  EXPECT_THAT(ReadFile(folder_ / "new/tables/ledger.csv"), HasSubstr("attention"));
  run = report({"--format", "chrome-trace", "-o", Path("traces")});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  for (int rank = 0; rank < kFixtureRanks; ++rank) {
    const Json trace = Json::parse(ReadFile(folder_ / "traces" / fmt::format("rank{}.json", rank)));
    EXPECT_EQ(trace["distributedInfo"]["rank"], rank);
    EXPECT_GT(trace["traceEvents"].size(), 10U);
  }
}

TEST_F(DbspReportTest, FormatsThatDoNotFitTheFlagsAreUsageErrorsAndWriteNothing) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--format", "cvs"}, "nearest known: 'csv'"},
      {{"--format", "csv", "--table", "gain"}, "nearest known: 'gains'"},
      {{"--format", "json", "--table", "gains"}, "only --format csv"},
      {{"--json", "--format", "csv"}, "--json is --format json"},
      {{"--format", "csv", "-o", "-"}, "name a folder, or one table"},
      {{"--format", "chrome-trace", "-o", "/dev/stdout"}, "name a folder"},
      {{"--format", "markdown", "-o", Path("p.db")}, "would overwrite an input"},
      {{"--format", "csv", "-o", Path("plan.json")}, "plan.json"},
      {{"--format", "chrome-trace", "-o", Path("plan.json")}, "plan.json"}};
  const std::string plan = ReadFile(folder_ / "plan.json");
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(folder_.path()), {});
  };
  const auto before = files();
  for (auto [arguments, word] : cases) {
    arguments.insert(arguments.begin(), {"--db", Path("p.db"), "--plan", Path("plan.json")});
    const ToolResult run = RunTool("dbsp-report", arguments);
    EXPECT_EQ(run.exit_code, 2) << word << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr(word));
    EXPECT_EQ(run.out, "");
  }
  EXPECT_EQ(files(), before);
  EXPECT_EQ(ReadFile(folder_ / "plan.json"), plan);
}

TEST_F(DbspReportTest, BadInputPrintsOneLineExitsWithTwoAndKeepsTheOldPage) {
  WriteFileAtomically(folder_ / "r.html", "old page");
  const std::string plan = ReadFile(folder_ / "plan.json");
  WriteFileAtomically(folder_ / "cut.json", plan.substr(0, plan.size() / 3));
  WriteFileAtomically(folder_ / "other.json", R"({"schema": "dbsp.workload/1"})");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--db", Path("none.db")}, "none.db"},
      {{"--db", Path("p.db"), "--plan", Path("none.json")}, "none.json"},
      {{"--db", Path("p.db"), "--plan", Path("cut.json")}, "cut.json"},
      {{"--db", Path("plan.json")}, "plan.json"},
      {{"--db", Path("p.db"), "--compare", Path("other.json")}, "dbsp.compare/1"},
      {{"--plan", Path("plan.json"), "--compare", Path("cut.json")}, "cut.json"},
      {{"--db", Path("p.db"), "--plam", Path("plan.json")}, "--plan"},
      {{"--db", Path("p.db"), "extra"}, "extra"},
      {{}, "--db"}};
  for (auto [arguments, word] : cases) {
    arguments.insert(arguments.end(), {"--json", "-o", Path("r.html")});
    const ToolResult run = RunTool("dbsp-report", arguments);
    EXPECT_EQ(run.exit_code, 2) << word << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr(word));
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_EQ(run.out, "");
  }
  EXPECT_EQ(ReadFile(folder_ / "r.html"), "old page");
}

TEST_F(DbspReportTest, UnwritableOutputIsAnErrorThatNamesIt) {
  if (!BuiltPage()) GTEST_SKIP() << "this build has no page: npm was missing";
  const ToolResult run =
      RunTool("dbsp-report", {"--db", Path("p.db"), "-o", Path("no/such/folder/r.html")});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("no/such/folder"));
}

TEST_F(DbspReportTest, NeverWritesToTheDatabase) {
  const std::string before = ReadFile(folder_ / "p.db");
  ASSERT_EQ(RunTool("dbsp-report", {"--db", Path("p.db"), "--json"}).exit_code, 0);
  EXPECT_EQ(ReadFile(folder_ / "p.db"), before);
}

TEST_F(DbspReportTest, NamesItselfAndItsFlags) {
  EXPECT_THAT(RunTool("dbsp-report", {"--version"}).out, HasSubstr("dbsp-report 0."));
  const ToolResult help = RunTool("dbsp-report", {"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* flag : {"--db", "--plan", "--compare", "--output", "--json"}) {
    EXPECT_THAT(help.out, HasSubstr(flag));
  }
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  dbsp-report --db"));
}

}  // namespace
}  // namespace dbsp::reports
