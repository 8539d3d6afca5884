// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_array.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

/// Names of the arrays of one mask. `second` is empty for a dense mask.
struct MaskNames {
  MaskLayout layout;
  std::string first;  ///< dense array, indptr or lut
  std::string second;  ///< indices or counts
};

bool Holds(const std::vector<ArrayInfo>& arrays, const std::string& name) {
  return std::any_of(
      arrays.begin(), arrays.end(), [&](const ArrayInfo& array) { return array.name == name; });
}

std::optional<MaskNames> FindPair(const std::vector<ArrayInfo>& arrays, const std::string& prefix) {
  if (Holds(arrays, prefix + "indptr") && Holds(arrays, prefix + "indices")) {
    return MaskNames{MaskLayout::kBsr, prefix + "indptr", prefix + "indices"};
  }
  for (const char* counts : {"valid_block_num", "counts"}) {
    if (Holds(arrays, prefix + "lut") && Holds(arrays, prefix + counts)) {
      return MaskNames{MaskLayout::kLut, prefix + "lut", prefix + counts};
    }
  }
  return std::nullopt;
}

MaskNames FindMask(const std::vector<ArrayInfo>& arrays, const std::string& name) {
  if (name.empty() || name == "lut" || name == "indptr") {
    if (const auto pair = FindPair(arrays, "")) return *pair;
  }
  if (!name.empty() && !Holds(arrays, name)) {
    if (const auto pair = FindPair(arrays, name + "_")) return *pair;
  }
  return {MaskLayout::kDense, name, ""};  // opening the array refuses an unknown name
}

}  // namespace

struct MaskArrayFile::Impl {
  Impl(const std::filesystem::path& path, const MaskNames& names)
      : origin(path.string()), first(path, names.first) {
    if (!names.second.empty()) second.emplace(path, names.second);
    dims.layout = names.layout;
  }

  void CheckShapes();
  void LoadPointers();
  [[nodiscard]] BlockMask Dense(std::span<const std::int64_t> index) const;
  [[nodiscard]] BlockMask Bsr(std::int64_t matrix) const;
  [[nodiscard]] BlockMask Lut(std::span<const std::int64_t> index) const;
  [[nodiscard]] BlockMask One(std::span<const std::int64_t> index, std::int64_t matrix) const;

  template <typename... Args>
  [[noreturn]] void Corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorCode::kCorruptInput,
         "{}: array '{}': {}",
         origin,
         first.name(),
         fmt::format(format, std::forward<Args>(args)...));
  }

  std::string origin;
  ArrayFile first;
  std::optional<ArrayFile> second;
  MaskArrayDims dims;
  std::size_t leading = 0;  ///< dimensions before those of the mask
  int heads = 0;
  int rows = 0;
  int cols = 0;
  Array pointers;  ///< BSR: all of indptr
  std::vector<std::int64_t> bases;  ///< BSR: first index of each matrix
};

void MaskArrayFile::Impl::CheckShapes() {
  const auto& shape = first.shape();
  const std::size_t own = dims.layout == MaskLayout::kBsr ? 1 : 2;
  if (shape.size() < own || shape.size() > own + 3) {
    Fail(ErrorCode::kMismatch,
         "{}: array '{}': shape {} has {} dimensions, expected {} to {} (docs/formats/arrays.md)",
         origin,
         first.name(),
         ShapeText(shape),
         shape.size(),
         own,
         own + 3);
  }
  leading = shape.size() - own;
  dims.shared_by_heads = leading == 0;
  if (leading >= 1) dims.heads = shape[leading - 1];
  if (leading == 2) dims.batches = shape[0];
  if (leading == 3) {
    dims.times = shape[0];
    dims.layers = shape[1];
  }
  const std::int64_t found_rows = shape[leading] - (dims.layout == MaskLayout::kBsr ? 1 : 0);
  const bool dense = dims.layout == MaskLayout::kDense;
  const bool fits = found_rows == rows && (!dense || shape[leading + 1] == cols) &&
                    (dims.shared_by_heads || dims.heads == heads);
  if (!fits || dims.times < 1 || dims.layers < 1 || dims.batches < 1) {
    Fail(ErrorCode::kMismatch,
         "{}: array '{}': shape {}, expected {} heads (or none) and masks of {} x {} blocks; check "
         "--block, --heads and --tokens",
         origin,
         first.name(),
         ShapeText(shape),
         heads,
         rows,
         cols);
  }
  if (dims.layout == MaskLayout::kLut) {
    const std::vector<std::int64_t> expected(shape.begin(), shape.end() - 1);
    if (second->shape() != expected) {
      Fail(ErrorCode::kMismatch,
           "{}: array '{}': shape {}, expected {}",
           origin,
           second->name(),
           ShapeText(second->shape()),
           ShapeText(expected));
    }
  }
}

void MaskArrayFile::Impl::LoadPointers() {
  if (second->shape().size() != 1) {
    Fail(ErrorCode::kMismatch,
         "{}: array '{}': shape {}, expected one dimension",
         origin,
         second->name(),
         ShapeText(second->shape()));
  }
  const std::int64_t indices = second->shape().front();
  pointers = first.Slice();
  const std::int64_t width = static_cast<std::int64_t>(rows) + 1;
  std::int64_t total = 0;
  for (std::int64_t at = 0; at < pointers.size(); at += width) {
    // Files either continue indptr over all matrices or start at 0 in each.
    const std::int64_t start = pointers.Int(at);
    if (start != total && start != 0) {
      Corrupt("entry {} is {}, expected 0 or {}", at, start, total);
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t next = pointers.Int(at + row + 1);
      const std::int64_t here =
          pointers.Int(at + row);  // not negative: the previous iteration checked it
      if (next < here || next - here > cols) {
        Corrupt("entry {} is {} after {}, expected a row of 0 to {} blocks",
                at + row + 1,
                next,
                here,
                cols);
      }
    }
    bases.push_back(total - start);
    total += pointers.Int(at + rows) - start;
  }
  if (total != indices) {
    Corrupt("counts {} blocks, but '{}' holds {}", total, second->name(), indices);
  }
}

BlockMask MaskArrayFile::Impl::Dense(std::span<const std::int64_t> index) const {
  const Array array = first.Slice(index);
  const bool maybe_nan = array.type == ArrayType::kF2 || array.type == ArrayType::kBf16 ||
                         array.type == ArrayType::kF4 || array.type == ArrayType::kF8;
  BlockMask mask(rows, cols);
  std::vector<std::uint8_t> active(cols);
  for (int i = 0; i < rows; ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * cols;
    array.NonZero(begin, active);
    const auto words = mask.mutable_row(i);
    for (int j = 0; j < cols; ++j) {
      if (active[j] == 0) continue;
      if (maybe_nan && std::isnan(array.Double(begin + j))) {
        Corrupt("row {}, column {} is not a number", i, j);
      }
      words[static_cast<std::size_t>(j) / 64] |= 1ULL << (j % 64);
    }
  }
  return mask;
}

BlockMask MaskArrayFile::Impl::Bsr(std::int64_t matrix) const {
  const std::int64_t at = matrix * (static_cast<std::int64_t>(rows) + 1);
  const std::int64_t base = bases[matrix];
  const std::int64_t begin = base + pointers.Int(at);
  const Array indices = second->Range(begin, base + pointers.Int(at + rows));
  BlockMask mask(rows, cols);
  for (int i = 0; i < rows; ++i) {
    for (std::int64_t n = pointers.Int(at + i); n < pointers.Int(at + i + 1); ++n) {
      const std::int64_t column = indices.Int(base + n - begin);
      if (column < 0 || column >= cols) {
        Corrupt("row {} names column {}, expected 0 to {}", i, column, cols - 1);
      }
      if (mask.Get(i, static_cast<int>(column))) Corrupt("row {} names column {} twice", i, column);
      mask.Set(i, static_cast<int>(column));
    }
  }
  return mask;
}

BlockMask MaskArrayFile::Impl::Lut(std::span<const std::int64_t> index) const {
  const Array table = first.Slice(index);
  const Array counts = second->Slice(index);
  const std::int64_t width = table.shape[1];
  BlockMask mask(rows, cols);
  for (int i = 0; i < rows; ++i) {
    const std::int64_t count = counts.Int(i);
    if (count < 0 || count > width) {
      Corrupt("row {} has {} blocks, expected 0 to {}", i, count, width);
    }
    std::int64_t column = 0;
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t step = table.Int(i * width + n);
      if (step < (n == 0 ? 0 : 1) || step >= cols - column) {
        Corrupt("row {}, entry {}: step {} from column {} of {}", i, n, step, column, cols);
      }
      column += step;
      mask.Set(i, static_cast<int>(column));
    }
  }
  return mask;
}

BlockMask MaskArrayFile::Impl::One(std::span<const std::int64_t> index, std::int64_t matrix) const {
  switch (dims.layout) {
    case MaskLayout::kDense:
      return Dense(index);
    case MaskLayout::kBsr:
      return Bsr(matrix);
    case MaskLayout::kLut:
      return Lut(index);
  }
  DBSP_CHECK(false);
}

MaskArrayFile::MaskArrayFile(const std::filesystem::path& path,
                             const std::string& name,
                             int heads,
                             int q_blocks,
                             int k_blocks)
    : impl_(std::make_unique<Impl>(path, FindMask(ListArrays(path), name))) {
  impl_->heads = heads;
  impl_->rows = q_blocks;
  impl_->cols = k_blocks;
  impl_->CheckShapes();
  if (impl_->dims.layout == MaskLayout::kBsr) impl_->LoadPointers();
}
MaskArrayFile::~MaskArrayFile() = default;
MaskArrayFile::MaskArrayFile(MaskArrayFile&&) noexcept = default;
MaskArrayFile& MaskArrayFile::operator=(MaskArrayFile&&) noexcept = default;

const MaskArrayDims& MaskArrayFile::dims() const { return impl_->dims; }

LayerMasks MaskArrayFile::Read(std::int64_t time, std::int64_t layer, std::int64_t batch) const {
  const Impl& impl = *impl_;
  const MaskArrayDims& dims = impl.dims;
  const auto inside = [](std::int64_t value, std::int64_t size) {
    return value >= 0 && value < size;
  };
  if (!inside(time, dims.times) || !inside(layer, dims.layers) || !inside(batch, dims.batches)) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: time {}, layer {}, batch {} is outside the {} x {} x {} in the file",
         impl.origin,
         time,
         layer,
         batch,
         dims.times,
         dims.layers,
         dims.batches);
  }
  LayerMasks masks;
  std::unordered_map<std::string, BlockMaskPtr> distinct;
  for (std::int64_t head = 0; head < dims.heads; ++head) {
    std::vector<std::int64_t> index = {time, layer, head};
    if (impl.leading == 2) index = {batch, head};
    if (impl.leading == 1) index = {head};
    if (impl.leading == 0) index = {};
    const std::int64_t outer = impl.leading == 2 ? batch : time * dims.layers + layer;
    auto mask = std::make_shared<const BlockMask>(impl.One(index, outer * dims.heads + head));
    const auto words = mask->words();
    const std::string key =
        HashBytes({reinterpret_cast<const char*>(words.data()), words.size_bytes()});  // NOLINT
    masks.head.push_back(distinct.emplace(key, std::move(mask)).first->second);
  }
  if (dims.shared_by_heads) {
    masks.head.assign(impl.heads, BlockMaskPtr(masks.head.front()));
  }
  return masks;
}

std::int64_t TimeOfStep(int step, int steps, std::int64_t times) {
  return std::min(times - 1, (static_cast<std::int64_t>(step) + 1) * times / steps);
}

}  // namespace dbsp
