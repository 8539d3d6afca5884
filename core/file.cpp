// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "core/error.h"
#include "core/file_handle.h"

namespace dbsp {
namespace {

using internal::FileHandle;

constexpr std::size_t kHashPieceBytes = std::size_t{64} << 20;

[[noreturn]] void FailIo(const std::filesystem::path& path, const char* what) {
  Fail(ErrorCode::kIo, "{}: {}: {}", path.string(), what, std::strerror(errno));
}

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "folder";
  if (S_ISFIFO(mode)) return "pipe or FIFO";
  if (S_ISCHR(mode)) return "character device";
  if (S_ISBLK(mode)) return "block device";
  return S_ISSOCK(mode) ? "socket" : "special file";
}

void RequireRegular(const struct stat& info, const std::filesystem::path& path) {
  if (S_ISREG(info.st_mode)) return;
  Fail(ErrorCode::kIo,
       "{}: not a regular file but a {}; {}",
       path.string(),
       KindOf(info.st_mode),
       S_ISDIR(info.st_mode) ? "give the path of a file in it"
                             : "store the data in a file and give its path");
}

bool IsStandardInput(const std::filesystem::path& path) {
  return path == "/dev/stdin" || path == "/dev/fd/0" || path == "/proc/self/fd/0";
}

/// `dbsp-tune ... -o - | dbsp-replay /dev/stdin`: the user connected this pipe by hand.
bool IsPipeOnStandardInput(const std::filesystem::path& path) {
  struct stat info {};
  return IsStandardInput(path) && ::fstat(STDIN_FILENO, &info) == 0 && S_ISFIFO(info.st_mode);
}

FileHandle OpenToRead(const std::filesystem::path& path) {
  RequireRegularFile(path);
  // O_NONBLOCK: the name may have become a FIFO since.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd >= 0) return FileHandle(fd);
  FailIo(path, "cannot open");
}

struct stat StatOf(const FileHandle& file, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) FailIo(path, "cannot stat");
  RequireRegular(info, path);
  return info;
}

void RequireAtMost(std::int64_t limit, std::int64_t bytes, const std::filesystem::path& path) {
  if (bytes <= limit) return;
  Fail(ErrorCode::kCorruptInput,
       "{}: more than {} bytes; a file of this kind has at most so many",
       path.string(),
       limit);
}

/// Bytes read, 0 at the end of the file.
std::size_t ReadSome(const FileHandle& file,
                     char* out,
                     std::size_t size,
                     const std::filesystem::path& path) {
  while (true) {
    const ssize_t got = ::read(file.get(), out, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) FailIo(path, "cannot read");
  }
}

/// Changes when the content of a file does: device, inode, size, times of content and status.
using FileIdentity = std::array<std::int64_t, 7>;

FileIdentity IdentityOf(const struct stat& info) {
  return {static_cast<std::int64_t>(info.st_dev),
          static_cast<std::int64_t>(info.st_ino),
          info.st_size,
          info.st_mtim.tv_sec,
          info.st_mtim.tv_nsec,
          info.st_ctim.tv_sec,
          info.st_ctim.tv_nsec};
}

std::string HashPieces(const FileHandle& file, const std::filesystem::path& path) {
  std::string hashes;
  std::string piece(kHashPieceBytes, '\0');
  std::size_t filled = 0;
  do {
    filled = 0;
    while (filled < piece.size()) {
      const std::size_t got = ReadSome(file, piece.data() + filled, piece.size() - filled, path);
      if (got == 0) break;
      filled += got;
    }
    hashes += HashBytes(std::string_view(piece).substr(0, filled));
  } while (filled == piece.size());
  return HashBytes(hashes);
}

/// Inflates every frame of `bytes`, and appends the result to `out` unless it is null. zstd
/// compares the checksums of frames that have one. Returns the number of inflated bytes.
std::int64_t InflateZstd(std::string_view bytes,
                         const std::string& origin,
                         std::int64_t limit,
                         std::string* out) {
  const std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                          &ZSTD_freeDStream);
  if (stream == nullptr) throw std::bad_alloc();
  std::string chunk(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::int64_t inflated = 0;
  std::size_t hint = 1;
  const auto inflate = [&] {
    ZSTD_outBuffer buffer{chunk.data(), chunk.size(), 0};
    hint = ZSTD_decompressStream(stream.get(), &buffer, &in);
    if (ZSTD_getErrorCode(hint) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    if (ZSTD_isError(hint) != 0) {
      Fail(ErrorCode::kCorruptInput,
           "{}: damaged zstd data, or not zstd data, near byte {} of {}: {}",
           origin,
           in.pos,
           bytes.size(),
           ZSTD_getErrorName(hint));
    }
    inflated += static_cast<std::int64_t>(buffer.pos);
    if (inflated > limit) {
      Fail(ErrorCode::kCorruptInput,
           "{}: zstd data of {} bytes inflate to more than {} bytes",
           origin,
           bytes.size(),
           limit);
    }
    if (out != nullptr) out->append(chunk.data(), buffer.pos);
    return buffer.pos > 0;
  };
  while (in.pos < in.size) inflate();
  // A full output buffer may leave bytes inside the stream; hint == 0 says the frame is complete
  // and flushed, and asking on would begin another.
  while (hint != 0 && inflate()) {
  }
  if (hint != 0) {
    Fail(ErrorCode::kCorruptInput, "{}: zstd data ends early after {} bytes", origin, bytes.size());
  }
  return inflated;
}

}  // namespace

std::string HashFile(const std::filesystem::path& path) {
  static std::mutex mutex;
  static std::map<FileIdentity, std::string> known;
  const FileHandle file = OpenToRead(path);
  const struct stat info = StatOf(file, path);
  RequireAtMost(kMaxHashedBytes, info.st_size, path);
  const FileIdentity identity = IdentityOf(info);
  const std::lock_guard lock(mutex);
  const auto found = known.find(identity);
  if (found != known.end()) return found->second;
  std::string hash = HashPieces(file, path);
  // A file that changes while it is read is not remembered.
  if (IdentityOf(StatOf(file, path)) == identity) known.emplace(identity, hash);
  return hash;
}

void RequireRegularFile(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) Fail(ErrorCode::kNotFound, "{}: no such file", path.string());
    FailIo(path, "cannot open");
  }
  RequireRegular(info, path);
}

std::filesystem::path BaseFolderOf(const std::filesystem::path& path) {
  return IsStandardInput(path) ? std::filesystem::path() : path.parent_path();
}

std::string ReadFile(const std::filesystem::path& path, std::int64_t limit) {
  const bool piped = IsPipeOnStandardInput(path);
  const FileHandle file =
      piped ? FileHandle(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) : OpenToRead(path);
  const std::int64_t size = piped ? 0 : StatOf(file, path).st_size;
  RequireAtMost(limit, size, path);
  std::string bytes;
  bytes.resize(size);
  std::size_t done = 0;
  // Reads until end of file: pipes and /proc report a size of 0.
  while (true) {
    if (done == bytes.size()) bytes.resize(bytes.size() + (1U << 16U));
    const std::size_t got = ReadSome(file, bytes.data() + done, bytes.size() - done, path);
    if (got == 0) break;
    done += got;
    RequireAtMost(limit, static_cast<std::int64_t>(done), path);
  }
  bytes.resize(done);
  return bytes;
}

std::string HashBytes(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string ZstdCompress(std::string_view bytes) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  if (context == nullptr) throw std::bad_alloc();
  DBSP_CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1)) == 0);
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size =
      ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  DBSP_CHECK(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

std::string ZstdDecompress(std::string_view bytes, const std::string& origin, std::int64_t limit) {
  // The first pass only counts, so that memory is allocated for data that are whole and allowed.
  std::string out;
  out.reserve(static_cast<std::size_t>(InflateZstd(bytes, origin, limit, nullptr)));
  (void)InflateZstd(bytes, origin, limit, &out);
  return out;
}

bool ZstdHasChecksums(std::string_view bytes) {
  // RFC 8878: magic number, then a descriptor whose bit 2 is the Content_Checksum_flag.
  constexpr std::string_view kMagic = "\x28\xb5\x2f\xfd";
  while (!bytes.empty()) {
    const std::size_t size = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
    if (ZSTD_isError(size) != 0 || size <= kMagic.size()) return false;
    const bool data = bytes.starts_with(kMagic);  // else a skippable frame
    if (data && (static_cast<unsigned char>(bytes[kMagic.size()]) & 4U) == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string NowUtc() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace dbsp
