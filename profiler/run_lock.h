// SPDX-License-Identifier: Apache-2.0
// Two profilers at once: measurements on one host disturb each other. The locks are advisory, hold
// for dbsp-profile only, and end with the process, however that ends.
#pragma once

#include <filesystem>
#include <vector>

namespace dbsp::profiler {

/// Locks a database against a second profiler on this host with the file DATABASE.lock, which says
/// who holds it. A second file, in the folder for temporary files, is for all profilers of the user
/// on this host. Both are removed at the end.
class RunLock {
 public:
  /// Prints a note when a profiler on another host measures into the database, and when the file
  /// system has no locks. A folder that cannot be written is left to whoever opens the database.
  /// errors  Error{kIo} with process and start time when another profiler on this host has the
  ///         database, Error{kInvalidArgument} when DATABASE.lock is not a lock of dbsp-profile
  explicit RunLock(const std::filesystem::path& database);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

  /// Prints a note when another profiler of this user measures on this host, into any database.
  void NoteOthers();

 private:
  struct Held {
    std::filesystem::path path;
    int descriptor = -1;
  };
  std::vector<Held> held_;
};

}  // namespace dbsp::profiler
