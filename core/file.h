// SPDX-License-Identifier: Apache-2.0
// Reading, writing and hashing whole files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dbsp {

/// Bytes of the file. errors Error{kNotFound} when absent, Error{kIo} otherwise
[[nodiscard]] std::string ReadFile(const std::filesystem::path& path);

/// Writes to a temporary file beside `path`, syncs it, renames it to `path` and syncs the folder.
/// On failure the old file is unchanged and no temporary file is left. errors  Error{kIo} with the
/// path and the message of the system
void WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes);

/// 32 hexadecimal digits of XXH3-128. They identify content; they are not cryptographic.
[[nodiscard]] std::string HashBytes(std::string_view bytes);
/// Hash of the hashes of 64 MiB pieces of the file, so that a file of many gigabytes is never whole
/// in memory. A file is read once per process; it is read again when its size or time has changed.
/// errors  Error{kNotFound} when absent, Error{kIo} otherwise
[[nodiscard]] std::string HashFile(const std::filesystem::path& path);

/// Upper bound on the bytes that compressed data may inflate to.
inline constexpr std::int64_t kMaxInflatedBytes = std::int64_t{1} << 30;

/// Compression to one zstd frame with a checksum, and back. Several frames one after the other are
/// joined and skippable frames are ignored, as the zstd tool does. Every checksum that a frame has
/// is compared. Data that inflate beyond `limit` bytes are refused before memory is allocated for
/// them.
/// errors  Error{kCorruptInput} naming `origin`
[[nodiscard]] std::string ZstdCompress(std::string_view bytes);
[[nodiscard]] std::string ZstdDecompress(std::string_view bytes,
                                         const std::string& origin,
                                         std::int64_t limit = kMaxInflatedBytes);

/// Whether every frame that ZstdDecompress() joins has a checksum. requires data that it accepts
[[nodiscard]] bool ZstdHasChecksums(std::string_view bytes);

/// The current time, as "2026-01-31T12:34:56Z".
[[nodiscard]] std::string NowUtc();

}  // namespace dbsp
