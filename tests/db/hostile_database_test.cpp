// SPDX-License-Identifier: Apache-2.0
// Databases that somebody changed: their schema, their content, single bytes. Each is refused in
// one line that names the file, and nothing is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <random>

#include "core/error.h"
#include "core/file.h"
#include "db/schema.h"
#include "db/sqlite.h"
#include "tests/db/fixtures.h"

namespace dbsp::db {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kReadWriteCreate = 0x2 | 0x4;  // SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE

/// A closed file with a record of every kind.
void MakeFile(const fs::path& path) {
  Database database = Database::Open(path, OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    database.AddTrial(environment, RandomTrial(seed));
  }
  database.AddTrial(environment,
                    SomeAttention(1, {5, 6}),
                    CounterRecord{.source = "none", .why = "", .values = {{"a", 1.5}}});
  database.AddKernel({.name = "k", .list = "blocks"});
  database.AddPlan(R"({"plan": 1})");
  database.AddReplay(environment, SomeReplay());
}

/// Writes the file of MakeFile(), which is made once.
void WriteFile(const fs::path& path) {
  static const std::string bytes = [] {
    const TempFolder folder;
    MakeFile(folder / "p.db");
    return ReadFile(folder / "p.db");
  }();
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Reads every record.
void ReadAll(const Database& database) {
  (void)database.Environments();
  (void)database.Trials();
  (void)database.Counters();
  (void)database.Kernels();
  (void)database.Plans();
  (void)database.Replays();
  (void)database.MeasurementHash();
}

/// Runs SQL as the sqlite3 shell would with a trusted file.
void Shell(const fs::path& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
  char* problem = nullptr;
  sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &problem);
  EXPECT_EQ(problem, nullptr) << sql << ": " << problem;
  sqlite3_free(problem);
  sqlite3_close(handle);
}

/// Message of the error in every mode, one line with the file's name. The file stays as it was.
std::string Refusal(const fs::path& path) {
  const std::string before = ReadFile(path);
  std::string message;
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
    try {
      ReadAll(Database::Open(path, mode));
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      message = error.what();
      EXPECT_EQ(ErrorCodeName(error.code()), std::string("corrupt_input")) << message;
      EXPECT_THAT(message, HasSubstr(path.string()));
      EXPECT_THAT(message, Not(HasSubstr("fault of dbsp")));
      EXPECT_THAT(message, Not(HasSubstr("\n")));
    }
  }
  EXPECT_EQ(ReadFile(path), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 1);
  return message;
}

/// Refusal of the file of MakeFile() after `sql`.
std::string RefusalAfter(const std::string& sql) {
  const TempFolder folder;
  WriteFile(folder / "p.db");
  Shell(folder / "p.db", sql);
  return Refusal(folder / "p.db");
}

TEST(HostileDatabaseTest, TriggersAreRefusedAndNeverRun) {
  EXPECT_THAT(
      RefusalAfter("CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM samples; END"),
      HasSubstr("trigger t was added"));
  EXPECT_THAT(RefusalAfter("CREATE TRIGGER samples AFTER INSERT ON trials BEGIN "
                           "UPDATE samples SET duration_ns = 1; END"),
              HasSubstr("trigger samples was added"));
  // A trigger that appears while the file is open.
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  Shell(folder / "p.db", "CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM samples; END");
  database.AddTrial(environment, SomeAttention(1, {5, 6}));
  EXPECT_EQ(database.Trials().at(0).trial.samples_ns, (std::vector<std::int64_t>{5, 6}));
}

TEST(HostileDatabaseTest, AChangedSchemaIsNamed) {
  for (const auto& [sql, words] :
       {std::pair{
            "PRAGMA legacy_alter_table = ON; ALTER TABLE trials RENAME COLUMN detail TO details",
            "table trials: expected column detail, found details"},
        std::pair{"ALTER TABLE plans DROP COLUMN stored_utc",
                  "table plans has no column stored_utc"},
        std::pair{"ALTER TABLE plans ADD COLUMN note TEXT", "table plans has another column note"},
        std::pair{"ALTER TABLE trials RENAME TO t; CREATE VIEW trials AS SELECT * FROM t",
                  "trials is a view, expected a table"},
        std::pair{"ALTER TABLE plans RENAME TO p", "table plans is missing"},
        std::pair{"DROP TABLE trial_counter_values; CREATE TABLE trial_counter_values("
                  "trial_id INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, "
                  "PRIMARY KEY (trial_id, name))",
                  "table trial_counter_values, column value: expected REAL NOT NULL, found TEXT"},
        std::pair{"DROP TABLE trial_counter_values; CREATE TABLE trial_counter_values("
                  "trial_id INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, "
                  "PRIMARY KEY (trial_id, name))",
                  "table trial_counter_values has other constraints"},
        std::pair{"DROP INDEX trials_by_key", "index trials_by_key is missing"},
        std::pair{"DROP VIEW v_ledger; CREATE VIEW v_ledger AS SELECT 1",
                  "view v_ledger has another definition"},
        std::pair{"CREATE UNIQUE INDEX mine ON samples(duration_ns)",
                  "index mine was added to table samples"},
        std::pair{"CREATE VIRTUAL TABLE mine USING fts5(x)",
                  "table mine was added: a virtual table"}}) {
    SCOPED_TRACE(sql);
    EXPECT_THAT(RefusalAfter(sql), HasSubstr(words));
  }
}

TEST(HostileDatabaseTest, TablesAndViewsOfTheUserAreKept) {
  const TempFolder folder;
  WriteFile(folder / "p.db");
  Shell(folder / "p.db",
        "CREATE TABLE notes(x); INSERT INTO notes VALUES (1); ANALYZE;"
        "CREATE VIEW mine AS SELECT count(*) AS n FROM trials");
  Database database = Database::Open(folder / "p.db", OpenMode::kReadWrite);
  database.AddTrial(1, SomeAttention(7, {5}));
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT n FROM mine"), "14");
  ReadAll(Database::Open(folder / "p.db", OpenMode::kReadOnly));
}

TEST(HostileDatabaseTest, AVersionWithoutItsSchemaIsRefused) {
  for (const auto& [version, words] :
       {std::pair{-1, "expected 1 to 10, found -1: no dbsp wrote it"},
        std::pair{0, "expected 1 to 10, found 0: no dbsp wrote it"},
        std::pair{99, "expected 1 to 10, found 99: a newer dbsp wrote the file"},
        std::pair{5, "differs from schema version 5 of dbsp: table fit_parameters is missing"},
        std::pair{9, "differs from schema version 9 of dbsp: table fit_parameters is missing"}}) {
    SCOPED_TRACE(version);
    EXPECT_THAT(RefusalAfter("PRAGMA user_version = " + std::to_string(version)), HasSubstr(words));
  }
  const TempFolder folder;
  {
    Connection old((folder / "p.db").string(), kReadWriteCreate, "p.db");
    Migrate(old, 7);
  }
  Shell(folder / "p.db", "CREATE TABLE overlap_trials(x)");
  EXPECT_THAT(Refusal(folder / "p.db"),
              HasSubstr("table overlap_trials belongs to a later version"));
}

TEST(HostileDatabaseTest, ContentThatDbspNeverStoresIsCorrupt) {
  const std::string unchecked = "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; ";
  for (const auto& [sql, words] :
       {std::pair{"DELETE FROM environments", "refers to no row of environments"},
        std::pair{"DELETE FROM devices", "refers to no row of devices"},
        std::pair{"DELETE FROM kernel_variants", "refers to no row of kernel_variants"},
        std::pair{"DELETE FROM trials WHERE id = 3", "refers to no row of trials"},
        std::pair{"DELETE FROM attention_trials", "an overlap without its attention"},
        std::pair{"DELETE FROM local_trials", "has no configuration"},
        std::pair{"INSERT INTO local_trials SELECT trial_id, 'pack', 1, 1, 1, 1 FROM "
                  "attention_trials",
                  "has two configurations"},
        std::pair{
            "INSERT OR IGNORE INTO exchange_trials SELECT trial_id, 'hop', 'nccl', 1, 1, 1, 1 "
            "FROM attention_trials",
            "has two configurations"},
        std::pair{"DELETE FROM exchange_trials",
                  "an overlap without its attention or its exchange"},
        std::pair{"UPDATE trials SET kind = 'local'", "kind and configuration differ"},
        std::pair{"DELETE FROM samples", "outcome ok without a sample"},
        std::pair{"DELETE FROM alone_samples", "samples without the other side"},
        std::pair{"UPDATE samples SET duration_ns = -5", "CHECK constraint failed in samples"},
        std::pair{"UPDATE trials SET discarded = -1", "CHECK constraint failed in trials"},
        std::pair{"UPDATE trials SET outcome = 'good'", "CHECK constraint failed in trials"},
        std::pair{"UPDATE plans SET json = '{'", "CHECK constraint failed in plans"},
        std::pair{"UPDATE plans SET json = '{}'", "is not the text that was stored"},
        std::pair{"UPDATE attention_trials SET heads = 0", "expected at least 1"},
        std::pair{"UPDATE attention_trials SET block_q = -64", "expected at least 1"},
        std::pair{"UPDATE attention_trials SET heads = 3000000000", "expected a 32-bit integer"},
        std::pair{"UPDATE attention_trials SET kept_blocks = -1", "-1 active blocks"},
        std::pair{"UPDATE attention_trials SET kept_blocks = 9223372036854775807", "active blocks"},
        std::pair{"UPDATE attention_trials SET active_rows = 9223372036854775807", "active rows"},
        std::pair{"UPDATE exchange_trials SET unevenness = 9e999", "unevenness is not finite"},
        std::pair{"UPDATE exchange_trials SET ranks = 0", "CHECK constraint failed"},
        std::pair{"UPDATE local_trials SET block_k = -1", "expected at least 0"},
        std::pair{"UPDATE local_trials SET op = 'key_lists'; UPDATE trials SET key = "
                  "json_remove(key, '$.lists') WHERE kind = 'local'",
                  "lists of unknown size"},
        std::pair{"UPDATE local_trials SET op = 'pack'; UPDATE trials SET key = json_set(key, "
                  "'$.lists', json('{\"k_tokens\": 5}')) WHERE kind = 'local'",
                  "a list size with an op that makes no lists"},
        std::pair{"UPDATE trials SET key = json_set(key, '$.lists', json('{\"step\": 0}')) "
                  "WHERE kind = 'attention'",
                  "statistics of key lists with blocks of several keys"},
        std::pair{"UPDATE attention_trials SET block_k = 1; UPDATE trials SET key = "
                  "json_set(key, '$.lists', json('{\"step\": 0}')) WHERE kind = 'attention'",
                  "lists: step of 0 keys, expected at least 1"},
        std::pair{"UPDATE trial_counter_values SET value = 9e999",
                  "column value: expected a finite number"},
        std::pair{"UPDATE trial_counter_values SET value = -9e999", "expected a finite number"},
        std::pair{"UPDATE ledger_segments SET kind = 'sleep'", "column kind"},
        std::pair{"UPDATE ledger_segments SET rank = 2", "segment of rank 2 of 2"},
        std::pair{"UPDATE ledger_segments SET rank = -1", "segment of rank -1 of 2"},
        std::pair{"UPDATE ledger_segments SET start_ns = 9223372036854775807", "segment of"},
        std::pair{"UPDATE replay_cells SET step = -1", "expected at least 0"},
        std::pair{"UPDATE replay_cells SET multiplicity = 9223372036854775807",
                  "more than 64 bits"},
        std::pair{"UPDATE replay_cells SET replayed_ns = 9223372036854775807", "more than 64 bits"},
        std::pair{"UPDATE environments SET memory_bytes = -1", "-1 bytes of memory"},
        std::pair{"UPDATE trials SET detail = CAST(x'61ff' AS TEXT)",
                  "column detail: expected UTF-8, found byte 0xFF at position 1"},
        std::pair{"UPDATE environment_args SET value = CAST(x'c0af' AS TEXT)", "expected UTF-8"},
        std::pair{"UPDATE kernel_variants SET name = CAST(x'eda080' AS TEXT) WHERE id = 1",
                  "expected UTF-8"}}) {
    SCOPED_TRACE(sql);
    EXPECT_THAT(RefusalAfter(unchecked + sql), HasSubstr(words));
  }
}

TEST(HostileDatabaseTest, WrongTypesAndMissingValuesAreCorrupt) {
  // The columns lose their rules, take the value, and get their rules back.
  const auto refusal = [](const std::string& rule, const std::string& sql) {
    const std::string off =
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '" + rule +
        "', '";
    const TempFolder folder;
    WriteFile(folder / "p.db");
    const std::string schema =
        ShellText(folder / "p.db", "SELECT hex(sql) FROM sqlite_schema WHERE name = 'trials'");
    Shell(folder / "p.db", off + "') WHERE name = 'trials'; PRAGMA writable_schema = RESET");
    Shell(folder / "p.db", "PRAGMA ignore_check_constraints = ON; " + sql);
    Shell(folder / "p.db",
          "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = CAST(x'" + schema +
              "' AS TEXT) WHERE name = 'trials'");
    return Refusal(folder / "p.db");
  };
  EXPECT_THAT(refusal(" STRICT", "UPDATE trials SET warmups = 'many' WHERE id = 2"),
              HasSubstr("non-INTEGER value in trials.warmups"));
  EXPECT_THAT(refusal(" STRICT", "UPDATE trials SET detail = x'00ff' WHERE id = 2"),
              HasSubstr("non-TEXT value in trials.detail"));
  EXPECT_THAT(refusal(" NOT NULL", "UPDATE trials SET method = NULL WHERE id = 2"),
              HasSubstr("NULL value in trials.method"));
}

TEST(HostileDatabaseTest, AValueBeyondTheLimitIsRefused) {
  const TempFolder folder;
  WriteFile(folder / "p.db");
  Shell(folder / "p.db",
        "PRAGMA synchronous = OFF; UPDATE trials SET detail = CAST(zeroblob(300000000) AS TEXT) "
        "WHERE id = 1");
  try {
    ReadAll(Database::Open(folder / "p.db", OpenMode::kReadOnly));
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
    EXPECT_THAT(error.what(), HasSubstr("256 MiB"));
  }
}

TEST(HostileDatabaseTest, NamesThatAreNoFilesAreRefusedAtOnce) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  const std::string uri = "file:" + (folder / "p.db").string();
  for (const auto& [name, code] : {std::pair{std::string(), "invalid_argument"},
                                   std::pair{std::string(":memory:"), "invalid_argument"},
                                   std::pair{uri, "invalid_argument"},
                                   std::pair{uri + "?mode=memory", "invalid_argument"},
                                   std::pair{folder.path().string(), "corrupt_input"},
                                   std::pair{(folder / "fifo").string(), "corrupt_input"},
                                   std::pair{std::string("/dev/zero"), "corrupt_input"},
                                   std::pair{std::string("/dev/null"), "corrupt_input"}}) {
    SCOPED_TRACE(name);
    for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
      try {
        (void)Database::Open(name, mode);
        ADD_FAILURE() << "accepted";
      } catch (const Error& error) {
        EXPECT_EQ(ErrorCodeName(error.code()), std::string(code)) << error.what();
      }
    }
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

/// Every mutant is read or refused as corrupt; a writer either refuses or stores a trial. Other
/// mutants: --gtest_random_seed=N.
TEST(HostileDatabaseTest, AMutatedFileIsReadOrCorruptAndNeverAFaultOfDbsp) {
  const TempFolder folder;
  WriteFile(folder / "p.db");
  const std::string whole = ReadFile(folder / "p.db");
  std::mt19937 random(20260131 + static_cast<unsigned>(GTEST_FLAG_GET(random_seed)));
  const auto pick = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  constexpr int kMutants = 300;
  constexpr std::size_t kPage = 4096;
  int refused = 0;
  for (int i = 0; i < kMutants; ++i) {
    std::string bytes = whole;
    const std::size_t edits = 1 + pick(4);
    for (std::size_t edit = 0; edit < edits; ++edit) {
      // Half of the edits are in the headers of the file and of pages, where most rules are.
      const std::size_t at =
          pick(2) == 0 ? pick(whole.size() / kPage) * kPage + pick(112) : pick(whole.size());
      switch (pick(4)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
          break;
        case 1:
          bytes[at] = static_cast<char>(pick(2) == 0 ? 0xFF : 0);
          break;
        case 2:
          bytes[at] = static_cast<char>(pick(256));
          break;
        default:
          bytes.replace(
              at,
              std::min<std::size_t>(16, bytes.size() - at),
              whole.substr(pick(whole.size() - 16), std::min<std::size_t>(16, bytes.size() - at)));
      }
    }
    std::ofstream(folder / "m.db", std::ios::binary) << bytes;
    for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
      if (mode == OpenMode::kReadWrite && i % 3 != 0) continue;  // a commit takes its time
      try {
        Database database = Database::Open(folder / "m.db", mode);
        ReadAll(database);
        if (mode == OpenMode::kReadWrite) {
          const auto machine = database.AddEnvironment(SomeMachine());
          database.AddTrial(machine, SomeAttention(99, {5}));
        }
      } catch (const Error& error) {
        refused += mode == OpenMode::kReadOnly ? 1 : 0;
        EXPECT_EQ(ErrorCodeName(error.code()), std::string("corrupt_input"))
            << "mutant " << i << ": " << error.what();
        EXPECT_THAT(error.what(), HasSubstr("m.db"));
        EXPECT_EQ(ReadFile(folder / "m.db") == bytes, true) << "mutant " << i;
      }
    }
    fs::remove(folder / "m.db");
  }
  EXPECT_GT(refused, kMutants / 4);
  EXPECT_LT(refused, kMutants);
}

}  // namespace
}  // namespace dbsp::db
