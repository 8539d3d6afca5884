// SPDX-License-Identifier: Apache-2.0
// Layouts with lists of the active columns of each row.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "planner/workload/mask_reader.h"

namespace dbsp {
namespace {

/// What the rows of a table of counts and entries allow.
struct TableReadings {
  bool delta = true;  ///< every row names ascending columns by steps
  bool ordinal = true;  ///< every row names different columns
  bool ascending = true;  ///< and in ascending order
  std::string differs;  ///< the first row in which both name other columns
};

void ReadRow(std::span<const std::int64_t> row, std::int64_t items, TableReadings& readings) {
  std::vector<std::int64_t> columns(row.begin(), row.end());
  std::int64_t column = 0;
  for (std::size_t n = 0; n < row.size(); ++n) {
    const bool good = row[n] >= (n == 0 ? 0 : 1) && row[n] < items - column;
    readings.delta = readings.delta && good;
    column = good ? column + row[n] : 0;
    columns[n] = column;
    readings.ordinal = readings.ordinal && row[n] >= 0 && row[n] < items;
    readings.ascending = readings.ascending && (n == 0 || row[n] > row[n - 1]);
  }
  std::vector<std::int64_t> sorted(row.begin(), row.end());
  std::ranges::sort(sorted);
  readings.ordinal = readings.ordinal && std::ranges::adjacent_find(sorted) == sorted.end();
  const bool same = std::ranges::equal(columns, row);
  if (same || !readings.delta || !readings.ordinal || !readings.differs.empty()) return;
  const std::size_t shown = std::min<std::size_t>(row.size(), 6);
  const char* more = shown < row.size() ? ", .." : "";
  readings.differs = fmt::format("[{}{}] is columns {}{} or {}{}",
                                 fmt::join(row.first(shown), ", "),
                                 more,
                                 fmt::join(row.first(shown), ", "),
                                 more,
                                 fmt::join(std::span(columns).first(shown), ", "),
                                 more);
}

}  // namespace

/// Requires that the array of column indices has the shape of the array of counts, with one more
/// dimension at the end.
void MaskReader::CheckSecond(std::size_t at) const {
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

void MaskReader::DecideTable() {
  if (table != TableCode::kByName) return;
  TableReadings readings;
  std::vector<std::int64_t> index(axes.sizes.size(), 0);
  std::vector<std::int64_t> row;
  do {
    const std::size_t at = FirstFile(index);
    const auto inner = std::span(index).subspan(arrays.grid.size());
    const Array counted = files[at].Slice(inner);
    const Array entries = files[at + 1].Slice(inner);
    const std::int64_t width = entries.shape[1];
    for (int i = 0; i < lists; ++i) {
      const std::int64_t count =
          CountAt(counted, i, std::min<std::int64_t>(width, items), files[at].name());
      row.clear();
      for (std::int64_t n = 0; n < count; ++n) row.push_back(entries.Int(i * width + n));
      const bool first = readings.differs.empty();
      ReadRow(row, items, readings);
      if (!first || readings.differs.empty()) continue;
      std::vector<std::int64_t> place = index;
      place.push_back(i);
      readings.differs = fmt::format("row {}, {}", ShapeText(place), readings.differs);
    }
  } while (readings.ordinal && (readings.delta || readings.ascending) && Next(index));
  if (readings.delta && readings.ordinal && !readings.differs.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: array '{}': its entries may be columns or steps from column to column: {}; say which "
         "with lut=ordinal or lut=delta",
         origin,
         files[1].name(),
         readings.differs);
  }
  table = TableCode::kDelta;
  const bool columns = !readings.delta && readings.ordinal && readings.ascending;
  if (columns) table = TableCode::kOrdinal;  // else errors are those of steps
}

void MaskReader::LoadTiles(const std::filesystem::path& path) {
  const Array tiles = LoadArray(path, arrays.tiles);
  const bool fits = tiles.shape.size() == 1 && tiles.size() == sizes.cols;
  if (!fits) {
    Corrupt(arrays.tiles,
            "shape {}, expected [{}], one size per key block",
            ShapeText(tiles.shape),
            sizes.cols);
  }
  std::int64_t valid = 0;
  for (std::int64_t i = 0; i < tiles.size(); ++i) {
    const std::int64_t size = tiles.Int(i);
    if (size < 0 || (sizes.block.k > 0 && size > sizes.block.k)) {
      Corrupt(arrays.tiles,
              "element {} is {}, expected 0 to {} tokens of a block; check --block",
              i,
              size,
              sizes.block.k);
    }
    valid += size;
  }
  const std::int64_t all = static_cast<std::int64_t>(sizes.cols) * sizes.block.k;
  if (all == valid) return;
  note = fmt::format("'{}': {} of {} tokens are padding of tiles, which the workload counts",
                     arrays.tiles,
                     all - valid,
                     all);
}

/// Requires ascending keys within the sequence, each once. `previous` is -1 for the first one.
void MaskReader::CheckKey(const std::string& name,
                          std::span<const std::int64_t> index,
                          int row,
                          std::int64_t key,
                          std::int64_t previous) const {
  if (key > previous && key < items) return;
  std::vector<std::int64_t> place(index.begin(), index.end());
  place.push_back(row);
  const std::string where = fmt::format(
      "list {} of axes {}", ShapeText(place), axes.letters.substr(0, axes.letters.size() - 1));
  if (key < 0 || key >= items) {
    Corrupt(name, "{} names key {}, expected 0 to {}", where, key, items - 1);
  }
  if (key == previous) Corrupt(name, "{} names key {} twice, expected each key once", where, key);
  Corrupt(name,
          "{} names key {} after key {}, expected ascending keys; sort each list",
          where,
          key,
          previous);
}

void MaskReader::LoadPointers(const std::filesystem::path& path) {
  pointers = files[0].Slice();
  const std::int64_t width = static_cast<std::int64_t>(lists) + 1;
  if (one_list_of_pointers) {  // the end of a mask is the begin of the next one
    const std::int64_t masks = (pointers.size() - 1) / lists;
    Array each = MakeArray(ArrayType::kI8, {masks, width});
    for (std::int64_t i = 0; i < masks * width; ++i) {
      const std::int64_t value = pointers.Int(i / width * lists + i % width);
      std::memcpy(each.bytes.data() + i * sizeof value, &value, sizeof value);
    }
    pointers = std::move(each);
  }
  std::int64_t total = 0;
  bool restarted = false;
  for (std::int64_t at = 0; at < pointers.size(); at += width) {
    // Files either continue indptr over all masks or start at 0 in each.
    const std::int64_t start = pointers.Int(at);
    if (start != total && start != 0) {
      Corrupt(files[0].name(),
              "entry {} is {}, expected {}",
              at,
              start,
              total == 0 ? "0" : fmt::format("0 or {}", total));
    }
    restarted |= start == 0 && at > 0;
    for (std::int64_t row = 0; row < lists; ++row) {
      const std::int64_t next = pointers.Int(at + row + 1);
      const std::int64_t here =
          pointers.Int(at + row);  // not negative: the previous iteration checked it
      if (next < here || next - here > items) {
        Corrupt(files[0].name(),
                "entry {} is {} after {}, expected a row of 0 to {} {}s",
                one_list_of_pointers ? at / width * lists + row + 1 : at + row + 1,
                next,
                here,
                items,
                Unit());
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
void MaskReader::CheckPadding(std::int64_t total, bool restarted) {
  const std::vector<std::int64_t>& shape = files[1].shape();
  const std::vector<std::int64_t> masks(files[0].shape().begin(), files[0].shape().end() - 1);
  if (shape.size() == 1) {
    const std::int64_t unused = shape.front() - total;
    if (unused >= 0 && (unused == 0 || !restarted)) {
      unused_indices = unused;
      return;
    }
    Corrupt(files[0].name(),
            "counts {} {}s, but '{}' holds {}{}",
            total,
            Unit(),
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

void MaskReader::LoadStarts() {
  if (files[1].shape() != files[0].shape()) {
    WrongShape(1, fmt::format("{} as '{}'", ShapeText(files[0].shape()), files[0].name()));
  }
  if (files[2].shape().size() != 1) WrongShape(2, "one dimension");
  pointers = files[0].Slice();
  list_counts = files[1].Slice();
  const std::int64_t room = files[2].shape().front();
  std::int64_t end = 0;
  for (std::int64_t at = 0; at < pointers.size(); ++at) {
    const std::int64_t start = pointers.Int(at);
    const std::int64_t count = CountAt(list_counts, at, items, files[1].name());
    if (start < end || start > room || count > room - start) {
      Corrupt(files[0].name(),
              "list {} begins at {} with {} blocks, expected a begin from {} on, the end of the "
              "list before, and an end of at most {}",
              at,
              start,
              count,
              end,
              room);
    }
    end = start + count;
  }
}

void MaskReader::ReadRagged(std::span<const std::int64_t> index, BlockMask& mask) const {
  const std::int64_t first = Flat(index) * lists;
  for (int i = 0; i < lists; ++i) {
    const std::int64_t start = pointers.Int(first + i);
    const Array columns = files[2].Range(start, start + list_counts.Int(first + i));
    std::int64_t previous = -1;
    for (std::int64_t n = 0; n < columns.size(); ++n) {
      const std::int64_t column = columns.Int(n);
      if (single_keys) CheckKey(files[2].name(), index, i, column, previous);
      previous = column;
      if (column < 0 || column >= items) {
        Corrupt(files[2].name(),
                "entry {} names block {}, expected 0 to {}",
                start + n,
                column,
                items - 1);
      }
      if (mask.Get(i, static_cast<int>(column))) {
        Corrupt(files[2].name(), "list {} names block {} twice", first + i, column);
      }
      mask.Set(i, static_cast<int>(column));
    }
  }
}

void MaskReader::ReadBsr(std::span<const std::int64_t> index, BlockMask& mask) const {
  const std::int64_t matrix = Flat(index);
  const std::int64_t at = matrix * (static_cast<std::int64_t>(lists) + 1);
  const std::int64_t base = bases[static_cast<std::size_t>(matrix)];
  const std::int64_t begin = base + pointers.Int(at);
  const ArrayFile& second = files[1];
  const bool rows = second.shape().size() > 1;
  const Array indices =
      rows ? second.Slice(index) : second.Range(begin, base + pointers.Int(at + lists));
  for (int i = 0; i < lists; ++i) {
    std::int64_t previous = -1;
    for (std::int64_t n = pointers.Int(at + i); n < pointers.Int(at + i + 1); ++n) {
      const std::int64_t column = indices.Int(base + n - begin);
      if (single_keys) CheckKey(second.name(), index, i, column, previous);
      previous = column;
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

std::int64_t MaskReader::CountAt(const Array& counted,
                                 std::int64_t at,
                                 std::int64_t most,
                                 const std::string& name) const {
  const std::int64_t count = counted.Int(at);
  if (count < 0 || count > most) {
    Corrupt(name, "row {} has {} {}s, expected 0 to {}", at, count, Unit(), most);
  }
  return count;
}

void MaskReader::ReadLists(std::size_t at,
                           std::span<const std::int64_t> index,
                           BlockMask& mask) const {
  const Array counted = files[at].Slice(index);
  const Array entries = files[at + 1].Slice(index);
  const std::int64_t width = entries.shape[1];
  const bool delta = table == TableCode::kDelta;
  for (int i = 0; i < lists; ++i) {
    const std::int64_t count =
        CountAt(counted, i, std::min<std::int64_t>(width, items), files[at].name());
    std::int64_t item = 0;
    std::int64_t previous = -1;
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t entry = entries.Int(i * width + n);
      if (delta && (entry < (n == 0 ? 0 : 1) || entry >= items - item)) {
        Corrupt(files[at + 1].name(),
                "row {}, entry {}: step {} from column {} of {}",
                i,
                n,
                entry,
                item,
                items);
      }
      item = delta ? item + entry : entry;
      if (single_keys && !arrays.by_columns) {
        CheckKey(files[at + 1].name(), index, i, item, previous);
      }
      previous = item;
      if (item < 0 || item >= items) {
        Corrupt(files[at + 1].name(),
                "row {}, entry {} names block {}, expected 0 to {}",
                i,
                n,
                item,
                items - 1);
      }
      const int row = arrays.by_columns ? static_cast<int>(item) : i;
      const int column = arrays.by_columns ? i : static_cast<int>(item);
      if (mask.Get(row, column)) {
        Corrupt(files[at + 1].name(),
                "row {} names block {} twice{}",
                i,
                item,
                at % arrays.parts > 0 ? fmt::format(", or '{}' names it too", files[at - 1].name())
                                      : "");
      }
      mask.Set(row, column);
    }
  }
}

}  // namespace dbsp
