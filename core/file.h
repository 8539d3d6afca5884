// SPDX-License-Identifier: Apache-2.0
// Reading, writing and hashing whole files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dbsp {

/// Most bytes of a file that is read whole: of any kind, and of a text (workload, plan, table).
inline constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 36;
inline constexpr std::int64_t kMaxTextBytes = std::int64_t{1} << 30;
/// Most bytes of a file that is hashed. Array files may be larger than memory.
inline constexpr std::int64_t kMaxHashedBytes = std::int64_t{1} << 40;

/// Refuses whatever is not a regular file before it is opened: opening a FIFO waits, and a device
/// may never end. Symbolic links are followed.
/// errors  Error{kNotFound} when absent, Error{kIo} "not a regular file but a FIFO" otherwise
void RequireRegularFile(const std::filesystem::path& path);

/// Bytes of a regular file. /dev/stdin may also be a pipe.
/// errors  Error{kNotFound} when absent, Error{kCorruptInput} with more than `limit` bytes,
///         Error{kIo} otherwise and as RequireRegularFile()
[[nodiscard]] std::string ReadFile(const std::filesystem::path& path,
                                   std::int64_t limit = kMaxFileBytes);

/// Folder to which names in the file are relative: that of `path`, or "" (the current one) for
/// standard input.
[[nodiscard]] std::filesystem::path BaseFolderOf(const std::filesystem::path& path);

/// Writes an output. docs/design/0019-outputs.md gives the reasons.
///   regular file, or none    a temporary file beside it is written, synced and renamed. A reader
///                            sees the old or the new content. Mode and, where allowed, owner of an
///                            existing file are kept. Temporary files of dead writers are removed.
///   symbolic link            the file that it names is written; the link remains
///   several hard links       the file is written in place, so that all its names show the new
///                            content; the old content is put back if that fails
///   FIFO, character device   the bytes are written to it; a FIFO needs a reader within 3 s
///   "-", /dev/stdout         the bytes are written to standard output; also /dev/fd/N
/// errors  Error{kIo} with the path and the message of the system. After an error the old file is
///         unchanged and no temporary file is left; only a file of several links may be damaged if
///         its old content cannot be put back
void WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes);

/// 32 hexadecimal digits of XXH3-128. They identify content; they are not cryptographic.
[[nodiscard]] std::string HashBytes(std::string_view bytes);
/// Hash of the hashes of 64 MiB pieces of the file, so that a file of many gigabytes is never whole
/// in memory. A file is read once per process; it is read again when its size or time has changed.
/// errors  Error{kNotFound} when absent, Error{kCorruptInput} above kMaxHashedBytes, Error{kIo}
///         otherwise and as RequireRegularFile()
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
