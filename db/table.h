// SPDX-License-Identifier: Apache-2.0
// Trials as a table, CSV or one JSON object per line: `dbsp-db export` writes it, and import reads
// it. docs/formats/import.md lists the columns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "db/database.h"

namespace dbsp::db {

enum class TableFormat : std::uint8_t { kCsv, kJsonLines };

/// Every trial of the database, oldest first.
[[nodiscard]] std::string TrialTable(const Database& database, TableFormat format);

/// Records of a CSV text by RFC 4180: commas, quotes doubled inside quotes, lines end in LF or
/// CRLF. Empty lines are left out.
struct CsvRecord {
  std::int64_t line = 0;  ///< of its first character, from 1
  std::vector<std::string> fields;
};
/// errors  Error{kCorruptInput} naming origin and line: a quote that does not end, text beside one
[[nodiscard]] std::vector<CsvRecord> ParseCsv(std::string_view text, const std::string& origin);

/// A field as it is written: in quotes where it needs them.
[[nodiscard]] std::string CsvField(const std::string& text);

}  // namespace dbsp::db
