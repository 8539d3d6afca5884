// SPDX-License-Identifier: Apache-2.0
// The readers behind ReadImport(), one per format, and what they share. Inside db/ only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/json.h"
#include "db/import_types.h"

namespace dbsp::db {

inline constexpr double kUs = 1e3;  ///< nanoseconds of a microsecond

/// A time in nanoseconds, at least 1. `where` is the file, the line or row, and the field.
/// errors  Error{kCorruptInput} when it is not finite, not positive, or above 10^18 ns
[[nodiscard]] std::int64_t TimeOf(double value, double unit_ns, const std::string& where);

/// Number of a whole text.
/// errors  Error{kCorruptInput} with `where`
[[nodiscard]] double NumberOf(std::string_view text, const std::string& where);

/// Bytes that a rank sends to others (of an all-gather: receives from others), by the size that
/// nccl-tests and PyTorch state for a collective.
/// op  "alltoall", "allgather", "reducescatter": size (n - 1) / n. Others: size
[[nodiscard]] std::int64_t BytesPerRank(const std::string& op, std::int64_t size, int ranks);

/// dbsp's name of a collective: "alltoall_perf", "all_to_allv" -> "alltoall", "sendrecv" -> "hop".
/// "" for an empty name; other names lose "_perf" and "_".
[[nodiscard]] std::string OpOf(std::string_view name);

/// Launches by name. Every name becomes one trial of operation "kernel:NAME".
class NamedTimes {
 public:
  void Add(const std::string& name, std::int64_t ns) { samples_[name].push_back(ns); }
  /// Appends the trials.
  void MoveTo(ImportedRun& run, const std::string& method);
  [[nodiscard]] bool empty() const { return samples_.empty(); }

 private:
  std::map<std::string, std::vector<std::int64_t>> samples_;
};

[[nodiscard]] ImportedFile ReadNcclTests(std::string_view text, const ImportRequest& request);
[[nodiscard]] ImportedFile ReadNcclTestsJson(const JsonView& document,
                                             const ImportRequest& request);
[[nodiscard]] ImportedFile ReadGoogleBenchmark(const JsonView& document,
                                               const ImportRequest& request);
[[nodiscard]] ImportedFile ReadTorchProfiler(const JsonView& document,
                                             const ImportRequest& request);
[[nodiscard]] ImportedFile ReadNsys(const ImportRequest& request);
[[nodiscard]] ImportedFile ReadCsv(std::string_view text, const ImportRequest& request);
[[nodiscard]] ImportedFile ReadJsonLines(std::string_view text, const ImportRequest& request);

}  // namespace dbsp::db
