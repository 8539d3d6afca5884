// SPDX-License-Identifier: Apache-2.0
// An open file of the operating system, for core's readers and writers of files.
#pragma once

#include <unistd.h>

#include <utility>

namespace dbsp::internal {

/// Closes a file descriptor at scope exit.
class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  ~FileHandle() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  FileHandle& operator=(FileHandle&&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  /// close() can report a write that failed late (quota, network file systems).
  int Close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

}  // namespace dbsp::internal
