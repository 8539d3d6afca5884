// SPDX-License-Identifier: Apache-2.0
// The file: damage, files of other programs, locks, full disks, several writers, a killed writer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

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

/// Message of the error that `body` throws, which has code `code` and is one line.
template <typename Body>
std::string ErrorOf(ErrorCode code, Body body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(ErrorCodeName(error.code()), std::string(ErrorCodeName(code))) << error.what();
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "expected an error of code " << ErrorCodeName(code);
  return "";
}

void Write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::set<std::string> NamesIn(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// A closed file with 50 trials.
void MakeFile(const fs::path& path) {
  Database database = Database::Open(path, OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    database.AddTrial(environment, RandomTrial(seed));
  }
}

TEST(DatabaseFileTest, AMissingFileIsNotFoundUnlessItIsToBeMade) {
  const TempFolder folder;
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    EXPECT_THAT(ErrorOf(ErrorCode::kNotFound, [&] { Database::Open(folder / "p.db", mode); }),
                HasSubstr("no such database"));
  }
  EXPECT_TRUE(NamesIn(folder.path()).empty());
  ErrorOf(ErrorCode::kIo, [&] { Database::Open(folder / "no/p.db", OpenMode::kCreate); });
  Database::Open(folder / "p.db", OpenMode::kCreate);
  EXPECT_EQ(NamesIn(folder.path()), std::set<std::string>{"p.db"});
}

TEST(DatabaseFileTest, WhatIsNoDatabaseIsRefusedAndLeftAsItWas) {
  const TempFolder folder;
  const std::string text(5000, 'x');
  Write(folder / "text.db", text);
  Write(folder / "short.db", "SQLite format 3");
  Write(folder / "empty.db", "");
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
    ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder / "text.db", mode); });
    ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder / "short.db", mode); });
    ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder.path(), mode); });
    if (mode == OpenMode::kCreate) continue;
    ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder / "empty.db", mode); });
  }
  EXPECT_EQ(ReadFile(folder / "text.db"), text);
  EXPECT_EQ(NamesIn(folder.path()), (std::set<std::string>{"empty.db", "short.db", "text.db"}));
}

TEST(DatabaseFileTest, AnotherProgramsDatabaseIsRefused) {
  const TempFolder folder;
  ShellText(folder / "other.db", "CREATE TABLE t(x)");
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
    EXPECT_THAT(
        ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder / "other.db", mode); }),
        HasSubstr("application_id"));
  }
  EXPECT_EQ(ShellText(folder / "other.db", "SELECT count(*) FROM sqlite_schema"), "1");
}

TEST(DatabaseFileTest, ANewerSchemaIsRefused) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  ShellText(folder / "p.db", "PRAGMA user_version = 99");
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    EXPECT_THAT(ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder / "p.db", mode); }),
                HasSubstr("found 99"));
  }
}

TEST(DatabaseFileTest, TruncationAtAnyPlaceIsFound) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  const std::string whole = ReadFile(folder / "p.db");
  ASSERT_GT(whole.size(), 20'000U);
  std::vector<std::size_t> sizes;
  for (std::size_t size = 1; size < whole.size(); size += whole.size() / 23) sizes.push_back(size);
  for (std::size_t size = 4096; size < whole.size(); size += 5 * 4096) sizes.push_back(size);
  for (const std::size_t size : sizes) {
    SCOPED_TRACE(size);
    Write(folder / "cut.db", whole.substr(0, size));
    for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
      ErrorOf(ErrorCode::kCorruptInput, [&] { Database::Open(folder / "cut.db", mode); });
    }
  }
}

TEST(DatabaseFileTest, AnOverwrittenPageIsFoundOrHarmless) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  const std::string whole = ReadFile(folder / "p.db");
  constexpr std::size_t kPage = 4096;
  int found = 0;
  for (std::size_t page = 1; page * kPage < whole.size(); ++page) {
    SCOPED_TRACE(page);
    std::string damaged = whole;
    damaged.replace(page * kPage, kPage, kPage, '\x5A');
    Write(folder / "bad.db", damaged);
    found += !ErrorOf(ErrorCode::kCorruptInput, [&] {
                Database::Open(folder / "bad.db", OpenMode::kReadOnly);
              }).empty();
  }
  EXPECT_GT(found, 5);
}

TEST(DatabaseFileTest, AFileOfTheFirstSchemaIsMigratedAndReadableWithoutWriting) {
  const TempFolder folder;
  {
    Connection old((folder / "p.db").string(), kReadWriteCreate, "p.db");
    Migrate(old, 1);
    old.Run(
        "INSERT INTO devices VALUES (1, 'cpu', 'old', '');"
        "INSERT INTO environments VALUES (1, 'u', 1, 'h', 1, 1, 'c', 'b', 'g', NULL, 'v', 't');"
        "INSERT INTO trials VALUES (1, 1, 'k', 'local', 'quick', 'ok', '', 'm', 's', 0, 0, 't');"
        "INSERT INTO local_trials VALUES (1, 'pack', 10, 64, 64, 64);"
        "INSERT INTO samples VALUES (1, 0, 123)");
  }
  const std::string bytes = ReadFile(folder / "p.db");
  {
    const Database reader = Database::Open(folder / "p.db", OpenMode::kReadOnly);
    EXPECT_EQ(reader.Trials().front().trial.samples_ns, std::vector<std::int64_t>{123});
  }
  EXPECT_EQ(ReadFile(folder / "p.db"), bytes);
  Database writer = Database::Open(folder / "p.db", OpenMode::kReadWrite);
  EXPECT_EQ(writer.schema_version(), NewestVersion());
  EXPECT_EQ(writer.Trials().front().trial.samples_ns, std::vector<std::int64_t>{123});
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT median_ns FROM v_local"), "123.0");
}

TEST(DatabaseFileTest, KernelsOfTheThirdSchemaKeepTheirNamesAndGainFacts) {
  const TempFolder folder;
  {
    Connection old((folder / "p.db").string(), kReadWriteCreate, "p.db");
    Migrate(old, 3);
    old.Run("INSERT INTO kernel_variants(name) VALUES ('cpu.block_sparse')");
  }
  Database writer = Database::Open(folder / "p.db", OpenMode::kReadWrite);
  EXPECT_EQ(writer.Kernels(), std::vector{KernelVariant{.name = "cpu.block_sparse"}});
  writer.AddKernel({.name = "cpu.block_sparse", .list = "blocks", .deterministic = true});
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT list || deterministic FROM v_kernels"), "blocks1");
}

TEST(DatabaseFileTest, ExchangesOfAnOlderVersionStayedOnOneHost) {
  const TempFolder folder;
  {
    Connection old((folder / "p.db").string(), kReadWriteCreate, "p.db");
    Migrate(old, 4);
    old.Run(
        "INSERT INTO devices VALUES (1, 'cpu', 'old', '');"
        "INSERT INTO environments VALUES (1, 'u', 1, 'h', 1, 1, 'c', 'b', 'g', NULL, 'v', 't');"
        "INSERT INTO trials VALUES (1, 1, 'k', 'exchange', 'quick', 'failed', '', 'm', 's', 0, 0, "
        "'t');"
        "INSERT INTO exchange_trials VALUES (1, 'hop', 'nccl', 2, 100, 1.0)");
  }
  (void)Database::Open(folder / "p.db", OpenMode::kReadWrite);
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT nodes FROM exchange_trials"), "1");
}

TEST(DatabaseFileTest, ReplaysOfTheEighthSchemaHaveNoMultiplicity) {
  const TempFolder folder;
  {
    Connection old((folder / "p.db").string(), kReadWriteCreate, "p.db");
    Migrate(old, 8);
    old.Run(
        "INSERT INTO devices VALUES (1, 'cpu', 'old', '');"
        "INSERT INTO environments VALUES (1, 'u', 1, 'h', 1, 1, 'c', 'b', 'g', NULL, 'v', 't');"
        "INSERT INTO replays VALUES (1, 1, 'p', 'w', 'd', 'serial', 's', 1, 0, 1, 't');"
        "INSERT INTO replay_cells VALUES (1, 1, 0, 0, 0, 100, 150, NULL, NULL, NULL);"
        "INSERT INTO ledger_segments VALUES (1, 0, 0, 'attention', 0, 0, 150, 0, 100)");
  }
  const Database reader = Database::Open(folder / "p.db", OpenMode::kReadOnly);
  const ReplayCell cell = reader.Replays().at(0).replay.cells.at(0);
  EXPECT_EQ(cell.multiplicity, std::nullopt);
  EXPECT_EQ(cell.segments.at(0).predicted_ns, 100);
  (void)Database::Open(folder / "p.db", OpenMode::kReadWrite);
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT replayed_ns || ' ' || error_percent FROM v_ledger"),
            "150 50.0");
}

TEST(DatabaseFileTest, TheNinthSchemaLosesItsEmptyFitsAndItsCopiedReplayTimes) {
  const TempFolder folder;
  {
    Connection old((folder / "p.db").string(), kReadWriteCreate, "p.db");
    Migrate(old, 9);
    old.Run(
        "INSERT INTO devices VALUES (1, 'cpu', 'old', '');"
        "INSERT INTO environments VALUES (1, 'u', 1, 'h', 1, 1, 'c', 'b', 'g', NULL, 'v', 't');"
        "INSERT INTO fits VALUES (1, 'm', 't', 's', 'h', 1, 0.5, 'now');"
        "INSERT INTO fit_parameters VALUES (1, 'a', 1.5);"
        "INSERT INTO replays VALUES (1, 1, 'p', 'w', 'd', 'serial', 's', 1, 0, 1, 't');"
        "INSERT INTO replay_cells VALUES (1, 1, 0, 0, 0, 100, 150, NULL, NULL, NULL, 3);"
        "INSERT INTO ledger_segments VALUES (1, 0, 0, 'hop', 0, 0, 50, 0, 50)");
  }
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT error_percent FROM v_ledger"), "0.0");
  const std::string bytes = ReadFile(folder / "p.db");
  EXPECT_EQ(Database::Open(folder / "p.db", OpenMode::kReadOnly).Replays().size(), 1U);
  EXPECT_EQ(ReadFile(folder / "p.db"), bytes);
  (void)Database::Open(folder / "p.db", OpenMode::kReadWrite);
  EXPECT_EQ(ShellText(folder / "p.db",
                      "SELECT measured || ifnull(error_percent, '-') || ifnull(replayed_ns, '-') "
                      "FROM v_ledger"),
            "0--");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT measured_error_percent FROM v_replays"), "NULL");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'fit%'"),
            "0");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT count(*) FROM replays"), "1");
}

TEST(DatabaseFileTest, AFailedMigrationLeavesTheVersionBefore) {
  const TempFolder folder;
  Connection file((folder / "p.db").string(), kReadWriteCreate, "p.db");
  Migrate(file, 1);
  file.Run("CREATE TABLE fits(x)");  // in the way of the second migration
  EXPECT_THROW(Migrate(file, 2), Error);
  EXPECT_EQ(file.Integer("PRAGMA user_version"), 1);
  EXPECT_EQ(file.Integer("SELECT count(*) FROM sqlite_schema WHERE type = 'view'"), 0);
}

TEST(DatabaseFileTest, ReadersMakeNoFileAndSeeAWriterWhoseLogIsNotYetMerged) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  EXPECT_EQ(NamesIn(folder.path()), std::set<std::string>{"p.db"});
  const auto time = fs::last_write_time(folder / "p.db");
  EXPECT_EQ(Database::Open(folder / "p.db", OpenMode::kReadOnly).Trials().size(), 50U);
  EXPECT_EQ(NamesIn(folder.path()), std::set<std::string>{"p.db"});
  EXPECT_EQ(fs::last_write_time(folder / "p.db"), time);
  Database writer = Database::Open(folder / "p.db", OpenMode::kReadWrite);
  writer.AddTrial(1, RandomTrial(77));
  EXPECT_EQ(Database::Open(folder / "p.db", OpenMode::kReadOnly).Trials().size(), 51U);
}

TEST(DatabaseFileTest, AReaderRefusesToWrite) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  Database reader = Database::Open(folder / "p.db", OpenMode::kReadOnly);
  ErrorOf(ErrorCode::kIo, [&] { reader.AddEnvironment(SomeMachine()); });
}

TEST(DatabaseFileTest, AReadOnlyFolderCanBeReadAndWritingSaysSo) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  fs::permissions(folder / "p.db", fs::perms(0444));
  fs::permissions(folder.path(), fs::perms(0555));
  const bool root = geteuid() == 0;  // root passes every permission: be nobody meanwhile
  if (root && seteuid(65534) != 0) GTEST_SKIP() << "cannot give up root";
  EXPECT_EQ(Database::Open(folder / "p.db", OpenMode::kReadOnly).Trials().size(), 50U);
  for (const OpenMode mode : {OpenMode::kReadWrite, OpenMode::kCreate}) {
    ErrorOf(ErrorCode::kIo, [&] { Database::Open(folder / "p.db", mode); });
  }
  ErrorOf(ErrorCode::kIo, [&] { Database::Open(folder / "new.db", OpenMode::kCreate); });
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  fs::permissions(folder.path(), fs::perms(0755));
  EXPECT_EQ(NamesIn(folder.path()), std::set<std::string>{"p.db"});
}

TEST(DatabaseFileTest, AFullDatabaseIsAnErrorThatRollsBack) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  Connection file((folder / "p.db").string(), kReadWriteCreate, "p.db");
  const std::int64_t before = file.Integer("SELECT count(*) FROM kernel_variants");
  file.Run("PRAGMA max_page_count = 1");  // clamped to the pages in use
  const std::string message = ErrorOf(ErrorCode::kIo, [&] {
    Transaction transaction(file);
    for (int i = 0; i < 1000; ++i) {
      file.Prepare("INSERT INTO kernel_variants(name) VALUES (?)")
          .Bind(std::string(1000, 'x') + std::to_string(i))
          .Run();
    }
    transaction.Commit();
  });
  EXPECT_THAT(message, HasSubstr("full"));
  EXPECT_EQ(file.Integer("SELECT count(*) FROM kernel_variants"), before);
}

TEST(DatabaseFileTest, AFileSizeLimitStopsTheWriterAndKeepsWholeTrials) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, 200'000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(9);
    try {
      Database database = Database::Open(folder / "p.db", OpenMode::kReadWrite);
      for (std::uint64_t seed = 100; seed < 5000; ++seed) database.AddTrial(1, RandomTrial(seed));
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::kIo ? 0 : 1);
    }
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  const Database database = Database::Open(folder / "p.db", OpenMode::kReadWrite);
  EXPECT_EQ(database.Integrity().message(), "");
  EXPECT_GE(database.Trials().size(), 50U);
}

TEST(DatabaseFileTest, ALockHeldTooLongIsAnError) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  Database database = Database::Open(folder / "p.db", OpenMode::kReadWrite, 20);
  Connection other((folder / "p.db").string(), kReadWriteCreate, "p.db");
  const Transaction hold(other);
  EXPECT_THAT(ErrorOf(ErrorCode::kIo, [&] { database.AddTrial(1, RandomTrial(1)); }),
              HasSubstr("locked"));
  EXPECT_EQ(Database::Open(folder / "p.db", OpenMode::kReadOnly).Trials().size(), 50U);
}

TEST(DatabaseFileTest, ManyWritersMakeTheFileTogetherAndLoseNothing) {
  const TempFolder folder;
  constexpr int kWriters = 4;
  constexpr int kTrials = 25;
  std::vector<std::thread> writers;
  std::vector<std::string> problems(kWriters);
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      try {
        Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
        const std::int64_t environment = database.AddEnvironment(SomeMachine());
        for (int i = 0; i < kTrials; ++i) {
          database.AddTrial(environment, SomeAttention(static_cast<std::uint64_t>(w), {i + 1}));
        }
      } catch (const std::exception& error) {
        problems[w] = error.what();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (const std::string& problem : problems) EXPECT_EQ(problem, "");
  const Database database = Database::Open(folder / "p.db", OpenMode::kReadOnly);
  EXPECT_EQ(database.Integrity().message(), "");
  std::map<std::int64_t, std::vector<std::int64_t>> of;
  for (const StoredTrial& stored : database.Trials()) {
    of[stored.environment_id].push_back(stored.trial.samples_ns.front());
  }
  ASSERT_EQ(of.size(), static_cast<std::size_t>(kWriters));
  for (const auto& [environment, samples] : of) {
    ASSERT_EQ(samples.size(), static_cast<std::size_t>(kTrials));
    for (int i = 0; i < kTrials; ++i) EXPECT_EQ(samples[i], i + 1);
  }
}

TEST(DatabaseFileTest, AKilledWriterLeavesWholeTrialsOnly) {
  const TempFolder folder;
  constexpr std::size_t kSamples = 500;
  for (int round = 0; round < 5; ++round) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
      const std::int64_t environment = database.AddEnvironment(SomeMachine());
      const std::vector<std::int64_t> samples(kSamples, 5);
      database.AddTrial(environment, SomeAttention(1, samples));
      if (write(pipe[1], "1", 1) != 1) _exit(1);
      for (;;) database.AddTrial(environment, SomeAttention(1, samples));
    }
    // A slow machine takes its time to the first trial. The wait after it moves the kill to another
    // place of the child's writing each round.
    close(pipe[1]);
    char byte = 0;
    ASSERT_EQ(read(pipe[0], &byte, 1), 1);
    close(pipe[0]);
    std::this_thread::sleep_for(std::chrono::microseconds(20'000 + 7'300 * round));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const Database database = Database::Open(folder / "p.db", OpenMode::kReadOnly);
    EXPECT_EQ(database.Integrity().message(), "");
    for (const StoredTrial& stored : database.Trials()) {
      ASSERT_EQ(stored.trial.samples_ns.size(), kSamples);
    }
  }
  EXPECT_FALSE(Database::Open(folder / "p.db", OpenMode::kReadWrite).Trials().empty());
}

}  // namespace
}  // namespace dbsp::db
