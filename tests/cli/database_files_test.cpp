// SPDX-License-Identifier: Apache-2.0
// --db of every tool: names that are no files, databases that somebody changed, remains of killed
// writers. Readers write nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "db/database.h"
#include "tests/cli/run_tool.h"
#include "tests/db/fixtures.h"
#include "tests/db/remains.h"

namespace dbsp::db {
namespace {

using dbsp::testing::RunTool;
using dbsp::testing::ToolResult;
using ::testing::HasSubstr;
using ::testing::Not;

class DatabaseFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_ / "f");
    const ToolResult made = RunTool("dbsp-workload",
                                    {"make",
                                     "--layers",
                                     "1",
                                     "--heads",
                                     "2",
                                     "--head-dim",
                                     "64",
                                     "--grid",
                                     "1,16,16",
                                     "--steps",
                                     "1",
                                     "--passes",
                                     "1",
                                     "--block",
                                     "64x64",
                                     "--mask",
                                     "random:density=0.5,seed=1",
                                     "-o",
                                     (folder_ / "w.json").string()});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const ToolResult plan = RunTool("dbsp-tune",
                                    {"--workload",
                                     (folder_ / "w.json").string(),
                                     "--cluster",
                                     "h200x8",
                                     "--ranks",
                                     "2",
                                     "-o",
                                     (folder_ / "plan.json").string()});
    ASSERT_EQ(plan.exit_code, 0) << plan.err;
  }

  void MakeDatabase(const std::filesystem::path& path) {
    Database database = Database::Open(path, OpenMode::kCreate);
    const std::int64_t environment = database.AddEnvironment(SomeMachine());
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      database.AddTrial(environment, RandomTrial(seed));
    }
  }

  /// Each tool with this database, readers first.
  [[nodiscard]] std::vector<std::pair<std::string, std::vector<std::string>>> Commands(
      const std::string& db) const {
    const std::string workload = (folder_ / "w.json").string();
    return {{"dbsp-report", {"--db", db, "--json"}},
            {"dbsp-tune",
             {"--workload",
              workload,
              "--db",
              db,
              "--ranks",
              "2",
              "-o",
              (folder_ / "new.json").string()}},
            {"dbsp-profile", {"--db", db, "--dry-run", "--budget", "100ms"}},
            {"dbsp-profile", {"--db", db, "--budget", "100ms"}},
            {"dbsp-profile", {"--db", db, "--budget", "100ms", "--tune-kernels"}},
            {"dbsp-replay", {(folder_ / "plan.json").string(), "--db", db, "--repeat", "1"}}};
  }

  /// Every tool ends with exit code 2 and one line that has `words`, and writes nothing into f/.
  void ExpectRefused(const std::string& db, const std::string& words) {
    const auto before = StateOf(folder_ / "f");
    for (const auto& [tool, arguments] : Commands(db)) {
      const ToolResult result = RunTool(tool, arguments);
      EXPECT_EQ(result.exit_code, 2) << tool << ": " << result.err;
      EXPECT_EQ(result.out, "") << tool;
      EXPECT_THAT(result.err, HasSubstr(words)) << tool;
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
      EXPECT_EQ(StateOf(folder_ / "f"), before) << tool;
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ / "new.json"));
  }

  dbsp::testing::TemporaryFolder folder_;
};

TEST_F(DatabaseFilesTest, NamesThatAreNoFilesAreRefusedAtOnce) {
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  ExpectRefused("", "expected the name of a database");
  ExpectRefused(":memory:", ":memory:: expected the name of a file");
  ExpectRefused("file:p.db?mode=memory", "file:p.db?mode=memory: expected the name of a file");
  ExpectRefused("/dev/zero",
                "/dev/zero: expected a database, found something that is not a regular");
  ExpectRefused((folder_ / "fifo").string(), "not a regular file");
  ExpectRefused((folder_ / "f").string(), "not a regular file");
}

TEST_F(DatabaseFilesTest, ChangedDatabasesAreRefused) {
  const std::filesystem::path path = folder_ / "f/p.db";
  for (const auto& [sql, words] :
       {std::pair{"CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM samples; END",
                  "trigger t was added"},
        std::pair{"PRAGMA user_version = -1", "found -1"},
        std::pair{"PRAGMA user_version = 0", "found 0"},
        std::pair{"PRAGMA user_version = 5", "differs from schema version 5"},
        std::pair{"PRAGMA user_version = 99", "found 99"},
        std::pair{"ALTER TABLE trials RENAME COLUMN suite TO suites",
                  "table trials: expected column suite, found suites"},
        std::pair{"ALTER TABLE plans RENAME TO p; CREATE VIEW plans AS SELECT * FROM p",
                  "plans is a view, expected a table"},
        std::pair{"PRAGMA foreign_keys = OFF; DELETE FROM environments",
                  "refers to no row of environments"}}) {
    SCOPED_TRACE(sql);
    std::filesystem::remove(path);
    MakeDatabase(path);
    OpenShell(path).Run(sql);
    ExpectRefused(path.string(), words);
  }
}

TEST_F(DatabaseFilesTest, RemainsBesideARestoredDatabaseAreNamed) {
  MakeDatabase(folder_ / "base.db");
  const std::filesystem::path path = folder_ / "f/p.db";
  LeaveLog(folder_ / "base.db", path);
  CopyTo(folder_ / "base.db", path);
  ExpectRefused(path.string(), "p.db-wal: a killed writer left it");
  std::filesystem::remove(path.string() + "-wal");
  LeaveJournal(folder_ / "base.db", path, true);
  Database::Open(folder_ / "base.db", OpenMode::kReadWrite).AddEnvironment(SomeMachine("other"));
  Database::Open(folder_ / "base.db", OpenMode::kReadWrite).AddEnvironment(SomeMachine("other"));
  CopyTo(folder_ / "base.db", path);
  ExpectRefused(path.string(), "p.db-journal: a killed writer left it");
}

TEST_F(DatabaseFilesTest, ReadersWriteNothingWhateverAWriterLeft) {
  MakeDatabase(folder_ / "base.db");
  const std::filesystem::path path = folder_ / "f/p.db";
  for (const std::string state : {"plain", "log", "journal"}) {
    SCOPED_TRACE(state);
    std::filesystem::remove_all(folder_ / "f");
    std::filesystem::create_directory(folder_ / "f");
    if (state == "plain") CopyTo(folder_ / "base.db", path);
    if (state == "log") LeaveLog(folder_ / "base.db", path);
    if (state == "journal") LeaveJournal(folder_ / "base.db", path, true);
    const auto before = StateOf(folder_ / "f");
    for (const auto& [tool, arguments] : Commands(path.string())) {
      const bool reader =
          tool == "dbsp-report" || tool == "dbsp-tune" ||
          std::find(arguments.begin(), arguments.end(), "--dry-run") != arguments.end();
      if (!reader) continue;
      const ToolResult result = RunTool(tool, arguments);
      // The trials are no basis for costs, and dbsp-tune says so after it has read them.
      EXPECT_EQ(result.exit_code, tool == "dbsp-tune" ? 2 : 0) << tool << ": " << result.err;
      EXPECT_THAT(result.err, Not(HasSubstr("killed"))) << tool;
      EXPECT_EQ(StateOf(folder_ / "f"), before) << tool;
    }
  }
}

}  // namespace
}  // namespace dbsp::db
