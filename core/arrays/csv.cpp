// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>

#include "core/error.h"
#include "core/file.h"

namespace dbsp {
namespace {

constexpr std::string_view kSparsityHeader = "Step,Layer,Head,Sparsity";

struct Line {
  std::size_t number;  ///< from 1
  std::string_view text;
};

std::vector<Line> LinesOf(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<Line> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back({number, line});
  }
  return lines;
}

std::vector<std::string_view> FieldsOf(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    std::string_view field = line.substr(0, comma);
    while (field.starts_with(' ')) field.remove_prefix(1);
    while (field.ends_with(' ')) field.remove_suffix(1);
    fields.push_back(field);
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> NumberOf(std::string_view field) {
  double value = 0;
  const auto result = std::from_chars(field.data(), field.data() + field.size(), value);
  const bool whole = result.ec == std::errc() && result.ptr == field.data() + field.size();
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::vector<double> RowOf(const Line& line, std::size_t columns, const std::string& origin) {
  const auto fields = FieldsOf(line.text);
  if (fields.size() != columns) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}, column {}: expected {} columns, found {}",
         origin,
         line.number,
         std::min(fields.size(), columns) + 1,
         columns,
         fields.size());
  }
  std::vector<double> row;
  for (std::size_t c = 0; c < fields.size(); ++c) {
    const auto value = NumberOf(fields[c]);
    if (!value) {
      Fail(ErrorCode::kCorruptInput,
           "{}: line {}, column {}: expected a finite number, found '{}'",
           origin,
           line.number,
           c + 1,
           fields[c].substr(0, 40));
    }
    row.push_back(*value);
  }
  return row;
}

void SetDouble(Array& array, std::int64_t index, double value) {
  std::memcpy(array.bytes.data() + static_cast<std::size_t>(index) * sizeof(double),
              &value,
              sizeof(double));
}

/// One row of a profile, indices from 0.
struct Cell {
  std::size_t line;
  std::int64_t index[3];
  double kept;
};

Cell CellOf(const Line& line, const std::string& origin) {
  // Far above any model, and small enough that a product of three stays inside 63 bits.
  constexpr double kMaxIndex = 1 << 20;
  constexpr const char* kNames[] = {"Step", "Layer", "Head"};
  const std::vector<double> row = RowOf(line, 4, origin);
  Cell cell{line.number, {}, row[3]};
  for (std::size_t c = 0; c < 3; ++c) {
    const double first = c == 0 ? 1 : 0;
    if (row[c] < first || row[c] > kMaxIndex || row[c] != std::floor(row[c])) {
      Fail(ErrorCode::kCorruptInput,
           "{}: line {}, column {}: {} must be an integer from {}, found {}",
           origin,
           line.number,
           c + 1,
           kNames[c],
           first,
           row[c]);
    }
    cell.index[c] = static_cast<std::int64_t>(row[c] - first);
  }
  if (cell.kept < 0 || cell.kept > 1) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}, column 4: the kept fraction must be from 0 to 1, found {}",
         origin,
         line.number,
         cell.kept);
  }
  return cell;
}

}  // namespace

bool IsSparsityCsv(const std::filesystem::path& path) {
  const std::string text = ReadFile(path, kMaxTextBytes);
  const auto lines = LinesOf(text);
  return !lines.empty() && lines.front().text == kSparsityHeader;
}

Array ReadSparsityCsv(const std::filesystem::path& path) {
  const std::string origin = path.string();
  const std::string text = ReadFile(path, kMaxTextBytes);
  const auto lines = LinesOf(text);
  if (lines.empty() || lines.front().text != kSparsityHeader) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line 1, column 1: expected the heading '{}'",
         origin,
         kSparsityHeader);
  }
  std::vector<Cell> cells;
  std::vector<std::int64_t> shape(3, 0);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    cells.push_back(CellOf(lines[i], origin));
    for (std::size_t d = 0; d < 3; ++d) {
      shape[d] = std::max(shape[d], cells.back().index[d] + 1);
    }
  }
  const auto expected = ElementCount(shape);
  // A complete grid has one line per cell, so the memory is proportional to the length of the file.
  if (cells.empty() || expected > static_cast<std::int64_t>(cells.size())) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}, column 1: the grid of {} steps x {} layers x {} heads needs {} rows, found "
         "{}",
         origin,
         lines.back().number,
         shape[0],
         shape[1],
         shape[2],
         expected,
         cells.size());
  }
  Array array = MakeArray(ArrayType::kF8, shape);
  std::vector<bool> seen(expected, false);
  for (const Cell& cell : cells) {
    const auto at = (cell.index[0] * shape[1] + cell.index[1]) * shape[2] + cell.index[2];
    if (seen[at]) {
      Fail(ErrorCode::kCorruptInput,
           "{}: line {}, column 1: step {}, layer {}, head {} appears twice",
           origin,
           cell.line,
           cell.index[0] + 1,
           cell.index[1],
           cell.index[2]);
    }
    seen[at] = true;
    SetDouble(array, at, cell.kept);
  }
  return array;
}

Array ReadNumericCsv(const std::filesystem::path& path) {
  const std::string origin = path.string();
  const std::string text = ReadFile(path, kMaxTextBytes);
  auto lines = LinesOf(text);
  if (!lines.empty()) {
    const auto fields = FieldsOf(lines.front().text);
    const bool heading =
        std::any_of(fields.begin(), fields.end(), [](auto f) { return !NumberOf(f); });
    if (heading) lines.erase(lines.begin());
  }
  if (lines.empty()) {
    Fail(ErrorCode::kCorruptInput, "{}: line 1, column 1: holds no row of numbers", origin);
  }
  const std::size_t columns = FieldsOf(lines.front().text).size();
  Array array{ArrayType::kF8, {}, {}};
  for (const Line& line : lines) {
    const std::vector<double> row = RowOf(line, columns, origin);
    array.bytes.append(reinterpret_cast<const char*>(row.data()),  // NOLINT: bytes of doubles
                       row.size() * sizeof(double));
  }
  array.shape = {static_cast<std::int64_t>(lines.size()), static_cast<std::int64_t>(columns)};
  return array;
}

}  // namespace dbsp
