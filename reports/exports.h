// SPDX-License-Identifier: Apache-2.0
// The report as CSV tables, as Chrome traces and as Markdown. Private to reports/, because it
// includes nlohmann json.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "reports/inputs.h"

namespace dbsp::reports {

/// One table of a report. Units are part of the columns' names: total_ms, bytes_per_rank.
struct Table {
  std::string name;
  std::vector<std::string> columns;
  std::vector<std::vector<Json>> rows;  ///< each with one value per column
};

/// Names of all tables, in the order of TablesOf().
[[nodiscard]] std::vector<std::string> TableNames();
/// Every table of a document, also the empty ones. requires a document of MakeDocument()
[[nodiscard]] std::vector<Table> TablesOf(const Json& document);

/// RFC 4180: a line of column names, then one line per row. Line feeds and control characters of
/// names are escaped as on a terminal, so that a row is one line. Unknown values are empty.
[[nodiscard]] std::string CsvText(const Table& table);

/// A comment for a pull request, at most kMostMarkdownLines lines: the verdict, what to run, the
/// times of the plain strategies and the plan, how sure they are, the next command, comparisons.
/// requires a document of MakeDocument()
inline constexpr int kMostMarkdownLines = 25;
[[nodiscard]] std::string MarkdownText(const Json& document, const std::string& title);

/// A file of the folder that an export fills.
struct ExportFile {
  std::string name;
  std::string text;
};

/// Names of the files of TraceFiles(): "rank0.json", or "plan2-rank0.json" with several plans.
[[nodiscard]] std::vector<std::string> TraceNames(const ReportInputs& inputs);
/// One Chrome trace per plan and rank, for Perfetto. Predicted and replayed times of the rank are
/// two processes, in which equal cells begin at the same time.
/// errors  Error{kInvalidArgument} where there is no plan, or no plan has a timeline;
///         Error{kCorruptInput} for times whose sum needs more than 64 bits
[[nodiscard]] std::vector<ExportFile> TraceFiles(const ReportInputs& inputs);

}  // namespace dbsp::reports
