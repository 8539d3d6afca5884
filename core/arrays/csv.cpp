// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "core/error.h"

namespace dbsp {
namespace {

constexpr std::string_view kSpaces = " \t";
constexpr std::size_t kShownCharacters = 40;

std::string_view Trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

template <typename T>
std::optional<T> ParseAll(std::string_view text) {
  T value{};
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = problem == std::errc() && stop == text.data() + text.size();
  return whole ? std::optional(value) : std::nullopt;
}

/// Length of the line ending at the front of `text`: "\r\n", "\n", "\r", or none (0).
std::size_t LineEnd(std::string_view text) {
  if (text.starts_with("\r\n")) return 2;
  return text.starts_with('\n') || text.starts_with('\r') ? 1 : 0;
}

std::int64_t LinesIn(std::string_view text) {
  std::int64_t lines = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    lines += text[i] == '\n' || (text[i] == '\r' && text.substr(i, 2) != "\r\n") ? 1 : 0;
  }
  return lines;
}

/// Takes one cell from the front of `text`, up to the comma or the line's end.
/// returns  std::nullopt if a quote is not closed
std::optional<std::string> TakeCell(std::string_view& text) {
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos || text[first] != '"') {
    const std::size_t end = std::min(text.find_first_of(",\r\n"), text.size());
    std::string cell(Trimmed(text.substr(0, end)));
    text.remove_prefix(end);
    return cell;
  }
  text.remove_prefix(first + 1);
  std::string cell;
  while (true) {
    const std::size_t quote = text.find('"');
    if (quote == std::string_view::npos) return std::nullopt;
    cell += text.substr(0, quote);
    text.remove_prefix(quote + 1);
    if (!text.starts_with('"')) break;
    cell += '"';
    text.remove_prefix(1);
  }
  const std::size_t end = std::min(text.find_first_of(",\r\n"), text.size());
  cell += Trimmed(text.substr(0, end));  // text behind the closing quote belongs to the cell
  text.remove_prefix(end);
  return std::string(Trimmed(cell));
}

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string origin)
    : origin_(std::move(origin)), rest_(text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
  if (rest_.starts_with("\xff\xfe") || rest_.starts_with("\xfe\xff")) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line 1, column 1: the text is UTF-16; save the table as UTF-8",
         origin_);
  }
  if (!ReadRecord()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line 1, column 1: expected a heading with the names of the columns, found nothing",
         origin_);
  }
  columns_ = std::move(cells_);
  while (columns_.size() > 1 && columns_.back().empty()) columns_.pop_back();
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    for (std::size_t other = 0; other < c; ++other) {
      if (columns_[c].empty() || Lower(columns_[c]) != Lower(columns_[other])) continue;
      Fail(ErrorCode::kCorruptInput,
           "{}: line {}, column {}: '{}' is the name of column {}, too",
           origin_,
           line_,
           c + 1,
           columns_[c],
           other + 1);
    }
  }
}

std::size_t CsvReader::Column(std::string_view name, std::string_view all) const {
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (Lower(columns_[c]) == Lower(name)) return c;
  }
  std::string found;
  for (const std::string& column : columns_) found += (found.empty() ? "" : ",") + column;
  Fail(ErrorCode::kCorruptInput,
       "{}: line 1, column {}: no column '{}'; expected a heading with {} in any order, found '{}'",
       origin_,
       columns_.size(),
       name,
       all,
       found.substr(0, 2 * kShownCharacters));
}

bool CsvReader::ReadRecord() {
  while (!rest_.empty()) {
    const std::string_view before = rest_;
    line_ = next_line_;
    cells_.clear();
    bool blank = true;
    while (true) {
      auto cell = TakeCell(rest_);
      if (!cell) Wrong(cells_.size(), "a closing quote", before.substr(0, kShownCharacters));
      blank = blank && cell->empty();
      cells_.push_back(*std::move(cell));
      if (!rest_.starts_with(',')) break;
      rest_.remove_prefix(1);
    }
    rest_.remove_prefix(LineEnd(rest_));
    next_line_ += LinesIn(before.substr(0, before.size() - rest_.size()));
    if (!blank) return true;
  }
  return false;
}

bool CsvReader::Next() {
  if (!ReadRecord()) return false;
  while (cells_.size() > columns_.size() && cells_.back().empty()) cells_.pop_back();
  if (cells_.size() == columns_.size()) return true;
  Fail(ErrorCode::kCorruptInput,
       "{}: line {}, column {}: expected {} columns, found {}",
       origin_,
       line_,
       std::min(cells_.size(), columns_.size()) + 1,
       columns_.size(),
       cells_.size());
}

std::int64_t CsvReader::Int(std::size_t column, std::int64_t low, std::int64_t high) const {
  const std::string& cell = cells_.at(column);
  auto value = ParseAll<std::int64_t>(cell);
  if (!value) {
    constexpr double kExact = 9007199254740992.0;  // doubles up to here are exact integers
    const auto number = ParseAll<double>(cell);
    if (number && std::abs(*number) <= kExact && *number == std::floor(*number)) {
      value = static_cast<std::int64_t>(*number);
    }
  }
  if (value && *value >= low && *value <= high) return *value;
  Wrong(column, fmt::format("an integer from {} to {}", low, high), cell);
}

double CsvReader::Number(std::size_t column, double low, double high) const {
  const std::string& cell = cells_.at(column);
  const auto value = ParseAll<double>(cell);
  if (value && *value >= low && *value <= high) return *value;  // false for NaN
  Wrong(column, fmt::format("a number from {} to {}", low, high), cell);
}

void CsvReader::Wrong(std::size_t column,
                      const std::string& expected,
                      std::string_view found) const {
  const std::string name =
      column < columns_.size() && !columns_[column].empty() ? " (" + columns_[column] + ")" : "";
  Fail(ErrorCode::kCorruptInput,
       "{}: line {}, column {}{}: expected {}, found '{}'",
       origin_,
       line_,
       column + 1,
       name,
       expected,
       found.substr(0, kShownCharacters));
}

}  // namespace dbsp
