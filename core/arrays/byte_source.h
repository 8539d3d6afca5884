// SPDX-License-Identifier: Apache-2.0
// Random access to the bytes of a file or of a member of a zip archive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace dbsp {

/// threads  const members are safe concurrently
class ByteSource {
 public:
  ByteSource() = default;
  virtual ~ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  [[nodiscard]] virtual std::int64_t size() const = 0;
  /// Bytes [offset, offset + count).
  /// errors   Error{kCorruptInput} when they are outside the source, before memory is allocated;
  ///          Error{kIo}
  [[nodiscard]] std::string Read(std::int64_t offset, std::int64_t count) const;

 protected:
  virtual void ReadInto(std::int64_t offset, char* out, std::int64_t count) const = 0;
  [[nodiscard]] virtual const std::string& origin() const = 0;  ///< name in errors
};

using ByteSourcePtr = std::shared_ptr<const ByteSource>;

/// errors   Error{kNotFound, kIo}; a folder is Error{kIo}
[[nodiscard]] ByteSourcePtr OpenFile(const std::filesystem::path& path);

struct ZipMember {
  std::string name;
  ByteSourcePtr bytes;  ///< keeps the archive open; null with a problem
  std::string problem;  ///< why the member cannot be read, as a message; "" if it can
};

/// Members of a zip archive, in its order. One that is encrypted, compressed otherwise than by
/// deflate or declared larger than it can be has a problem.
/// errors  Error{kCorruptInput, kNotFound, kIo}
[[nodiscard]] std::vector<ZipMember> OpenZip(const std::filesystem::path& path);

}  // namespace dbsp
