// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "core/error.h"

namespace dbsp {
namespace {

constexpr std::size_t kHashPieceBytes = std::size_t{64} << 20;

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
  int Close() {
    const int result = ::close(fd_);
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

[[noreturn]] void FailIo(const std::filesystem::path& path, const char* what) {
  Fail(ErrorCode::kIo, "{}: {}: {}", path.string(), what, std::strerror(errno));
}

void WriteAll(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      FailIo(path, "cannot write");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

FileHandle OpenToRead(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return FileHandle(fd);
  if (errno == ENOENT) Fail(ErrorCode::kNotFound, "{}: no such file", path.string());
  FailIo(path, "cannot open");
}

struct stat StatOf(const FileHandle& file, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) FailIo(path, "cannot stat");
  if (S_ISDIR(info.st_mode))
    Fail(ErrorCode::kIo, "{}: is a folder, expected a file", path.string());
  return info;
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
  DBSP_CHECK(stream != nullptr);
  std::string chunk(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::int64_t inflated = 0;
  std::size_t hint = 1;
  const auto inflate = [&] {
    ZSTD_outBuffer buffer{chunk.data(), chunk.size(), 0};
    hint = ZSTD_decompressStream(stream.get(), &buffer, &in);
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
  const FileIdentity identity = IdentityOf(StatOf(file, path));
  const std::lock_guard lock(mutex);
  const auto found = known.find(identity);
  if (found != known.end()) return found->second;
  std::string hash = HashPieces(file, path);
  // A file that changes while it is read is not remembered.
  if (IdentityOf(StatOf(file, path)) == identity) known.emplace(identity, hash);
  return hash;
}

std::string ReadFile(const std::filesystem::path& path) {
  const FileHandle file = OpenToRead(path);
  const struct stat info = StatOf(file, path);
  std::string bytes;
  bytes.resize(info.st_size);
  std::size_t done = 0;
  // Reads until end of file: pipes and /proc report a size of 0.
  while (true) {
    if (done == bytes.size()) bytes.resize(bytes.size() + (1U << 16U));
    const std::size_t got = ReadSome(file, bytes.data() + done, bytes.size() - done, path);
    if (got == 0) break;
    done += got;
  }
  bytes.resize(done);
  return bytes;
}

void WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::string temporary = (folder / (path.filename().string() + ".tmpXXXXXX")).string();
  FileHandle file(::mkstemp(temporary.data()));
  if (file.get() < 0) FailIo(path, "cannot write");
  try {
    WriteAll(file.get(), bytes, path);
    // mkstemp makes 0600; give what the user's umask gives other new files.
    const mode_t mask = ::umask(0);
    ::umask(mask);
    if (::fchmod(file.get(), 0666 & ~mask) != 0) FailIo(path, "cannot set the mode");
    if (::fsync(file.get()) != 0) FailIo(path, "cannot sync");
    if (file.Close() != 0) FailIo(path, "cannot close");
    if (::rename(temporary.c_str(), path.c_str()) != 0) FailIo(path, "cannot rename into place");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  const FileHandle directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

std::string HashBytes(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string ZstdCompress(std::string_view bytes) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  DBSP_CHECK(context != nullptr);
  DBSP_CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1)) == 0);
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size =
      ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
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
