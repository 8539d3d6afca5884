// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_array.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/file.h"

namespace dbsp {
namespace {

/// Largest number of masks in a file. 50 steps x 60 layers x 2 passes x 48 heads are 288,000.
constexpr std::int64_t kMaxMasks = 1 << 24;

}  // namespace

struct MaskArrayFile::Impl {
  Impl(const std::filesystem::path& path, const MaskArrayOptions& options, MaskArraySizes wanted)
      : origin(path.string()),
        arrays(FindMaskArrays(path, options.name)),
        files(OpenArrays(path, arrays.names)),
        sizes(wanted),
        lists(arrays.by_columns ? wanted.cols : wanted.rows),
        items(arrays.by_columns ? wanted.rows : wanted.cols),
        values(options.values) {
    if (arrays.layout == MaskLayout::kDense) return;
    for (const ArrayFile& file : files) {
      if (!IsFloat(file.type())) continue;
      Fail(ErrorCode::kCorruptInput,
           "{}: array '{}': type {}, expected integers for {}",
           origin,
           file.name(),
           NameOf(file.type()),
           NameOf(arrays.layout));
    }
    if (options.values.threshold || options.values.additive || options.values.inverted) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: threshold, additive and inverted read dense masks; '{}' holds {}",
           origin,
           arrays.shown,
           NameOf(arrays.layout));
    }
  }

  void CheckShapes(const AxesRequest& request);
  void CheckSecond(std::size_t at);
  void LoadPointers(const std::filesystem::path& path);
  void CheckPadding(std::int64_t total, bool restarted);
  void ReadDense(std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadBsr(std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadLut(std::span<const std::int64_t> index, BlockMask& mask) const;
  void ReadIndices(std::size_t at, std::span<const std::int64_t> index, BlockMask& mask) const;
  [[nodiscard]] BlockMask One(std::span<const std::int64_t> index) const;
  [[nodiscard]] std::int64_t Flat(std::span<const std::int64_t> index) const;
  [[nodiscard]] std::int64_t CountAt(const Array& counts,
                                     std::int64_t at,
                                     std::int64_t most,
                                     const std::string& name) const;
  [[nodiscard]] std::vector<std::int64_t> At(const MaskIndex& index, std::int64_t head) const;
  [[nodiscard]] std::string Subject(std::size_t file) const {
    return fmt::format(
        "{}: array '{}': shape {}", origin, files[file].name(), ShapeText(files[file].shape()));
  }

  template <typename... Args>
  [[noreturn]] void Corrupt(const std::string& name,
                            fmt::format_string<Args...> format,
                            Args&&... args) const {
    Fail(ErrorCode::kCorruptInput,
         "{}: array '{}': {}",
         origin,
         name,
         fmt::format(format, std::forward<Args>(args)...));
  }

  std::string origin;
  MaskArrays arrays;
  std::vector<ArrayFile> files;  ///< of arrays.names
  MaskArraySizes sizes;
  int lists;  ///< lists of an index layout: rows, or columns if arrays.by_columns
  int items;  ///< what a list names: columns, or rows
  mutable MaskValues values;
  MaskAxes axes;
  std::unique_ptr<std::atomic<bool>[]> read;  ///< [mask] set once it has been read
  Array pointers;  ///< BSR: all of indptr
  std::vector<std::int64_t> bases;  ///< BSR: first index of each mask
  std::int64_t unused_indices = 0;  ///< BSR: indices behind the last pointer
};

void MaskArrayFile::Impl::CheckShapes(const AxesRequest& request) {
  const auto& shape = files.front().shape();
  const bool dense = arrays.layout == MaskLayout::kDense;
  const bool lut = arrays.layout == MaskLayout::kLut;
  const std::size_t own = dense ? 2 : 1;
  if (shape.size() < own || shape.size() + arrays.grid.size() > own + 5) {
    Fail(ErrorCode::kMismatch,
         "{} has {} dimensions, expected {} to {} (docs/formats/arrays.md)",
         Subject(0),
         shape.size(),
         own,
         own + 5);
  }
  const std::size_t before = shape.size() - own;
  const std::int64_t found = shape[before] - (arrays.layout == MaskLayout::kBsr ? 1 : 0);
  const bool fits = found == lists && (!dense || shape[before + 1] == items);
  if (!fits) {
    const bool turned = dense && shape[before] == items && shape[before + 1] == lists;
    Fail(ErrorCode::kMismatch,
         "{}, expected masks of {} x {} blocks{}; {}",
         Subject(0),
         sizes.rows,
         sizes.cols,
         arrays.layout == MaskLayout::kBsr ? fmt::format(" with {} pointers each", lists + 1) : "",
         turned ? "the last two dimensions are K and Q: transpose them before saving"
                : "check --block and --tokens");
  }
  std::vector<std::int64_t> leading = arrays.grid;
  leading.insert(leading.end(), shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(before));
  axes = ResolveAxes(leading, request, sizes, Subject(0));
  std::size_t masks = 1;  // repeated elements (stride 0) make more masks than bytes
  for (const std::int64_t size : axes.sizes) {
    masks *= static_cast<std::size_t>(std::min(size, kMaxMasks + 1));
    if (std::cmp_less_equal(masks, kMaxMasks)) continue;
    Fail(ErrorCode::kInvalidArgument, "{} has more than {} masks", Subject(0), kMaxMasks);
  }
  read = std::make_unique<std::atomic<bool>[]>(masks);
  if (lut || arrays.layout == MaskLayout::kIndices) {
    for (std::size_t at = 0; at < files.size(); at += 2) CheckSecond(at);
  }
}

/// Requires that the array of column indices has the shape of the array of counts, with one more
/// dimension at the end.
void MaskArrayFile::Impl::CheckSecond(std::size_t at) {
  const std::vector<std::int64_t>& counts = files[at].shape();
  std::vector<std::int64_t> columns = files[at + 1].shape();
  if (!columns.empty()) columns.pop_back();
  if (counts == files.front().shape() && columns == counts && !files[at + 1].shape().empty())
    return;
  Fail(ErrorCode::kMismatch,
       "{}, and '{}' has shape {}: expected {} and one more dimension",
       Subject(at + 1),
       files[at].name(),
       ShapeText(counts),
       ShapeText(files.front().shape()));
}

void MaskArrayFile::Impl::LoadPointers(const std::filesystem::path& path) {
  pointers = files[0].Slice();
  const std::int64_t width = static_cast<std::int64_t>(lists) + 1;
  std::int64_t total = 0;
  bool restarted = false;
  for (std::int64_t at = 0; at < pointers.size(); at += width) {
    // Files either continue indptr over all masks or start at 0 in each.
    const std::int64_t start = pointers.Int(at);
    if (start != total && start != 0) {
      Corrupt(files[0].name(), "entry {} is {}, expected 0 or {}", at, start, total);
    }
    restarted |= start == 0 && at > 0;
    for (std::int64_t row = 0; row < lists; ++row) {
      const std::int64_t next = pointers.Int(at + row + 1);
      const std::int64_t here =
          pointers.Int(at + row);  // not negative: the previous iteration checked it
      if (next < here || next - here > items) {
        Corrupt(files[0].name(),
                "entry {} is {} after {}, expected a row of 0 to {} blocks",
                at + row + 1,
                next,
                here,
                items);
      }
    }
    bases.push_back(total - start);
    total += pointers.Int(at + lists) - start;
  }
  CheckPadding(total, restarted);
  if (arrays.values.empty()) return;
  MaskValues elements{{}};
  const Array data = LoadArray(path, arrays.values);
  for (std::int64_t i = 0; i < data.size(); ++i) {
    std::uint8_t active = 0;
    if (elements.Read(data, i, {&active, 1}) >= 0 || active == 0) {
      Corrupt(arrays.values,
              "element {} is {}, expected true or 1 for every block that 'indices' names; save "
              "the matrix after eliminate_zeros() and as bool",
              i,
              data.Double(i));
    }
  }
}

/// Accepts indices behind the last one that indptr counts where it is clear which they are.
void MaskArrayFile::Impl::CheckPadding(std::int64_t total, bool restarted) {
  const std::vector<std::int64_t>& shape = files[1].shape();
  const std::vector<std::int64_t> masks(files[0].shape().begin(), files[0].shape().end() - 1);
  if (shape.size() == 1) {
    const std::int64_t unused = shape.front() - total;
    if (unused >= 0 && (unused == 0 || !restarted)) {
      unused_indices = unused;
      return;
    }
    Corrupt(files[0].name(),
            "counts {} blocks, but '{}' holds {}{}",
            total,
            files[1].name(),
            shape.front(),
            unused > 0 ? "; indptr starts again at 0 in each mask, so padding of each mask needs "
                         "the shape [.., n]"
                       : "");
  }
  const bool padded = std::equal(masks.begin(), masks.end(), shape.begin(), shape.end() - 1);
  if (shape.empty() || !padded) {
    Fail(ErrorCode::kMismatch,
         "{}, expected one dimension, or {} and one more",
         Subject(1),
         ShapeText(masks));
  }
  // Each mask has its own row of indices.
  const std::int64_t width = static_cast<std::int64_t>(lists) + 1;
  for (std::size_t m = 0; m < bases.size(); ++m) {
    const std::int64_t first = pointers.Int(static_cast<std::int64_t>(m) * width);
    const std::int64_t used = pointers.Int(static_cast<std::int64_t>(m) * width + lists) - first;
    if (first != 0 || used > shape.back()) {
      Corrupt(files[0].name(),
              "mask {} has entries {} to {}, expected 0 to at most {}, the length of its row of "
              "'{}'",
              m,
              first,
              first + used,
              shape.back(),
              files[1].name());
    }
    bases[m] = 0;
    unused_indices += shape.back() - used;
  }
}

std::int64_t MaskArrayFile::Impl::Flat(std::span<const std::int64_t> index) const {
  std::int64_t flat = 0;
  for (std::size_t i = 0; i < index.size(); ++i) flat = flat * axes.sizes[i] + index[i];
  return flat;
}

void MaskArrayFile::Impl::ReadDense(std::span<const std::int64_t> index, BlockMask& mask) const {
  const std::size_t grid = arrays.grid.size();
  const ArrayFile& file = files[static_cast<std::size_t>(Flat(index.first(grid)))];
  const std::span<const std::int64_t> inner = index.subspan(grid);
  const Array array = file.Slice(inner);
  std::vector<std::uint8_t> active(static_cast<std::size_t>(mask.cols()));
  for (int i = 0; i < mask.rows(); ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * mask.cols();
    const std::int64_t bad = values.Read(array, begin, active);
    if (bad >= 0) {
      std::vector<std::int64_t> place(inner.begin(), inner.end());
      place.insert(place.end(), {i, bad});
      Corrupt(file.name(),
              "element {} is {}",
              ShapeText(place),
              NoMaskElement(array, begin + bad, values.rule()));
    }
    const auto words = mask.mutable_row(i);
    for (std::size_t j = 0; j < active.size(); ++j) {
      words[j / 64] |= static_cast<std::uint64_t>(active[j]) << (j % 64);
    }
  }
}

void MaskArrayFile::Impl::ReadBsr(std::span<const std::int64_t> index, BlockMask& mask) const {
  const std::int64_t matrix = Flat(index);
  const std::int64_t at = matrix * (static_cast<std::int64_t>(lists) + 1);
  const std::int64_t base = bases[static_cast<std::size_t>(matrix)];
  const std::int64_t begin = base + pointers.Int(at);
  const ArrayFile& second = files[1];
  const bool rows = second.shape().size() > 1;
  const Array indices =
      rows ? second.Slice(index) : second.Range(begin, base + pointers.Int(at + lists));
  for (int i = 0; i < lists; ++i) {
    for (std::int64_t n = pointers.Int(at + i); n < pointers.Int(at + i + 1); ++n) {
      const std::int64_t column = indices.Int(base + n - begin);
      if (column < 0 || column >= items) {
        Corrupt(files[0].name(), "row {} names column {}, expected 0 to {}", i, column, items - 1);
      }
      if (mask.Get(i, static_cast<int>(column))) {
        Corrupt(files[0].name(), "row {} names column {} twice", i, column);
      }
      mask.Set(i, static_cast<int>(column));
    }
  }
}

std::int64_t MaskArrayFile::Impl::CountAt(const Array& counts,
                                          std::int64_t at,
                                          std::int64_t most,
                                          const std::string& name) const {
  const std::int64_t count = counts.Int(at);
  if (count < 0 || count > most) {
    Corrupt(name, "row {} has {} blocks, expected 0 to {}", at, count, most);
  }
  return count;
}

void MaskArrayFile::Impl::ReadLut(std::span<const std::int64_t> index, BlockMask& mask) const {
  const Array counts = files[0].Slice(index);
  const Array table = files[1].Slice(index);
  const std::int64_t width = table.shape[1];
  for (int i = 0; i < lists; ++i) {
    const std::int64_t count =
        CountAt(counts, i, std::min<std::int64_t>(width, items), files[0].name());
    std::int64_t column = 0;
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t step = table.Int(i * width + n);
      if (step < (n == 0 ? 0 : 1) || step >= items - column) {
        Corrupt(files[1].name(),
                "row {}, entry {}: step {} from column {} of {}",
                i,
                n,
                step,
                column,
                items);
      }
      column += step;
      mask.Set(i, static_cast<int>(column));
    }
  }
}

void MaskArrayFile::Impl::ReadIndices(std::size_t at,
                                      std::span<const std::int64_t> index,
                                      BlockMask& mask) const {
  const Array counts = files[at].Slice(index);
  const Array table = files[at + 1].Slice(index);
  const std::int64_t width = table.shape[1];
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(items));
  for (int i = 0; i < lists; ++i) {
    const std::int64_t count =
        CountAt(counts, i, std::min<std::int64_t>(width, items), files[at].name());
    std::fill(seen.begin(), seen.end(), std::uint8_t{0});
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t item = table.Int(i * width + n);
      if (item < 0 || item >= items) {
        Corrupt(files[at + 1].name(),
                "row {}, entry {} names block {}, expected 0 to {}",
                i,
                n,
                item,
                items - 1);
      }
      if (std::exchange(seen[static_cast<std::size_t>(item)], std::uint8_t{1}) != 0) {
        Corrupt(files[at + 1].name(), "row {} names block {} twice", i, item);
      }
      const int other = static_cast<int>(item);
      mask.Set(arrays.by_columns ? other : i, arrays.by_columns ? i : other);
    }
  }
}

BlockMask MaskArrayFile::Impl::One(std::span<const std::int64_t> index) const {
  BlockMask mask(sizes.rows, sizes.cols);
  switch (arrays.layout) {
    case MaskLayout::kDense:
      ReadDense(index, mask);
      break;
    case MaskLayout::kBsr:
      ReadBsr(index, mask);
      break;
    case MaskLayout::kLut:
      ReadLut(index, mask);
      break;
    case MaskLayout::kIndices:
      for (std::size_t at = 0; at < files.size(); at += 2) ReadIndices(at, index, mask);
      break;
  }
  read[static_cast<std::size_t>(Flat(index))] = true;
  return mask;
}

/// Position of a mask on the axes of the file.
std::vector<std::int64_t> MaskArrayFile::Impl::At(const MaskIndex& index, std::int64_t head) const {
  std::vector<std::int64_t> at;
  for (std::size_t i = 0; i < axes.sizes.size(); ++i) {
    std::int64_t value = head;
    if (axes.letters[i] == 'T') value = index.time;
    if (axes.letters[i] == 'L') value = index.layer;
    if (axes.letters[i] == 'P') value = index.pass;
    if (axes.letters[i] == 'B') value = index.batch;
    if (axes.sizes[i] == 1) value = 0;
    if (value < 0 || value >= axes.sizes[i]) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: index {} of axis {} is outside its size {}",
           Subject(0),
           value,
           axes.letters[i],
           axes.sizes[i]);
    }
    at.push_back(value);
  }
  return at;
}

MaskArrayFile::MaskArrayFile(const std::filesystem::path& path,
                             const MaskArrayOptions& options,
                             const MaskArraySizes& sizes)
    : impl_(std::make_unique<Impl>(path, options, sizes)) {
  impl_->CheckShapes(options.axes);
  if (impl_->arrays.layout == MaskLayout::kBsr) impl_->LoadPointers(path);
}
MaskArrayFile::~MaskArrayFile() = default;
MaskArrayFile::MaskArrayFile(MaskArrayFile&&) noexcept = default;
MaskArrayFile& MaskArrayFile::operator=(MaskArrayFile&&) noexcept = default;

MaskLayout MaskArrayFile::layout() const { return impl_->arrays.layout; }
const MaskAxes& MaskArrayFile::axes() const { return impl_->axes; }

LayerMasks MaskArrayFile::Read(const MaskIndex& index) const {
  const Impl& impl = *impl_;
  LayerMasks masks;
  std::unordered_map<std::string, BlockMaskPtr> distinct;
  const std::int64_t heads = impl.axes.Size('H');
  for (std::int64_t head = 0; head < heads; ++head) {
    auto mask = std::make_shared<const BlockMask>(impl.One(impl.At(index, head)));
    const auto words = mask->words();
    const std::string key =
        HashBytes({reinterpret_cast<const char*>(words.data()), words.size_bytes()});  // NOLINT
    masks.head.push_back(distinct.emplace(key, std::move(mask)).first->second);
  }
  if (heads == 1) masks.head.assign(impl.sizes.heads, BlockMaskPtr(masks.head.front()));
  return masks;
}

void MaskArrayFile::CheckAll() const {
  std::vector<std::int64_t> index(impl_->axes.sizes.size(), 0);
  while (true) {
    if (!impl_->read[static_cast<std::size_t>(impl_->Flat(index))]) {
      static_cast<void>(impl_->One(index));
    }
    std::size_t axis = index.size();
    while (axis > 0 && ++index[axis - 1] == impl_->axes.sizes[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

std::vector<std::string> MaskArrayFile::Describe() const {
  const Impl& impl = *impl_;
  CheckAll();
  std::vector<std::string> lines;
  std::vector<std::string> arrays;
  for (const ArrayFile& file : impl.files) {
    if (arrays.size() == 4) break;  // a series of equal arrays
    const std::string name = file.name().empty() ? "" : fmt::format("'{}' ", file.name());
    arrays.push_back(fmt::format("{}{} {}", name, NameOf(file.type()), ShapeText(file.shape())));
  }
  lines.push_back(fmt::format("array {}{}: {}{}",
                              fmt::join(arrays, ", "),
                              impl.files.size() > arrays.size()
                                  ? fmt::format(" and others, {} in all", impl.files.size())
                                  : "",
                              NameOf(impl.arrays.layout),
                              impl.arrays.by_columns ? ", one list per key block" : ""));
  if (impl.arrays.layout == MaskLayout::kDense) {
    const std::string rule = impl.values.rule().Text();
    lines.push_back(fmt::format(
        "values {}{}{}", impl.values.Seen(), rule.empty() ? "" : "; ", rule.empty() ? "" : rule));
  }
  if (impl.arrays.layout == MaskLayout::kIndices && impl.files.size() > 2) {
    lines.push_back(fmt::format("the blocks of '{}' are active too", impl.files[3].name()));
  }
  if (impl.unused_indices > 0) {
    lines.push_back(fmt::format("{} entries of '{}' are padding behind the last index",
                                impl.unused_indices,
                                impl.files[1].name()));
  }
  const std::vector<std::string> axes = DescribeAxes(impl.axes, impl.sizes);
  lines.insert(lines.end(), axes.begin(), axes.end());
  return lines;
}

}  // namespace dbsp
