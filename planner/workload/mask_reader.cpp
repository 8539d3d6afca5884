// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_reader.h"

#include <algorithm>
#include <utility>

#include "core/fine_mask.h"

namespace dbsp {
namespace {

/// Largest number of masks in a file. 50 steps x 60 layers x 2 passes x 48 heads are 288,000.
constexpr std::int64_t kMaxMasks = 1 << 24;

bool HasTable(MaskLayout layout) {
  return layout == MaskLayout::kLut || layout == MaskLayout::kIndices;
}

}  // namespace

MaskReader::MaskReader(const std::filesystem::path& path,
                       const MaskArrayOptions& options,
                       MaskArraySizes wanted)
    : origin(path.string()),
      arrays(FindMaskArrays(path, options.name)),
      files(OpenArrays(path, arrays.names)),
      sizes(wanted),
      lists(arrays.by_columns ? wanted.cols : wanted.rows),
      items(arrays.by_columns ? wanted.rows : wanted.cols),
      table(options.table),
      packed(options.packed),
      single_keys(options.single_keys),
      values(options.values) {
  CheckOptions(options);
  if (arrays.layout == MaskLayout::kDense && packed != BitOrder::kNone) {
    arrays.layout = MaskLayout::kPacked;
  } else if (arrays.layout == MaskLayout::kPacked && packed == BitOrder::kNone) {
    packed = BitOrder::kLittle;
  }
  CheckShapes(options.axes);
  if (arrays.layout == MaskLayout::kBsr) LoadPointers(path);
  if (arrays.layout == MaskLayout::kRagged) LoadStarts();
  if (arrays.layout == MaskLayout::kLut) DecideTable();
  if (!arrays.tiles.empty()) LoadTiles(path);
}

void MaskReader::CheckOptions(const MaskArrayOptions& options) const {
  const MaskLayout layout = arrays.layout;
  const auto refuse = [&](const char* names, const char* what) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: {} dense masks{}; '{}' holds {}",
         origin,
         names,
         what,
         arrays.shown,
         NameOf(layout));
  };
  if (table != TableCode::kByName && !HasTable(layout)) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: option lut reads tables of counts and columns; '{}' holds {}",
         origin,
         arrays.shown,
         NameOf(layout));
  }
  const bool elements = layout == MaskLayout::kDense || layout == MaskLayout::kVariable;
  const bool given = values.rule().threshold || values.rule().additive || values.rule().inverted ||
                     values.rule().sla != SlaClass::kNone;
  if (options.packed != BitOrder::kNone && layout != MaskLayout::kDense &&
      layout != MaskLayout::kPacked) {
    refuse("packed reads", " of bytes");
  }
  if (given && (!elements || options.packed != BitOrder::kNone)) {
    refuse("threshold, additive, inverted and sla read", "");
  }
  if (elements) return;
  for (const ArrayFile& file : files) {
    if (!IsFloat(file.type())) continue;
    Corrupt(file.name(), "type {}, expected integers for {}", NameOf(file.type()), NameOf(layout));
  }
}

std::string MaskReader::Subject(std::size_t file) const {
  return fmt::format(
      "{}: array '{}': shape {}", origin, files[file].name(), ShapeText(files[file].shape()));
}

void MaskReader::WrongShape(std::size_t file, const std::string& expected) const {
  Fail(ErrorCode::kMismatch, "{}, expected {}", Subject(file), expected);
}

std::vector<std::int64_t> MaskReader::Leading() {
  const MaskLayout layout = arrays.layout;
  if (layout == MaskLayout::kRanges) {
    CheckRanges();
    return {};
  }
  if (layout == MaskLayout::kPacked && files.size() == 2 && arrays.grid.empty()) {
    CheckPacked();
    return files[1].shape();
  }
  const auto& shape = files.front().shape();
  const bool matrix = layout == MaskLayout::kDense || layout == MaskLayout::kPacked ||
                      layout == MaskLayout::kVariable;
  const std::size_t own = matrix ? 2 : 1;
  if (shape.size() < own || shape.size() + arrays.grid.size() > own + 5) {
    Fail(ErrorCode::kMismatch,
         "{} has {} dimensions, expected {} to {} (docs/formats/arrays.md)",
         Subject(0),
         shape.size(),
         own,
         own + 5);
  }
  const std::size_t before = shape.size() - own;
  std::vector<std::int64_t> leading(shape.begin(),
                                    shape.begin() + static_cast<std::ptrdiff_t>(before));
  if (layout == MaskLayout::kVariable) {
    CheckVariable();
    return leading;
  }
  const std::int64_t found = shape[before] - (layout == MaskLayout::kBsr ? 1 : 0);
  if (layout == MaskLayout::kRagged && before == 0 && found != lists && found % lists == 0) {
    leading.push_back(found / lists);  // one list per (batch, head, row) in one dimension
    const bool several = leading.back() > sizes.heads && leading.back() % sizes.heads == 0;
    if (several) leading = {leading.back() / sizes.heads, sizes.heads};
    return leading;
  }
  if (layout == MaskLayout::kBsr && before == 0 && found != lists && found % lists == 0) {
    const std::int64_t masks = found / lists;  // one list of pointers over all masks
    one_list_of_pointers = true;
    if (masks == sizes.heads) return {masks};
    const std::int64_t layer = static_cast<std::int64_t>(sizes.layers) * sizes.heads;
    if (masks == layer) return {sizes.layers, sizes.heads};
    if (masks == layer * sizes.steps) return {sizes.steps, sizes.layers, sizes.heads};
    one_list_of_pointers = false;
  }
  const std::int64_t wide = layout == MaskLayout::kPacked ? (items + 7) / 8 : items;
  if (found == lists && (!matrix || shape[before + 1] == wide)) return leading;
  const auto covers = [](std::int64_t side, std::int64_t tokens, std::int64_t padded) {
    return tokens > 0 && (side == tokens || side == padded);
  };
  token_pairs =
      layout == MaskLayout::kDense &&
      covers(shape[before], sizes.tokens, static_cast<std::int64_t>(sizes.rows) * sizes.block.q) &&
      covers(
          shape[before + 1], sizes.tokens, static_cast<std::int64_t>(sizes.cols) * sizes.block.k);
  if (token_pairs) return leading;
  const bool turned = matrix && shape[before] == wide && shape[before + 1] == lists;
  WrongShape(
      0,
      fmt::format("masks of {} x {} {}s{}; {}",
                  sizes.rows,
                  sizes.cols,
                  Unit(),
                  layout == MaskLayout::kBsr      ? fmt::format(" with {} pointers each", lists + 1)
                  : layout == MaskLayout::kPacked ? fmt::format(" with {} bytes a row", wide)
                                                  : "",
                  turned ? "the last two dimensions are K and Q: transpose them before saving"
                         : SizeAdvice(found, matrix ? shape[before + 1] : 0)));
}

/// What may be wrong with a mask of `rows` lists and `wide` columns or bytes (0 = lists).
std::string MaskReader::SizeAdvice(std::int64_t rows, std::int64_t wide) const {
  if (single_keys) return "check queries= and --tokens";
  for (const int queries : kListQueries) {
    const std::int64_t count = (sizes.tokens + queries - 1) / queries;
    const bool keys = wide == sizes.tokens || wide == (sizes.tokens + 7) / 8;
    if (sizes.tokens > 0 && rows == count && keys) {
      return fmt::format(
          "it has one column per token: name queries={} if the columns are single keys", queries);
    }
  }
  return "check --block and --tokens";
}

void MaskReader::CheckShapes(const AxesRequest& request) {
  const std::vector<std::int64_t> own = Leading();
  std::vector<std::int64_t> leading = arrays.grid;
  leading.insert(leading.end(), own.begin(), own.end());
  const bool indexed = arrays.layout == MaskLayout::kPacked && files.size() == 2 && own.size() > 0;
  axes = ResolveAxes(leading, request, sizes, Subject(indexed && arrays.grid.empty() ? 1 : 0));
  std::size_t masks = 1;  // repeated elements (stride 0) make more masks than bytes
  for (const std::int64_t size : axes.sizes) {
    masks *= static_cast<std::size_t>(std::min(size, kMaxMasks + 1));
    if (std::cmp_less_equal(masks, kMaxMasks)) continue;
    Fail(ErrorCode::kInvalidArgument, "{} has more than {} masks", Subject(0), kMaxMasks);
  }
  read = std::make_unique<std::atomic<bool>[]>(masks);
  if (HasTable(arrays.layout)) {
    for (std::size_t at = 0; at < files.size(); at += 2) CheckSecond(at);
  }
}

std::int64_t MaskReader::Flat(std::span<const std::int64_t> index) const {
  std::int64_t flat = 0;
  for (std::size_t i = 0; i < index.size(); ++i) flat = flat * axes.sizes[i] + index[i];
  return flat;
}

void MaskReader::ReadDense(std::span<const std::int64_t> index, BlockMask& mask) const {
  if (token_pairs) return ReadTokens(index, mask);
  const std::size_t grid = arrays.grid.size();
  const ArrayFile& file = files[FirstFile(index)];
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

BlockMask MaskReader::One(std::span<const std::int64_t> index) const {
  BlockMask mask(sizes.rows, sizes.cols);
  switch (arrays.layout) {
    case MaskLayout::kDense:
      ReadDense(index, mask);
      break;
    case MaskLayout::kBsr:
      ReadBsr(index, mask);
      break;
    case MaskLayout::kLut:
    case MaskLayout::kIndices:
      for (std::size_t at = 0; at < arrays.parts; at += 2) {
        ReadLists(FirstFile(index) + at, index.subspan(arrays.grid.size()), mask);
      }
      break;
    case MaskLayout::kRagged:
      ReadRagged(index, mask);
      break;
    case MaskLayout::kRanges:
      ReadRanges(mask);
      break;
    case MaskLayout::kVariable:
      ReadVariable(index, mask);
      break;
    case MaskLayout::kPacked:
      ReadPacked(index, mask);
      break;
  }
  read[static_cast<std::size_t>(Flat(index))] = true;
  return mask;
}

std::size_t MaskReader::FirstFile(std::span<const std::int64_t> index) const {
  return static_cast<std::size_t>(Flat(index.first(arrays.grid.size()))) * arrays.parts;
}

bool MaskReader::Next(std::vector<std::int64_t>& index) const {
  std::size_t axis = index.size();
  while (axis > 0 && ++index[axis - 1] == axes.sizes[axis - 1]) index[--axis] = 0;
  return axis > 0;
}

}  // namespace dbsp
