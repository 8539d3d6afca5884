// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_array.h"

#include <fmt/ranges.h>

#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/mask_reader.h"

namespace dbsp {
namespace {

/// Position of a mask on the axes of the file.
std::vector<std::int64_t> PositionOf(const MaskReader& reader,
                                     const MaskIndex& index,
                                     std::int64_t head) {
  const MaskAxes& axes = reader.axes;
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
           reader.Subject(0),
           value,
           axes.letters[i],
           axes.sizes[i]);
    }
    at.push_back(value);
  }
  return at;
}

}  // namespace

MaskArrayFile::MaskArrayFile(const std::filesystem::path& path,
                             const MaskArrayOptions& options,
                             const MaskArraySizes& sizes)
    : reader_(std::make_unique<MaskReader>(path, options, sizes)) {}
MaskArrayFile::~MaskArrayFile() = default;
MaskArrayFile::MaskArrayFile(MaskArrayFile&&) noexcept = default;
MaskArrayFile& MaskArrayFile::operator=(MaskArrayFile&&) noexcept = default;

MaskLayout MaskArrayFile::layout() const { return reader_->arrays.layout; }
const MaskAxes& MaskArrayFile::axes() const { return reader_->axes; }
TableCode MaskArrayFile::table() const { return reader_->table; }

LayerMasks MaskArrayFile::Read(const MaskIndex& index) const {
  const MaskReader& reader = *reader_;
  LayerMasks masks;
  std::unordered_map<std::string, BlockMaskPtr> distinct;
  const std::int64_t heads = reader.axes.Size('H');
  for (std::int64_t head = 0; head < heads; ++head) {
    auto mask = std::make_shared<const BlockMask>(reader.One(PositionOf(reader, index, head)));
    const auto words = mask->words();
    const std::string key =
        HashBytes({reinterpret_cast<const char*>(words.data()), words.size_bytes()});  // NOLINT
    masks.head.push_back(distinct.emplace(key, std::move(mask)).first->second);
  }
  if (heads == 1) masks.head.assign(reader.sizes.heads, BlockMaskPtr(masks.head.front()));
  return masks;
}

void MaskArrayFile::CheckAll() const {
  std::vector<std::int64_t> index(reader_->axes.sizes.size(), 0);
  do {
    if (!reader_->read[static_cast<std::size_t>(reader_->Flat(index))]) {
      static_cast<void>(reader_->One(index));
    }
  } while (reader_->Next(index));
}

std::vector<std::string> MaskArrayFile::Describe() const {
  const MaskReader& reader = *reader_;
  CheckAll();
  std::vector<std::string> lines;
  std::vector<std::string> arrays;
  for (const ArrayFile& file : reader.files) {
    if (arrays.size() == 4) break;  // a series of equal arrays
    const std::string name = file.name().empty() ? "" : fmt::format("'{}' ", file.name());
    arrays.push_back(fmt::format("{}{} {}", name, NameOf(file.type()), ShapeText(file.shape())));
  }
  MaskLayout layout = reader.arrays.layout;
  if (layout == MaskLayout::kLut || layout == MaskLayout::kIndices) {  // as it is read
    layout = reader.table == TableCode::kDelta ? MaskLayout::kLut : MaskLayout::kIndices;
  }
  lines.push_back(fmt::format("array {}{}: {}{}",
                              fmt::join(arrays, ", "),
                              reader.files.size() > arrays.size()
                                  ? fmt::format(" and others, {} in all", reader.files.size())
                                  : "",
                              NameOf(layout),
                              reader.arrays.by_columns ? ", one list per key block" : ""));
  if (reader.arrays.layout == MaskLayout::kDense || reader.arrays.layout == MaskLayout::kVariable) {
    const std::string rule = reader.values.rule().Text();
    lines.push_back(fmt::format(
        "values {}{}{}", reader.values.Seen(), rule.empty() ? "" : "; ", rule.empty() ? "" : rule));
  }
  if (reader.token_pairs) {
    lines.emplace_back("the elements are pairs of tokens: a block is active if any pair in it is");
  }
  if (!reader.note.empty()) lines.push_back(reader.note);
  if (reader.arrays.tuple) {
    lines.emplace_back(reader.arrays.layout == MaskLayout::kLut
                           ? "the arrays are taken as a tuple of a table and its counts"
                           : "the arrays are taken as the tuple of a FlexAttention BlockMask");
  }
  if (reader.arrays.layout == MaskLayout::kIndices && reader.arrays.parts > 2) {
    lines.push_back(fmt::format("the blocks of '{}' are active too", reader.files[3].name()));
  }
  if (reader.unused_indices > 0) {
    lines.push_back(fmt::format("{} entries of '{}' are padding behind the last index",
                                reader.unused_indices,
                                reader.files[1].name()));
  }
  const std::vector<std::string> axes = DescribeAxes(reader.axes, reader.sizes);
  lines.insert(lines.end(), axes.begin(), axes.end());
  return lines;
}

}  // namespace dbsp
