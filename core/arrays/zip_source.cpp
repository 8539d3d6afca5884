// SPDX-License-Identifier: Apache-2.0
// Members of zip archives through libzip (stored, deflated, zip64).
#include <zip.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "core/arrays/byte_source.h"
#include "core/arrays/zip_error.h"
#include "core/error.h"
#include "core/file.h"

namespace dbsp {
namespace {

/// A header of any supported format fits in this many bytes. Reads within them do not inflate the
/// whole member.
constexpr std::int64_t kPrefixBytes = 1 << 17;
/// Deflate compresses at most 1032 : 1, so a larger declared ratio is false.
constexpr std::int64_t kMaxDeflateRatio = 1032;

/// An open libzip archive, used by one thread at a time.
struct Archive {
  explicit Archive(const std::filesystem::path& path) : origin(path.string()) {
    int error = 0;
    zip = ::zip_open(path.c_str(), ZIP_RDONLY, &error);
    if (zip == nullptr) {
      zip_error_t text;
      ::zip_error_init_with_code(&text, error);
      internal::ThrowIfOutOfMemory(&text);
      const std::string words = ::zip_error_strerror(&text);
      ::zip_error_fini(&text);
      Fail(error == ZIP_ER_NOENT ? ErrorCode::kNotFound : ErrorCode::kCorruptInput,
           "{}: cannot open as a zip archive: {}",
           origin,
           words);
    }
  }
  ~Archive() { ::zip_discard(zip); }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  std::string origin;
  std::mutex mutex;
  zip_t* zip = nullptr;
};

class OpenMember {
 public:
  OpenMember(Archive& archive, std::uint64_t index, const std::string& origin)
      : file_(::zip_fopen_index(archive.zip, index, 0)), origin_(origin) {
    if (file_ == nullptr) {
      internal::ThrowIfOutOfMemory(::zip_get_error(archive.zip));
      Fail(ErrorCode::kCorruptInput, "{}: cannot open: {}", origin, ::zip_strerror(archive.zip));
    }
  }
  ~OpenMember() { ::zip_fclose(file_); }
  OpenMember(const OpenMember&) = delete;
  OpenMember& operator=(const OpenMember&) = delete;

  void Seek(std::int64_t offset) {
    if (offset != 0 && ::zip_fseek(file_, offset, SEEK_SET) != 0) FailHere();
  }
  void Read(char* out, std::int64_t count) {
    while (count > 0) {
      const zip_int64_t got = ::zip_fread(file_, out, static_cast<zip_uint64_t>(count));
      if (got < 0) FailHere();
      if (got == 0) Fail(ErrorCode::kCorruptInput, "{}: holds less than it declares", origin_);
      out += got;
      count -= got;
    }
  }
  /// Reads at the end of the member, which makes libzip compare the checksum.
  void ExpectEnd() {
    char extra = 0;
    const zip_int64_t got = ::zip_fread(file_, &extra, 1);
    if (got < 0) FailHere();
    if (got > 0) Fail(ErrorCode::kCorruptInput, "{}: holds more than it declares", origin_);
  }

 private:
  [[noreturn]] void FailHere() {
    if (::zip_error_code_zip(::zip_file_get_error(file_)) == ZIP_ER_CRC) {
      Fail(ErrorCode::kCorruptInput,
           "{}: its bytes do not have the CRC-32 that the archive states; the file is damaged, or "
           "it was saved without checksums (torch.serialization.set_crc32_options(False)): save it "
           "again",
           origin_);
    }
    internal::ThrowIfOutOfMemory(::zip_file_get_error(file_));
    Fail(ErrorCode::kCorruptInput, "{}: cannot read: {}", origin_, ::zip_file_strerror(file_));
  }
  zip_file_t* file_;
  const std::string& origin_;
};

class ZipBytes : public ByteSource {
 public:
  ZipBytes(std::shared_ptr<Archive> archive, const zip_stat_t& stat)
      : archive_(std::move(archive)),
        origin_(fmt::format("{}: member '{}'", archive_->origin, stat.name)),
        index_(stat.index),
        size_(static_cast<std::int64_t>(stat.size)),
        stored_(stat.comp_method == ZIP_CM_STORE) {}

  [[nodiscard]] std::int64_t size() const override { return size_; }

 protected:
  void ReadInto(std::int64_t offset, char* out, std::int64_t count) const override {
    if (count == 0) return;
    const std::lock_guard lock(archive_->mutex);
    if (inflated_.empty() && !stored_ && offset + count > kPrefixBytes) Inflate();
    if (!verified_) Verify();
    if (!inflated_.empty()) {
      inflated_.copy(out, static_cast<std::size_t>(count), static_cast<std::size_t>(offset));
      return;
    }
    OpenMember member(*archive_, index_, origin_);
    if (stored_) {
      member.Seek(offset);
    } else {
      std::string skipped(static_cast<std::size_t>(offset), '\0');
      member.Read(skipped.data(), offset);
    }
    member.Read(out, count);
  }
  [[nodiscard]] const std::string& origin() const override { return origin_; }

 private:
  /// Reads the member from begin to end, which makes libzip compare its checksum and its size. It
  /// runs once per member, at the first read of any part.
  void Verify() const {
    RequireInflatable();
    constexpr std::int64_t kChunkBytes = 1 << 20;
    std::string chunk(static_cast<std::size_t>(std::min(size_, kChunkBytes)), '\0');
    OpenMember member(*archive_, index_, origin_);
    for (std::int64_t left = size_; left > 0; left -= kChunkBytes) {
      member.Read(chunk.data(), std::min(left, kChunkBytes));
    }
    member.ExpectEnd();
    verified_ = true;
  }
  void Inflate() const {
    RequireInflatable();
    std::string bytes(static_cast<std::size_t>(size_), '\0');
    OpenMember member(*archive_, index_, origin_);
    member.Read(bytes.data(), size_);
    member.ExpectEnd();
    inflated_ = std::move(bytes);
    verified_ = true;
  }
  /// Stored members have no limit, because slices are read directly from the archive.
  void RequireInflatable() const {
    if (stored_ || size_ <= kMaxInflatedBytes) return;
    Fail(ErrorCode::kCorruptInput,
         "{}: {} bytes once inflated, at most {} are; store it uncompressed, then slices are "
         "read where they lie",
         origin_,
         size_,
         kMaxInflatedBytes);
  }

  std::shared_ptr<Archive> archive_;
  std::string origin_;
  std::uint64_t index_;
  std::int64_t size_;
  bool stored_;
  mutable std::string inflated_;  ///< guarded by archive_->mutex
  mutable bool verified_ = false;  ///< guarded by archive_->mutex
};

/// Refuses declarations that are false or not supported, before memory is allocated for them.
void CheckMember(const zip_stat_t& stat, std::int64_t file_size, const std::string& origin) {
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_NAME | ZIP_STAT_INDEX | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if ((stat.valid & kNeeded) != kNeeded) {
    Fail(ErrorCode::kCorruptInput, "{}: a member has no name or size", origin);
  }
  if (stat.encryption_method != ZIP_EM_NONE) {
    Fail(ErrorCode::kCorruptInput, "{}: member '{}' is encrypted", origin, stat.name);
  }
  const auto room = static_cast<zip_uint64_t>(file_size);
  const bool stored = stat.comp_method == ZIP_CM_STORE;
  if (!stored && stat.comp_method != ZIP_CM_DEFLATE) {
    Fail(ErrorCode::kCorruptInput,
         "{}: member '{}' has compression method {}, expected stored (0) or deflated (8)",
         origin,
         stat.name,
         stat.comp_method);
  }
  const bool fits = stat.comp_size <= room &&
                    (stored ? stat.size == stat.comp_size
                            : stat.size <= stat.comp_size * kMaxDeflateRatio + kMaxDeflateRatio);
  if (!fits) {
    Fail(ErrorCode::kCorruptInput,
         "{}: member '{}' declares {} bytes in {}, which a file of {} bytes cannot hold",
         origin,
         stat.name,
         stat.size,
         stat.comp_size,
         file_size);
  }
}

}  // namespace

std::vector<ZipMember> OpenZip(const std::filesystem::path& path) {
  const std::int64_t file_size = OpenFile(path)->size();
  const auto archive = std::make_shared<Archive>(path);
  std::vector<ZipMember> members;
  const zip_int64_t count = ::zip_get_num_entries(archive->zip, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (::zip_stat_index(archive->zip, static_cast<zip_uint64_t>(i), 0, &stat) != 0) {
      Fail(ErrorCode::kCorruptInput,
           "{}: member {}: {}",
           archive->origin,
           i,
           ::zip_strerror(archive->zip));
    }
    if ((stat.valid & ZIP_STAT_NAME) == 0) {
      Fail(ErrorCode::kCorruptInput, "{}: member {} has no name", archive->origin, i);
    }
    ZipMember member{stat.name, nullptr, ""};
    try {
      CheckMember(stat, file_size, archive->origin);
      member.bytes = std::make_shared<const ZipBytes>(archive, stat);
    } catch (const Error& error) {
      member.problem = error.what();
    }
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace dbsp
