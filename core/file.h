// SPDX-License-Identifier: Apache-2.0
// Whole files in and out. Writing is all or nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dbsp {

/// Bytes of the file. errors Error{kNotFound} when absent, Error{kIo} otherwise
[[nodiscard]] std::string ReadFile(const std::filesystem::path& path);

/// Writes to a temporary name beside `path`, fsyncs, renames, fsyncs the folder. On failure the old
/// file is as it was and no temporary file stays.
/// errors  Error{kIo} with path and the system's words
void WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes);

/// 32 hexadecimal digits of XXH3-128: identity of content, not security.
[[nodiscard]] std::string HashBytes(std::string_view bytes);
/// Hash of the hashes of 64 MiB pieces of the file, so that a file of many gigabytes is never whole
/// in memory. A file is read once per process; it is read again when its size or time has changed.
/// errors  Error{kNotFound} when absent, Error{kIo} otherwise
[[nodiscard]] std::string HashFile(const std::filesystem::path& path);

/// Most bytes that anything compressed may become in memory.
inline constexpr std::int64_t kMaxInflatedBytes = std::int64_t{1} << 30;

/// zstd frame of `bytes` and back. A frame that inflates beyond `limit` bytes is refused before the
/// memory is taken: a few kilobytes can claim gigabytes.
/// errors  Error{kCorruptInput} naming `origin`
[[nodiscard]] std::string ZstdCompress(std::string_view bytes);
[[nodiscard]] std::string ZstdDecompress(std::string_view bytes,
                                         const std::string& origin,
                                         std::int64_t limit = kMaxInflatedBytes);

/// Now, as "2026-01-31T12:34:56Z".
[[nodiscard]] std::string NowUtc();

}  // namespace dbsp
