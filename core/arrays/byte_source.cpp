// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/file.h"

namespace dbsp {
namespace {

class FileBytes : public ByteSource {
 public:
  explicit FileBytes(const std::filesystem::path& path) : path_(path.string()) {
    RequireRegularFile(path);
    // O_NONBLOCK: the name may have become a FIFO since.
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd_ < 0) Fail(ErrorCode::kIo, "{}: {}", path_, std::strerror(errno));
    struct stat info {};
    const bool known = ::fstat(fd_, &info) == 0;
    if (!known || !S_ISREG(info.st_mode)) {
      ::close(fd_);
      Fail(ErrorCode::kIo, "{}: expected a regular file", path_);
    }
    size_ = info.st_size;
  }
  ~FileBytes() override { ::close(fd_); }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  [[nodiscard]] std::int64_t size() const override { return size_; }

 protected:
  void ReadInto(std::int64_t offset, char* out, std::int64_t count) const override {
    while (count > 0) {
      const ssize_t got = ::pread(fd_, out, static_cast<std::size_t>(count), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) Fail(ErrorCode::kIo, "{}: cannot read: {}", path_, std::strerror(errno));
      if (got == 0) Fail(ErrorCode::kIo, "{}: became shorter while it was read", path_);
      offset += got;
      out += got;
      count -= got;
    }
  }
  [[nodiscard]] const std::string& origin() const override { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
  std::int64_t size_ = 0;
};

}  // namespace

std::string ByteSource::Read(std::int64_t offset, std::int64_t count) const {
  if (offset < 0 || count < 0 || offset > size() || count > size() - offset) {
    Fail(ErrorCode::kCorruptInput,
         "{}: ends early: {} bytes expected at byte {}, {} bytes are there in all",
         origin(),
         count,
         offset,
         size());
  }
  std::string bytes(static_cast<std::size_t>(count), '\0');
  ReadInto(offset, bytes.data(), count);
  return bytes;
}

ByteSourcePtr OpenFile(const std::filesystem::path& path) {
  return std::make_shared<const FileBytes>(path);
}

}  // namespace dbsp
