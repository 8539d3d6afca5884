// SPDX-License-Identifier: Apache-2.0
// Finds an array in a file of any format and reads slices of it.
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "core/arrays/array.h"
#include "core/arrays/array_entry.h"
#include "core/error.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

/// Most dimensions that numpy and torch support. A header with more is corrupt.
constexpr std::size_t kMaxRank = 64;
/// Largest window read for a slice that is not contiguous in the file.
constexpr std::int64_t kMaxWindowBytes = std::int64_t{1} << 32;
/// Largest slice of a view that repeats elements (stride 0), which can be larger than its file.
constexpr std::int64_t kMaxRepeatedBytes = std::int64_t{1} << 28;

[[noreturn]] void Corrupt(const std::string& origin,
                          const std::string& name,
                          const std::string& what) {
  Fail(ErrorCode::kCorruptInput,
       "{}: {}{}{}{}",
       origin,
       name.empty() ? "" : "array '",
       name,
       name.empty() ? "" : "': ",
       what);
}

std::vector<ArrayEntry> EntriesOf(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (extension == ".npy") return NpyEntries(path);
  if (extension == ".npz") return NpzEntries(path);
  if (extension == ".pt" || extension == ".pth") return TorchEntries(path);
  if (extension == ".safetensors") return SafetensorsEntries(path);
  Fail(ErrorCode::kInvalidArgument,
       "{}: unknown kind of array file '{}' (known: .npy, .npz, .pt, .pth, .safetensors)",
       path.string(),
       extension);
}

/// The entry of a name, or with an empty name the only one that can be read.
ArrayEntry FindEntry(const std::filesystem::path& path,
                     const std::vector<ArrayEntry>& entries,
                     const std::string& name) {
  const ArrayEntry* found = nullptr;
  const ArrayEntry* unreadable = nullptr;
  std::vector<std::string> known;
  for (const ArrayEntry& entry : entries) {
    const bool good = entry.info.problem.empty();
    if (good) known.push_back(entry.info.name);
    if (!good && unreadable == nullptr) unreadable = &entry;
    if (entry.info.name != name) continue;
    if (found != nullptr) Corrupt(path.string(), name, "the file holds several of this name");
    found = &entry;
  }
  if (entries.empty()) Corrupt(path.string(), "", "holds no array");
  if (found == nullptr && known.empty()) found = unreadable;
  if (found == nullptr && name.empty() && known.size() == 1) {
    found = &*std::ranges::find_if(entries, [](const auto& e) { return e.info.problem.empty(); });
  }
  if (found != nullptr && !found->info.problem.empty()) {
    throw Error(ErrorCode::kCorruptInput, found->info.problem);
  }
  if (found != nullptr) return *found;
  if (name.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: holds {} arrays, name one of them: {}",
         path.string(),
         known.size(),
         fmt::join(known, ", "));
  }
  Fail(ErrorCode::kNotFound, "{}: {}", path.string(), UnknownName("array", name, known));
}

bool IsContiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) {
  std::int64_t expected = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

/// Copies a strided view (element 0 at window[0]) into C order.
template <typename Word>
void Gather(const std::string& window,
            std::span<const std::int64_t> shape,
            std::span<const std::int64_t> strides,
            std::string& out) {
  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t at = 0;
  for (std::size_t i = 0; i < out.size(); i += sizeof(Word)) {
    std::memcpy(
        out.data() + i, window.data() + static_cast<std::size_t>(at) * sizeof(Word), sizeof(Word));
    for (std::size_t d = shape.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
}

void GatherAny(std::int64_t width,
               const std::string& window,
               std::span<const std::int64_t> shape,
               std::span<const std::int64_t> strides,
               std::string& out) {
  switch (width) {
    case 1:
      return Gather<std::uint8_t>(window, shape, strides, out);
    case 2:
      return Gather<std::uint16_t>(window, shape, strides, out);
    case 4:
      return Gather<std::uint32_t>(window, shape, strides, out);
    default:
      return Gather<std::uint64_t>(window, shape, strides, out);
  }
}

void SwapBytes(std::string& bytes, std::int64_t width) {
  for (auto at = bytes.begin(); at != bytes.end(); at += width) std::reverse(at, at + width);
}

/// The view of `entry` with this shape and its trailing strides, element 0 at `first` (elements).
Array ReadView(const ArrayEntry& entry, std::vector<std::int64_t> shape, std::int64_t first) {
  const std::span<const std::int64_t> strides = std::span(entry.strides).last(shape.size());
  const std::int64_t width = BytesOf(entry.info.type);
  const std::int64_t count = ElementCount(shape);
  const std::int64_t begin = entry.offset + first * width;
  Array array{entry.info.type, std::move(shape), {}};
  if (count == 0) return array;
  if (IsContiguous(array.shape, strides)) {
    array.bytes = entry.source->Read(begin, count * width);
  } else {
    std::int64_t last = 0;
    for (std::size_t d = 0; d < strides.size(); ++d) last += (array.shape[d] - 1) * strides[d];
    const std::int64_t window = (last + 1) * width;
    if (window > kMaxWindowBytes || (count > last + 1 && count > kMaxRepeatedBytes / width)) {
      Fail(ErrorCode::kCorruptInput,
           "array '{}': a slice of shape {} lies scattered over {} bytes, too many to read at "
           "once; store the array in C order",
           entry.info.name,
           ShapeText(array.shape),
           window);
    }
    array.bytes.assign(count * width, '\0');
    GatherAny(width, entry.source->Read(begin, window), array.shape, strides, array.bytes);
  }
  if (entry.swapped) SwapBytes(array.bytes, width);
  return array;
}

}  // namespace

std::vector<std::int64_t> CStrides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    // CheckEntry refuses an array whose stride overflows.
    if (__builtin_mul_overflow(stride, shape[d], &stride)) stride = 0;
  }
  return strides;
}

void CheckEntry(const ArrayEntry& entry, const std::string& origin) {
  const ArrayInfo& info = entry.info;
  if (info.shape.size() > kMaxRank) {
    Corrupt(origin, info.name, fmt::format("has {} dimensions", info.shape.size()));
  }
  const std::int64_t width = BytesOf(info.type);
  std::int64_t count = 1;
  std::int64_t last = 0;
  bool overflow = false;
  bool empty = false;
  for (std::size_t d = 0; d < info.shape.size(); ++d) {
    if (info.shape[d] < 0 || entry.strides[d] < 0) {
      Corrupt(origin,
              info.name,
              fmt::format("has a negative size or stride (shape {}, strides {})",
                          ShapeText(info.shape),
                          ShapeText(entry.strides)));
    }
    empty |= info.shape[d] == 0;
    std::int64_t reach = 0;
    overflow |= __builtin_mul_overflow(count, std::max<std::int64_t>(info.shape[d], 1), &count);
    overflow |= __builtin_mul_overflow(
        std::max<std::int64_t>(info.shape[d] - 1, 0), entry.strides[d], &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
  }
  std::int64_t bytes = 0;
  std::int64_t end = 0;
  overflow |= __builtin_mul_overflow(count, width, &bytes);
  overflow |= __builtin_add_overflow(last, 1, &end);
  overflow |= __builtin_mul_overflow(end, width, &end);
  overflow |= __builtin_add_overflow(end, entry.offset, &end);
  if (overflow || entry.offset < 0 || (!empty && end > entry.source->size())) {
    Corrupt(origin,
            info.name,
            fmt::format("shape {} of {} needs more bytes than the {} that are there",
                        ShapeText(info.shape),
                        NameOf(info.type),
                        entry.source->size()));
  }
}

void KeepProblem(ArrayEntry& entry, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptInput) throw;
    entry.info.problem = error.what();
  }
}

struct ArrayFile::Entry : ArrayEntry {
  std::string origin;
};

std::vector<ArrayInfo> ListArrays(const std::filesystem::path& path) {
  std::vector<ArrayInfo> infos;
  for (ArrayEntry& entry : EntriesOf(path)) infos.push_back(std::move(entry.info));
  return infos;
}

ArrayFile::ArrayFile(const std::filesystem::path& path, const std::string& name)
    : entry_(
          std::make_unique<Entry>(Entry{FindEntry(path, EntriesOf(path), name), path.string()})) {}
ArrayFile::ArrayFile(std::unique_ptr<Entry> entry) : entry_(std::move(entry)) {}
ArrayFile::~ArrayFile() = default;
ArrayFile::ArrayFile(ArrayFile&&) noexcept = default;
ArrayFile& ArrayFile::operator=(ArrayFile&&) noexcept = default;

std::vector<ArrayFile> OpenArrays(const std::filesystem::path& path,
                                  std::span<const std::string> names) {
  const std::vector<ArrayEntry> entries = EntriesOf(path);
  std::vector<ArrayFile> files;
  for (const std::string& name : names) {
    files.push_back(ArrayFile(std::make_unique<ArrayFile::Entry>(
        ArrayFile::Entry{FindEntry(path, entries, name), path.string()})));
  }
  return files;
}

const std::string& ArrayFile::name() const { return entry_->info.name; }
ArrayType ArrayFile::type() const { return entry_->info.type; }
const std::vector<std::int64_t>& ArrayFile::shape() const { return entry_->info.shape; }

Array ArrayFile::Slice(std::span<const std::int64_t> first) const {
  const auto& shape = entry_->info.shape;
  bool inside = first.size() <= shape.size();
  std::int64_t at = 0;
  for (std::size_t d = 0; inside && d < first.size(); ++d) {
    inside = first[d] >= 0 && first[d] < shape[d];
    at += inside ? first[d] * entry_->strides[d] : 0;
  }
  if (!inside) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: array '{}': slice {} is outside shape {}",
         entry_->origin,
         name(),
         ShapeText(first),
         ShapeText(shape));
  }
  return ReadView(
      *entry_, {shape.begin() + static_cast<std::ptrdiff_t>(first.size()), shape.end()}, at);
}

Array ArrayFile::Range(std::int64_t begin, std::int64_t end) const {
  std::vector<std::int64_t> shape = entry_->info.shape;
  if (shape.empty() || begin < 0 || begin > end || end > shape.front()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: array '{}': range {} to {} is outside shape {}",
         entry_->origin,
         name(),
         begin,
         end,
         ShapeText(shape));
  }
  shape.front() = end - begin;
  return ReadView(*entry_, std::move(shape), begin == end ? 0 : begin * entry_->strides.front());
}

}  // namespace dbsp
