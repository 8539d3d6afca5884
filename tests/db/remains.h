// SPDX-License-Identifier: Apache-2.0
// Databases as killed writers leave them, and folders that are compared before and after.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "core/file.h"
#include "tests/db/fixtures.h"

namespace dbsp::db {

/// Files of a folder with their bytes and times.
inline std::map<std::string, std::pair<std::string, std::filesystem::file_time_type>> StateOf(
    const std::filesystem::path& folder) {
  std::map<std::string, std::pair<std::string, std::filesystem::file_time_type>> state;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    state[entry.path().filename()] = {ReadFile(entry.path()),
                                      std::filesystem::last_write_time(entry.path())};
  }
  return state;
}

inline void CopyTo(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
}

/// The sqlite3 shell, which stays open while the files are copied.
class OpenShell {
 public:
  explicit OpenShell(const std::filesystem::path& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &handle_), 0);
  }
  OpenShell(const OpenShell&) = delete;
  OpenShell& operator=(const OpenShell&) = delete;
  ~OpenShell() { sqlite3_close(handle_); }
  void Run(const std::string& sql) {
    char* problem = nullptr;
    sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, &problem);
    EXPECT_EQ(problem, nullptr) << problem;
    sqlite3_free(problem);
  }

 private:
  sqlite3* handle_ = nullptr;
};

inline constexpr const char* kOneTrial =
    "BEGIN; INSERT INTO trials SELECT NULL, environment_id, json_remove(key, '$.lists'), kind, "
    "suite, 'failed', detail, method, stop_reason, warmups, discarded, started_utc FROM trials "
    "WHERE kind = 'local' LIMIT 1; "
    "INSERT INTO local_trials SELECT max(id), 'pack', 1, 1, 1, 1 FROM trials; COMMIT";

/// Makes `to` as a writer with a write-ahead log leaves it when it is killed: `from`, and a log
/// with `trials` trials that are not in it. The log is at to-wal.
inline void LeaveLog(const std::filesystem::path& from,
                     const std::filesystem::path& to,
                     int trials = 3) {
  const TempFolder work;
  CopyTo(from, work / "w.db");
  OpenShell shell(work / "w.db");
  shell.Run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
  for (int i = 0; i < trials; ++i) shell.Run(kOneTrial);
  CopyTo(work / "w.db", to);
  CopyTo(work / "w.db-wal", to.string() + "-wal");
}

/// Makes `to` as a writer with a rollback journal leaves it when it is killed in the middle of a
/// transaction.
/// written  whether the transaction had begun to write the database
inline void LeaveJournal(const std::filesystem::path& from,
                         const std::filesystem::path& to,
                         bool written) {
  const TempFolder work;
  CopyTo(from, work / "w.db");
  OpenShell shell(work / "w.db");
  // A cache of one page makes SQLite write pages and journal before the end of the transaction.
  shell.Run("PRAGMA cache_size = 1; BEGIN IMMEDIATE; CREATE TABLE big(x)");
  shell.Run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
      "INSERT INTO big SELECT zeroblob(3000) FROM n");
  shell.Run("UPDATE trials SET detail = 'lost' || detail");
  CopyTo(written ? work / "w.db" : from, to);
  CopyTo(work / "w.db-journal", to.string() + "-journal");
  ASSERT_NE(ReadFile(to.string() + "-journal").front(), '\0');
  shell.Run("ROLLBACK");
}

}  // namespace dbsp::db
