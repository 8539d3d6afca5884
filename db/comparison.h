// SPDX-License-Identifier: Apache-2.0
// Comparison of two databases or of two plans, row by row, for `dbsp-db compare`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/baseline.h"
#include "core/plan.h"
#include "db/database.h"

namespace dbsp::db {

struct ComparedRow {
  std::string name;  ///< the configuration, the part of the plan
  Gain gain;  ///< of the second one over the first one
  std::string basis;  ///< "31 and 28 samples", "1200 cells"
};

struct Comparison {
  std::string kind;  ///< "databases" or "plans"
  std::vector<ComparedRow> rows;
  std::int64_t only_first = 0;  ///< configurations that only the first one has
  std::int64_t only_second = 0;
  std::vector<std::string> notes;

  [[nodiscard]] std::int64_t Count(GainVerdict verdict) const;
};

/// A configuration on one line: "alltoall over nccl, 8 ranks, 1048576 bytes".
[[nodiscard]] std::string Describe(const TrialConfig& config);

/// Medians of the newest finished trial of every (configuration, method), and of the device where
/// one of the files has several. The interval is that of two independent medians.
[[nodiscard]] Comparison CompareDatabases(const Database& first, const Database& second);

/// Totals of two plans, and the cells in which they differ, one row per pair of predictions. With
/// the same costs only differences are uncertain (GainSum); else each total has its own interval.
/// errors  Error{kMismatch} for different workloads, numbers of ranks or cells
[[nodiscard]] Comparison ComparePlans(const Plan& first, const Plan& second);

/// A line per row, the counts, and the rule.
[[nodiscard]] std::string ComparisonText(const Comparison& comparison,
                                         const std::string& first,
                                         const std::string& second);
/// The document "dbsp.db_compare/1". Bounds that are not finite are null.
[[nodiscard]] std::string ComparisonJson(const Comparison& comparison,
                                         const std::string& first,
                                         const std::string& second);

}  // namespace dbsp::db
