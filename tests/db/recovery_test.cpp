// SPDX-License-Identifier: Apache-2.0
// What a killed writer leaves beside a database: it is read where it belongs to the database, and
// named and left alone where a copy of the database was put back. Readers write nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "db/schema.h"
#include "db/sqlite.h"
#include "tests/db/fixtures.h"
#include "tests/db/remains.h"

namespace dbsp::db {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

void MakeFile(const fs::path& path, std::uint64_t first_seed = 0, int trials = 8) {
  Database database = Database::Open(path, OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (int i = 0; i < trials; ++i) database.AddTrial(environment, RandomTrial(first_seed + i));
}

std::size_t TrialsIn(const fs::path& path, OpenMode mode = OpenMode::kReadOnly) {
  return Database::Open(path, mode).Trials().size();
}

void Append(const fs::path& path, std::uint64_t seed, int trials = 1) {
  Database database = Database::Open(path, OpenMode::kReadWrite);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (int i = 0; i < trials; ++i) database.AddTrial(environment, RandomTrial(seed + i));
}

/// A later time than that of every file written before.
void MakeNewer(const fs::path& path) {
  fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(2));
}

/// Every mode refuses, names `words`, and changes no file of the folder.
void ExpectNamed(const TempFolder& folder, const std::string& remains, const std::string& words) {
  const auto before = StateOf(folder.path());
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
    try {
      (void)Database::Open(folder / "p.db", mode);
      ADD_FAILURE() << "accepted: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(ErrorCodeName(error.code()), std::string("mismatch")) << error.what();
      EXPECT_THAT(error.what(), HasSubstr((folder / remains).string()));
      EXPECT_THAT(error.what(), HasSubstr("a killed writer left it"));
      EXPECT_THAT(error.what(), HasSubstr(words));
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    }
    EXPECT_EQ(StateOf(folder.path()), before);
  }
}

TEST(RecoveryTest, TheLogOfAKilledWriterIsReadWithoutWritingAndThenMerged) {
  const TempFolder folder;
  MakeFile(folder / "base.db");
  fs::create_directory(folder / "f");
  LeaveLog(folder / "base.db", folder / "f/p.db");
  const auto before = StateOf(folder / "f");
  ASSERT_EQ(before.size(), 2U);
  EXPECT_EQ(TrialsIn(folder / "f/p.db"), 11U);
  EXPECT_EQ(StateOf(folder / "f"), before);
  EXPECT_EQ(TrialsIn(folder / "f/p.db", OpenMode::kReadWrite), 11U);
  EXPECT_EQ(StateOf(folder / "f").size(), 1U);
  EXPECT_EQ(ShellText(folder / "f/p.db", "PRAGMA journal_mode"), "delete");
  EXPECT_EQ(TrialsIn(folder / "f/p.db"), 11U);
}

TEST(RecoveryTest, ALogBesideARestoredFileIsNamedAndNothingIsOverwritten) {
  const TempFolder made;
  MakeFile(made / "base.db");
  LeaveLog(made / "base.db", made / "killed.db");
  // The copy that is put back is the file from before the log was used.
  {
    const TempFolder folder;
    CopyTo(made / "killed.db-wal", folder / "p.db-wal");
    CopyTo(made / "base.db", folder / "p.db");
    ExpectNamed(folder, "p.db-wal", "used no log");
  }
  // It is the very state that the log continues, written later.
  {
    const TempFolder folder;
    CopyTo(made / "killed.db-wal", folder / "p.db-wal");
    CopyTo(made / "killed.db", folder / "p.db");
    MakeNewer(folder / "p.db");
    ExpectNamed(folder, "p.db-wal", "the database is newer");
    MakeNewer(folder / "p.db-wal");
    MakeNewer(folder / "p.db-wal");
    EXPECT_EQ(TrialsIn(folder / "p.db"), 11U);
  }
  // It was renamed into place with an old time.
  {
    const TempFolder folder;
    CopyTo(made / "killed.db", folder / "copy.db");
    CopyTo(made / "killed.db-wal", folder / "p.db-wal");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    fs::rename(folder / "copy.db", folder / "p.db");
    ExpectNamed(folder, "p.db-wal", "the database is newer");
  }
  // It has other records than the log continues, and the log is newer.
  for (const int trials : {1, 8, 60}) {
    SCOPED_TRACE(trials);
    const TempFolder folder;
    MakeFile(folder / "p.db", 1000, trials);
    {
      OpenShell shell(folder / "p.db");
      shell.Run("PRAGMA journal_mode = WAL");
    }
    CopyTo(made / "killed.db-wal", folder / "p.db-wal");
    MakeNewer(folder / "p.db-wal");
    ExpectNamed(folder, "p.db-wal", "nothing was changed");
  }
  // There is no database at all, or an empty one. SQLite would delete the log or journal.
  LeaveJournal(made / "base.db", made / "killed.db", true);
  for (const int which : {0, 1, 2, 3}) {
    const TempFolder folder;
    const bool exists = which % 2 == 1;
    const std::string ending = which < 2 ? "-wal" : "-journal";
    CopyTo(made / ("killed.db" + ending), folder / ("p.db" + ending));
    if (exists) std::ofstream(folder / "p.db").flush();
    const auto before = StateOf(folder.path());
    EXPECT_THROW((void)Database::Open(folder / "p.db", OpenMode::kCreate), Error);
    EXPECT_EQ(StateOf(folder.path()), before);
  }
}

TEST(RecoveryTest, AHotJournalIsRolledBackInACopyForReadersAndInPlaceForWriters) {
  for (const bool written : {false, true}) {
    SCOPED_TRACE(written);
    const TempFolder folder;
    MakeFile(folder / "base.db");
    fs::create_directory(folder / "f");
    LeaveJournal(folder / "base.db", folder / "f/p.db", written);
    const auto before = StateOf(folder / "f");
    const Database reader = Database::Open(folder / "f/p.db", OpenMode::kReadOnly);
    EXPECT_EQ(reader.MeasurementHash(),
              Database::Open(folder / "base.db", OpenMode::kReadOnly).MeasurementHash());
    EXPECT_EQ(StateOf(folder / "f"), before);
    Append(folder / "f/p.db", 500);
    EXPECT_EQ(TrialsIn(folder / "f/p.db"), 9U);
    EXPECT_EQ(StateOf(folder / "f").size(), 1U);
  }
}

TEST(RecoveryTest, AHotJournalBesideARestoredFileIsNamedAndNothingIsOverwritten) {
  const TempFolder made;
  MakeFile(made / "old.db");
  CopyTo(made / "old.db", made / "base.db");
  Append(made / "base.db", 700, 4);
  LeaveJournal(made / "base.db", made / "killed.db", true);
  {
    const TempFolder folder;  // an older copy
    CopyTo(made / "old.db", folder / "p.db");
    CopyTo(made / "killed.db-journal", folder / "p.db-journal");
    ExpectNamed(folder, "p.db-journal", "its change counter is");
  }
  {
    const TempFolder folder;  // another database with the same number of transactions
    MakeFile(folder / "p.db", 3000);
    Append(folder / "p.db", 4000, 4);
    ASSERT_EQ(ReadFile(folder / "p.db").substr(24, 4), ReadFile(made / "base.db").substr(24, 4));
    CopyTo(made / "killed.db-journal", folder / "p.db-journal");
    ExpectNamed(folder, "p.db-journal", "nothing was changed");
  }
  {
    const TempFolder folder;  // the journal of a database that was being made
    MakeFile(folder / "p.db");
    std::string journal = ReadFile(made / "killed.db-journal").substr(0, 512);
    journal.replace(16, 4, 4, '\0');
    std::ofstream(folder / "p.db-journal", std::ios::binary) << journal;
    ExpectNamed(folder, "p.db-journal", "of a database without content");
  }
  {
    const TempFolder folder;  // a journal that would have SQLite delete another file
    CopyTo(made / "killed.db", folder / "p.db");
    std::string journal = ReadFile(made / "killed.db-journal");
    journal += journal.substr(0, 8);
    std::ofstream(folder / "p.db-journal", std::ios::binary) << journal;
    ExpectNamed(folder, "p.db-journal", "it names further files");
  }
  {
    const TempFolder folder;  // a text of the user
    MakeFile(folder / "p.db");
    std::ofstream(folder / "p.db-journal") << "Tuesday: measured the new kernels";
    ExpectNamed(folder, "p.db-journal", "it is no journal of SQLite");
  }
}

TEST(RecoveryTest, ALogBesideTheTargetOfASymbolicLinkIsFound) {
  const TempFolder made;
  MakeFile(made / "base.db");
  LeaveLog(made / "base.db", made / "killed.db");
  const TempFolder folder;
  fs::create_directory(folder / "real");
  CopyTo(made / "killed.db-wal", folder / "real/p.db-wal");
  CopyTo(made / "base.db", folder / "real/p.db");
  fs::create_symlink("real/p.db", folder / "link.db");
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
    EXPECT_THROW((void)Database::Open(folder / "link.db", mode), Error);
  }
  EXPECT_EQ(ReadFile(folder / "real/p.db"), ReadFile(made / "base.db"));
  EXPECT_EQ(ReadFile(folder / "real/p.db-wal"), ReadFile(made / "killed.db-wal"));
  fs::remove(folder / "real/p.db-wal");
  EXPECT_EQ(TrialsIn(folder / "link.db", OpenMode::kReadWrite), 8U);
}

TEST(RecoveryTest, AFileThatIsNoLogIsLeftAlone) {
  const TempFolder made;
  MakeFile(made / "base.db");
  LeaveLog(made / "base.db", made / "killed.db");
  const TempFolder folder;
  CopyTo(made / "killed.db", folder / "p.db");
  std::ofstream(folder / "p.db-wal") << std::string(100, 'x');
  ExpectNamed(folder, "p.db-wal", "it is no log of SQLite");
  for (const char* name : {"p.db-wal", "p.db-journal"}) {
    fs::remove(folder / "p.db-wal");
    ASSERT_EQ(mkfifo((folder / name).c_str(), 0600), 0);
    for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite, OpenMode::kCreate}) {
      try {
        (void)Database::Open(folder / "p.db", mode);
        ADD_FAILURE() << "accepted";
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr(std::string(name) + ": expected a file of SQLite"));
      }
    }
    fs::remove(folder / name);
  }
}

TEST(RecoveryTest, ADatabaseWhoseMakerWasKilledIsMadeAgain) {
  const TempFolder made;
  {
    OpenShell shell(made / "w.db");
    shell.Run("PRAGMA cache_size = 1; BEGIN IMMEDIATE; CREATE TABLE big(x)");
    shell.Run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
        "INSERT INTO big SELECT zeroblob(3000) FROM n");
    ASSERT_GT(fs::file_size(made / "w.db"), 0U);
    CopyTo(made / "w.db", made / "p.db");
    CopyTo(made / "w.db-journal", made / "p.db-journal");
    shell.Run("ROLLBACK");
  }
  EXPECT_THROW((void)Database::Open(made / "p.db", OpenMode::kReadOnly), Error);
  MakeFile(made / "p.db");
  EXPECT_EQ(TrialsIn(made / "p.db"), 8U);
}

TEST(RecoveryTest, ReadOnlyFoldersAreReadWithLogAndJournal) {
  const TempFolder made;
  MakeFile(made / "base.db");
  for (const bool log : {false, true}) {
    SCOPED_TRACE(log);
    const TempFolder folder;
    if (log) {
      LeaveLog(made / "base.db", folder / "p.db");
    } else {
      LeaveJournal(made / "base.db", folder / "p.db", true);
    }
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      fs::permissions(entry.path(), fs::perms(0444));
    }
    fs::permissions(folder.path(), fs::perms(0555));
    const bool root = geteuid() == 0;  // root passes every permission: be nobody meanwhile
    if (root) {
      ASSERT_EQ(seteuid(65534), 0);
    }
    const auto before = StateOf(folder.path());
    EXPECT_EQ(TrialsIn(folder / "p.db"), log ? 11U : 8U);
    EXPECT_THROW((void)Database::Open(folder / "p.db", OpenMode::kReadWrite), Error);
    EXPECT_EQ(StateOf(folder.path()), before);
    if (root) {
      ASSERT_EQ(seteuid(0), 0);
    }
    fs::permissions(folder.path(), fs::perms(0755));
  }
}

TEST(RecoveryTest, FilesOfVersionsWithALogAreReadWithoutFurtherFilesAndThenLeaveIt) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  {
    OpenShell shell(folder / "p.db");
    shell.Run("PRAGMA journal_mode = WAL; PRAGMA user_version = 10");
  }
  const auto before = StateOf(folder.path());
  ASSERT_EQ(before.size(), 1U);
  ASSERT_EQ(before.at("p.db").first[18], 2);
  EXPECT_EQ(TrialsIn(folder / "p.db"), 8U);
  EXPECT_EQ(StateOf(folder.path()), before);
  EXPECT_EQ(TrialsIn(folder / "p.db", OpenMode::kReadWrite), 8U);
  EXPECT_EQ(ReadFile(folder / "p.db")[18], 1);
}

/// Other mutants: --gtest_random_seed=N.
TEST(RecoveryTest, AMutatedLogOrJournalIsReadOrRefusedAndNothingIsChanged) {
  const TempFolder made;
  MakeFile(made / "base.db");
  LeaveLog(made / "base.db", made / "log.db");
  LeaveJournal(made / "base.db", made / "journal.db", true);
  std::mt19937 random(20260131 + static_cast<unsigned>(GTEST_FLAG_GET(random_seed)));
  const auto pick = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  int read = 0;
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    const std::string kind = i % 2 == 0 ? "log" : "journal";
    const std::string ending = i % 2 == 0 ? "-wal" : "-journal";
    const TempFolder folder;
    std::string bytes = ReadFile(made / (kind + ".db" + ending));
    for (std::size_t edits = 1 + pick(3); edits > 0; --edits) {
      const std::size_t at = pick(2) == 0 ? pick(64) : pick(bytes.size());
      bytes[at] = static_cast<char>(pick(2) == 0 ? pick(256) : bytes[at] ^ (1 << pick(8)));
    }
    if (pick(4) == 0) bytes.resize(pick(bytes.size()));
    CopyTo(made / (kind + ".db"), folder / "p.db");
    std::ofstream(folder / ("p.db" + ending), std::ios::binary) << bytes;
    const auto before = StateOf(folder.path());
    try {
      // What is not in a sound part of the log or journal was never committed.
      EXPECT_LE(TrialsIn(folder / "p.db"), 11U);
      ++read;
    } catch (const Error& error) {
      const std::string code = ErrorCodeName(error.code());
      EXPECT_TRUE(code == "mismatch" || code == "corrupt_input") << error.what();
      ++refused;
    }
    EXPECT_EQ(StateOf(folder.path()), before);
  }
  EXPECT_GT(read, 5);
  EXPECT_GT(refused, 5);
}

TEST(RecoveryTest, AReaderBesideALiveWriterSeesCommittedTrialsOnly) {
  const TempFolder folder;
  MakeFile(folder / "p.db");
  OpenShell writer(folder / "p.db");
  writer.Run("BEGIN IMMEDIATE; UPDATE trials SET detail = 'half done'");
  const Database reader = Database::Open(folder / "p.db", OpenMode::kReadOnly);
  for (const StoredTrial& stored : reader.Trials()) EXPECT_NE(stored.trial.detail, "half done");
  writer.Run("COMMIT");
}

}  // namespace
}  // namespace dbsp::db
