// SPDX-License-Identifier: Apache-2.0
// The .npy header (format versions 1, 2, 3) and its zip archive, .npz.
#include <zip.h>

#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <set>

#include "core/arrays/array_entry.h"
#include "core/arrays/zip_error.h"
#include "core/error.h"
#include "core/file.h"

namespace dbsp {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
/// Far above what a header of 64 dimensions needs.
constexpr std::int64_t kMaxNpyHeaderBytes = 1 << 16;

struct NpyType {
  std::string_view code;
  ArrayType type;
};
constexpr std::array<NpyType, 9> kNpyTypes{{{"b1", ArrayType::kB1},
                                            {"u1", ArrayType::kU1},
                                            {"i1", ArrayType::kI1},
                                            {"i2", ArrayType::kI2},
                                            {"i4", ArrayType::kI4},
                                            {"i8", ArrayType::kI8},
                                            {"f2", ArrayType::kF2},
                                            {"f4", ArrayType::kF4},
                                            {"f8", ArrayType::kF8}}};

/// Reads the dictionary of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string origin)
      : text_(text), origin_(std::move(origin)) {}

  void Parse(ArrayEntry& entry) {
    std::set<std::string_view> seen;
    bool fortran = false;
    Expect('{');
    while (!Take('}')) {
      const std::string_view key = Quoted();
      if (!seen.insert(key).second) Wrong("a key appears twice");
      Expect(':');
      if (key == "descr") {
        ParseType(entry);
      } else if (key == "fortran_order") {
        fortran = Boolean();
      } else if (key == "shape") {
        entry.info.shape = Tuple();
      } else {
        Wrong("unknown key");
      }
      if (!Take(',')) {
        Expect('}');
        break;
      }
    }
    if (seen.size() != 3) Wrong("expected the keys descr, fortran_order and shape");
    Skip();
    if (at_ != text_.size()) Wrong("text after the dictionary");
    entry.strides = CStrides(entry.info.shape);
    if (fortran) {
      const std::vector<std::int64_t> reversed(entry.info.shape.rbegin(), entry.info.shape.rend());
      const auto strides = CStrides(reversed);
      entry.strides.assign(strides.rbegin(), strides.rend());
    }
  }
  /// Code of an element type that is not read; "" for one that is.
  [[nodiscard]] std::string_view unsupported() const { return unsupported_; }

 private:
  [[noreturn]] void Wrong(const char* what) {
    Fail(ErrorCode::kCorruptInput, "{}: npy header, character {}: {}", origin_, at_, what);
  }
  void Skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool Take(char c) {
    Skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void Expect(char c) {
    const char what[] = {'e', 'x', 'p', 'e', 'c', 't', 'e', 'd', ' ', '\'', c, '\'', '\0'};
    if (!Take(c)) Wrong(what);
  }
  std::string_view Quoted() {
    Skip();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const bool list = quote == '[' || quote == '(';
    if (list) Wrong("structured elements, expected one number per element");
    if (quote != '\'' && quote != '"') Wrong("expected a quoted word");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) Wrong("the quote does not end");
    const std::string_view word = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return word;
  }
  bool Boolean() {
    Skip();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    Wrong("expected True or False");
  }
  std::vector<std::int64_t> Tuple() {
    std::vector<std::int64_t> values;
    Expect('(');
    while (!Take(')')) {
      Skip();
      std::int64_t value = 0;
      const char* begin = text_.data() + at_;
      const auto result = std::from_chars(begin, text_.data() + text_.size(), value);
      if (result.ec != std::errc() || value < 0) Wrong("expected a size >= 0");
      at_ += static_cast<std::size_t>(result.ptr - begin);
      static_cast<void>(Take('L'));  // Python 2 wrote 3L
      values.push_back(value);
      if (!Take(',')) {
        Expect(')');
        break;
      }
    }
    return values;
  }
  void ParseType(ArrayEntry& entry) {
    const std::string_view descr = Quoted();
    const char order = descr.empty() ? '\0' : descr.front();
    for (const NpyType& known : kNpyTypes) {
      if (order != '\0' && std::string_view("<>=|").find(order) != std::string_view::npos &&
          descr.substr(1) == known.code) {
        entry.info.type = known.type;
        entry.swapped = order == '>';
        return;
      }
    }
    unsupported_ = descr;
  }

  std::string_view text_;
  std::string origin_;
  std::string_view unsupported_;
  std::size_t at_ = 0;
};

/// Fills an entry that has its name.
void ReadNpy(ByteSourcePtr source, const std::string& origin, ArrayEntry& entry) {
  const std::string start = source->Read(0, 10);
  const auto byte = [](const std::string& text, std::size_t i) {
    return static_cast<std::int64_t>(static_cast<unsigned char>(text[i]));
  };
  if (!start.starts_with(kMagic)) {
    Fail(ErrorCode::kCorruptInput, "{}: not an npy file: byte 0 is not \\x93NUMPY", origin);
  }
  const std::int64_t version = byte(start, 6);
  if (version < 1 || version > 3) {
    Fail(ErrorCode::kCorruptInput, "{}: npy version {}, expected 1, 2 or 3", origin, version);
  }
  std::int64_t length = byte(start, 8) + (byte(start, 9) << 8);
  std::int64_t header = 10;
  if (version > 1) {
    const std::string more = source->Read(10, 2);
    length += (byte(more, 0) << 16) + (byte(more, 1) << 24);
    header = 12;
  }
  if (length > kMaxNpyHeaderBytes) {
    Fail(ErrorCode::kCorruptInput, "{}: npy header of {} bytes", origin, length);
  }
  const std::string text = source->Read(header, length);
  entry.offset = header + length;
  HeaderParser parser(text, origin);
  parser.Parse(entry);
  if (!parser.unsupported().empty()) {
    const std::int64_t bytes = source->size() - entry.offset;
    if (parser.unsupported().substr(1, 1) == "S" && entry.info.shape.empty() && bytes <= 16) {
      entry.info.text = source->Read(entry.offset, bytes);
    }
    Fail(ErrorCode::kCorruptInput,
         "{}: npy header: unsupported element type '{}' (known: b1 u1 i1 i2 i4 i8 f2 f4 f8); save "
         "a mask as x.astype('uint8')",
         origin,
         parser.unsupported());
  }
  entry.source = std::move(source);
  CheckEntry(entry, origin);
}

/// Bytes of the .npy file of an array: version 1, data aligned to 64 bytes.
std::string NpyBytes(const Array& array) {
  std::string_view code;
  for (const NpyType& known : kNpyTypes) {
    if (known.type == array.type) code = known.code;
  }
  if (code.empty()) {
    Fail(ErrorCode::kInvalidArgument, "npy files have no type {}", NameOf(array.type));
  }
  DBSP_CHECK(ElementCount(array.shape) == array.size());
  std::string shape;
  for (const std::int64_t size : array.shape) shape += fmt::format("{}, ", size);
  if (array.shape.size() > 1) shape.resize(shape.size() - 2);
  if (array.shape.size() == 1) shape.pop_back();
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                   BytesOf(array.type) == 1 ? '|' : '<',
                                   code,
                                   shape);
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes(kMagic);
  bytes += '\x01';
  bytes += '\0';
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + array.bytes;
}

/// Builds a zip archive in memory.
class ZipWriter {
 public:
  ZipWriter() {
    zip_error_init(&error_);
    buffer_ = ::zip_source_buffer_create(nullptr, 0, 0, &error_);
    zip_ = buffer_ == nullptr ? nullptr : ::zip_open_from_source(buffer_, ZIP_TRUNCATE, &error_);
    if (zip_ == nullptr) {
      ::zip_source_free(buffer_);
      internal::ThrowIfOutOfMemory(&error_);
      Fail(ErrorCode::kInternal, "zip: {}", ::zip_error_strerror(&error_));
    }
    ::zip_source_keep(buffer_);
  }
  ~ZipWriter() {
    if (zip_ != nullptr) ::zip_discard(zip_);
    ::zip_source_free(buffer_);
    ::zip_error_fini(&error_);
  }
  ZipWriter(const ZipWriter&) = delete;
  ZipWriter& operator=(const ZipWriter&) = delete;

  /// `bytes` must outlive Finish().
  void Add(const std::string& name, const std::string& bytes) {
    zip_source_t* member = ::zip_source_buffer(zip_, bytes.data(), bytes.size(), 0);
    const zip_int64_t index =
        member == nullptr ? -1 : ::zip_file_add(zip_, name.c_str(), member, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
      ::zip_source_free(member);
      internal::ThrowIfOutOfMemory(::zip_get_error(zip_));
      Fail(ErrorCode::kInvalidArgument, "zip: member '{}': {}", name, ::zip_strerror(zip_));
    }
    const auto at = static_cast<zip_uint64_t>(index);
    constexpr zip_uint16_t kFirstZipDay = 0x21;  // 1980-01-01: equal arrays give equal bytes
    ::zip_file_set_dostime(zip_, at, 0, kFirstZipDay, 0);
    ::zip_set_file_compression(zip_, at, ZIP_CM_DEFLATE, 1);
  }
  std::string Finish() {
    if (::zip_close(zip_) != 0) {
      internal::ThrowIfOutOfMemory(::zip_get_error(zip_));
      Fail(ErrorCode::kInternal, "zip: {}", ::zip_strerror(zip_));
    }
    zip_ = nullptr;
    zip_stat_t stat;
    if (::zip_source_stat(buffer_, &stat) != 0 || ::zip_source_open(buffer_) != 0) {
      Fail(ErrorCode::kInternal, "zip: cannot read the archive back");
    }
    std::string bytes(stat.size, '\0');
    const zip_int64_t got = ::zip_source_read(buffer_, bytes.data(), stat.size);
    ::zip_source_close(buffer_);
    DBSP_CHECK(got == static_cast<zip_int64_t>(stat.size));
    return bytes;
  }

 private:
  zip_error_t error_{};
  zip_source_t* buffer_ = nullptr;
  zip_t* zip_ = nullptr;
};

}  // namespace

std::vector<ArrayEntry> NpyEntries(const std::filesystem::path& path) {
  std::vector<ArrayEntry> entries;
  ReadNpy(OpenFile(path), path.string(), entries.emplace_back());
  return entries;
}

std::vector<ArrayEntry> NpzEntries(const std::filesystem::path& path) {
  std::vector<ArrayEntry> entries;
  for (ZipMember& member : OpenZip(path)) {
    constexpr std::string_view kSuffix = ".npy";
    if (!member.name.ends_with(kSuffix)) continue;
    const std::string name = member.name.substr(0, member.name.size() - kSuffix.size());
    ArrayEntry entry;
    entry.info.name = name;
    entry.info.problem = member.problem;
    if (member.problem.empty()) {
      KeepProblem(entry, [&] {
        ReadNpy(std::move(member.bytes), fmt::format("{}: array '{}'", path.string(), name), entry);
      });
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

void WriteNpy(const std::filesystem::path& path, const Array& array) {
  WriteFileAtomically(path, NpyBytes(array));
}

void WriteNpz(const std::filesystem::path& path,
              const std::vector<std::pair<std::string, Array>>& arrays) {
  std::vector<std::string> bytes;
  bytes.reserve(arrays.size());
  ZipWriter writer;
  for (const auto& [name, array] : arrays) {
    bytes.push_back(NpyBytes(array));
    writer.Add(name + ".npy", bytes.back());
  }
  WriteFileAtomically(path, writer.Finish());
}

}  // namespace dbsp
