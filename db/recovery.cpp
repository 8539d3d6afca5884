// SPDX-License-Identifier: Apache-2.0
#include "db/recovery.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "db/schema.h"

namespace dbsp::db {
namespace fs = std::filesystem;
namespace {

// Offsets and values of SQLite's file formats: https://www.sqlite.org/fileformat2.html
constexpr std::size_t kPageSizeAt = 16;
constexpr std::size_t kWriteVersionAt = 18;  // 2: write-ahead log
constexpr std::size_t kReadVersionAt = 19;
constexpr std::size_t kChangeCounterAt = 24;
constexpr std::string_view kJournalMagic = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
constexpr std::size_t kJournalHeader = 28;
constexpr std::uint32_t kLogMagic = 0x377f0682;  // or with bit 0 set
constexpr std::size_t kLogHeader = 32;

fs::path LogOf(const fs::path& path) { return path.string() + "-wal"; }
fs::path JournalOf(const fs::path& path) { return path.string() + "-journal"; }

/// Big-endian number at `at`, 0 beyond the end.
std::uint32_t Word(std::string_view bytes, std::size_t at) {
  if (at > bytes.size() || bytes.size() - at < 4) return 0;
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) word = word << 8 | static_cast<unsigned char>(bytes[at + i]);
  return word;
}

std::uint32_t PageSizeOf(std::string_view database) {
  const std::uint32_t size = Word(database, kPageSizeAt) >> 16;
  return size == 1 ? 65536 : size;
}

/// Bytes of a file that is no database, so that closing it drops no lock. Missing when there is no
/// such file.
std::optional<std::string> BytesOf(const fs::path& path) {
  std::error_code error;
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open() && !fs::exists(path, error)) return std::nullopt;
  std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) Fail(ErrorCode::kIo, "{}: cannot read", path.string());
  return bytes;
}

[[noreturn]] void FailForeign(const fs::path& path,
                              const fs::path& remains,
                              const std::string& reason) {
  Fail(ErrorCode::kMismatch,
       "{}: a killed writer left it, and it does not belong to {} as that is now: {}; nothing was "
       "changed: if {} was restored, move {} away, else restore both from one copy",
       remains.string(),
       path.filename().string(),
       reason,
       path.filename().string(),
       remains.filename().string());
}

void CheckLog(const fs::path& path, std::string_view database, std::string_view log) {
  const fs::path name = LogOf(path);
  if (!UsesLog(std::string(database.substr(0, 100)))) {
    FailForeign(path, name, "the writer of the database used no log");
  }
  if (log.size() < kLogHeader) return;  // killed before the log had content
  if ((Word(log, 0) & ~1U) != kLogMagic) FailForeign(path, name, "it is no log of SQLite");
  if (Word(log, 8) != PageSizeOf(database)) FailForeign(path, name, "it has pages of another size");
}

/// Change counter of the first page before the transaction of the journal. Missing when the journal
/// does not hold that page.
std::optional<std::uint32_t> CounterIn(std::string_view journal) {
  const std::size_t sector = std::max<std::uint32_t>(Word(journal, 20), 512);
  const std::size_t page = Word(journal, 24);
  const std::size_t record = page + 8;  // number, page, checksum
  for (std::size_t at = 0;
       journal.substr(std::min(at, journal.size())).starts_with(kJournalMagic);) {
    const std::size_t records = Word(journal, at + 8);
    at += sector;
    for (std::size_t i = 0; i < records && at + record <= journal.size(); ++i, at += record) {
      if (Word(journal, at) == 1) return Word(journal, at + 4 + kChangeCounterAt);
    }
    at = (at + sector - 1) / sector * sector;
  }
  return std::nullopt;
}

/// Whether the transaction of the journal was one of several files. SQLite may delete files that
/// such a journal names.
bool NamesFurtherFiles(std::string_view journal) {
  return journal.size() > kJournalHeader && journal.ends_with(kJournalMagic);
}

/// Refuses a journal that cannot be of an unfinished transaction of this database. Its original of
/// the first page has the change counter of the database, or one less once the transaction had
/// written the page.
void CheckJournal(const fs::path& path, std::string_view database, std::string_view journal) {
  const fs::path name = JournalOf(path);
  if (journal.empty() || journal.front() == '\0') return;  // SQLite ignores it too
  if (journal.size() < kJournalHeader || !journal.starts_with(kJournalMagic)) {
    FailForeign(path, name, "it is no journal of SQLite");
  }
  if (NamesFurtherFiles(journal)) {
    FailForeign(path, name, "it names further files, and dbsp writes one file at a time");
  }
  const std::uint32_t page = Word(journal, 24);
  const std::uint32_t before = Word(journal, 16);  // pages before the transaction
  const std::uint32_t counter = Word(database, kChangeCounterAt);
  if (before == 0) {
    // The transaction that made the database. It sets the counter to 1.
    if (counter > 1) FailForeign(path, name, "it is of a database without content");
    return;
  }
  if (page != PageSizeOf(database)) FailForeign(path, name, "it has pages of another size");
  if (const auto original = CounterIn(journal)) {
    if (counter == *original || counter == *original + 1) return;
    FailForeign(
        path,
        name,
        fmt::format("its change counter is {}, that of the database {}", *original, counter));
  }
  if (database.size() / page < before) FailForeign(path, name, "it is of a larger database");
}

/// A folder that is removed with its files.
class PrivateFolder {
 public:
  PrivateFolder() {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "dbsp_recoverXXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr) {
      Fail(ErrorCode::kIo,
           "{}: cannot make a folder for a private copy of the database; set TMPDIR",
           name);
    }
    path_ = name;
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  ~PrivateFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] fs::path Write(const std::string& name, std::string_view bytes) const {
    fs::path path = path_ / name;
    std::ofstream out(path, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) {
      Fail(ErrorCode::kIo,
           "{}: cannot write a private copy; free space or set TMPDIR",
           path.string());
    }
    return path;
  }

 private:
  fs::path path_;
};

/// Reads the file in the private folder into `memory`.
void Load(const fs::path& copy, const std::string& label, Connection& memory) {
  const Connection file(copy.string(), SQLITE_OPEN_READWRITE, label);
  if (memory.CopyFrom(file) == CopyResult::kHotJournal) {
    Fail(ErrorCode::kIo, "{}: cannot roll back the private copy {}", label, copy.string());
  }
}

/// Texts that identify the records of a database, sorted. Nothing that dbsp does removes one.
std::vector<std::string> RecordsOf(const Connection& connection) {
  std::vector<std::string> found;
  if (connection.Integer("PRAGMA user_version") == 0) return found;
  for (const char* query : {"SELECT uid FROM environments",
                            "SELECT e.uid || ' ' || t.id || ' ' || t.key || ' ' || t.started_utc "
                            "FROM trials t JOIN environments e ON e.id = t.environment_id",
                            "SELECT hash FROM plans",
                            "SELECT id || ' ' || plan_hash || ' ' || started_utc FROM replays"}) {
    Statement rows = connection.Prepare(query);
    while (rows.Step()) found.push_back(rows.Text(0));
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Records of the database as it is without log and journal. Missing when it is not sound: the
/// writer was killed while it wrote the database itself.
std::optional<std::vector<std::string>> RecordsAlone(const PrivateFolder& folder,
                                                     std::string database,
                                                     const std::string& label) {
  if (database.size() <= kReadVersionAt) return std::nullopt;
  database[kWriteVersionAt] = database[kReadVersionAt] = 1;
  try {
    Connection memory = InMemory(label);
    Load(folder.Write("alone.db", database), label, memory);
    CheckContent(memory, EmptyFile::kAllowed);
    return RecordsOf(memory);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptInput) throw;
    return std::nullopt;
  }
}

/// Size and times of the database and of the files beside it. They change with every write.
struct Stamp {
  std::int64_t size = 0;
  std::int64_t written_ns = 0;
  std::int64_t changed_ns = 0;  ///< also by rename, and by what sets the other time
  bool operator==(const Stamp&) const = default;
};
using Stamps = std::array<Stamp, 3>;

Stamps StampsOf(const fs::path& path) {
  const auto ns = [](const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  Stamps stamps;
  std::size_t i = 0;
  for (const fs::path& name : {path, LogOf(path), JournalOf(path)}) {
    struct stat info {};
    if (::stat(name.c_str(), &info) == 0) {
      stamps.at(i) = {info.st_size, ns(info.st_mtim), ns(info.st_ctim)};
    }
    ++i;
  }
  return stamps;
}

/// Whether the database was written, or renamed to its name, after its log was. A change of
/// permissions of both files takes less than the tolerance.
bool IsNewerThanLog(const Stamps& stamps) {
  constexpr std::int64_t kToleranceNs = 20'000'000;
  return stamps[0].written_ns > stamps[1].written_ns ||
         stamps[0].changed_ns > stamps[1].changed_ns + kToleranceNs;
}

}  // namespace

Connection InMemory(const std::string& label) {
  return {":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, label};
}

void RequireRegularRemains(const fs::path& path) {
  for (const fs::path& name : {LogOf(path), JournalOf(path)}) {
    std::error_code error;
    const fs::file_status status = fs::status(name, error);
    if (!fs::exists(status) || fs::is_regular_file(status)) continue;
    Fail(ErrorCode::kCorruptInput,
         "{}: expected a file of SQLite, found something that is not a regular file; move it away",
         name.string());
  }
}

bool HasLog(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(LogOf(path), error));
}

bool UsesLog(const std::string& header) {
  return header.size() > kReadVersionAt &&
         (header[kWriteVersionAt] == 2 || header[kReadVersionAt] == 2);
}

bool ReadRecovered(const fs::path& path, const Connection& file, Connection& memory) {
  const Stamps stamps = StampsOf(path);
  const std::string database = file.FileBytes(std::numeric_limits<std::int64_t>::max());
  const std::string log = BytesOf(LogOf(path)).value_or("");
  const std::string journal = BytesOf(JournalOf(path)).value_or("");
  if (StampsOf(path) != stamps) return false;
  if (!log.empty()) CheckLog(path, database, log);
  CheckJournal(path, database, journal);

  const PrivateFolder folder;
  const fs::path copy = folder.Write("copy.db", database);
  if (!log.empty()) (void)folder.Write("copy.db-wal", log);
  if (!journal.empty()) (void)folder.Write("copy.db-journal", journal);
  const bool remains = !log.empty() || !journal.empty();
  const fs::path name = log.empty() ? JournalOf(path) : LogOf(path);
  try {
    Load(copy, file.label(), memory);
    CheckContent(memory, EmptyFile::kAllowed);
  } catch (const Error& error) {
    if (!remains || error.code() != ErrorCode::kCorruptInput) throw;
    FailForeign(path, name, fmt::format("together they are damaged ({})", error.what()));
  }
  if (!remains) return true;
  const auto alone = RecordsAlone(folder, database, file.label());
  if (!alone) return true;
  // A log adds records. A journal takes away those of one unfinished transaction.
  const std::vector<std::string> recovered = RecordsOf(memory);
  const auto& more = log.empty() ? *alone : recovered;
  const auto& fewer = log.empty() ? recovered : *alone;
  if (!std::includes(more.begin(), more.end(), fewer.begin(), fewer.end())) {
    FailForeign(path, name, "it would replace records of the database by others");
  }
  // A writer writes to its log first. Only a finished log is older than the database.
  if (!log.empty() && IsNewerThanLog(stamps) && recovered != *alone) {
    FailForeign(path, name, "the database is newer (if both belong together, touch the log)");
  }
  return true;
}

void RequireNoRemains(const fs::path& path) {
  const auto log = BytesOf(LogOf(path));
  const auto journal = BytesOf(JournalOf(path));
  // Another process may have made the database meanwhile; then these are its files.
  std::error_code error;
  if (fs::file_size(path, error) > 0 && !error) return;
  if (log && !log->empty()) FailForeign(path, LogOf(path), "the database has no content");
  if (!journal || journal->empty() || journal->front() == '\0') return;
  if (!journal->starts_with(kJournalMagic) || Word(*journal, 16) != 0 ||
      NamesFurtherFiles(*journal)) {
    FailForeign(path, JournalOf(path), "the database has no content");
  }
}

}  // namespace dbsp::db
