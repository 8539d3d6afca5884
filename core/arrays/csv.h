// SPDX-License-Identifier: Apache-2.0
// Tables in .csv files: named columns, one record after the other. Every error names file, line and
// column.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dbsp {

/// Reads comma-separated text (RFC 4180) with a heading. A byte-order mark, any line ending, blank
/// lines, quoted cells and spaces around cells are accepted.
/// owns  nothing: the text must outlive the reader
class CsvReader {
 public:
  /// Reads the heading.
  /// errors  Error{kCorruptInput} for text without a heading, UTF-16, or two columns of one name
  CsvReader(std::string_view text, std::string origin);

  /// Position of a column. Names are compared without regard to case.
  /// errors  Error{kCorruptInput} if there is none; the message lists `all`, the expected columns
  [[nodiscard]] std::size_t Column(std::string_view name, std::string_view all) const;
  [[nodiscard]] const std::vector<std::string>& columns() const { return columns_; }

  /// Moves to the next record that is not blank. returns false at the end
  /// errors  Error{kCorruptInput} for a record of another length than the heading
  bool Next();
  /// Line on which the record begins, from 1. After the end: the last line.
  [[nodiscard]] std::int64_t line() const { return line_; }

  /// An integer, also written as 3.0. requires Next().
  /// errors  Error{kCorruptInput}
  [[nodiscard]] std::int64_t Int(std::size_t column, std::int64_t low, std::int64_t high) const;
  /// A finite number. requires Next().
  /// errors  Error{kCorruptInput}
  [[nodiscard]] double Number(std::size_t column, double low, double high) const;

 private:
  bool ReadRecord();
  [[noreturn]] void Wrong(std::size_t column,
                          const std::string& expected,
                          std::string_view found) const;

  std::string origin_;
  std::string_view rest_;
  std::int64_t next_line_ = 1;
  std::int64_t line_ = 1;
  std::vector<std::string> columns_;
  std::vector<std::string> cells_;
};

}  // namespace dbsp
