// SPDX-License-Identifier: Apache-2.0
// Results of a run for every configuration of its suite, as text and as JSON. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"

namespace dbsp::profiler {

enum class ResultStatus : std::uint8_t { kToMeasure, kMeasured, kReused, kFailed, kLeftOut };
[[nodiscard]] const char* NameOf(ResultStatus status);  ///< "to measure", "left out", ...

struct Result {
  TrialConfig config;
  ResultStatus status = ResultStatus::kToMeasure;
  std::optional<Trial> trial = {};  ///< only if it was run now
};

[[nodiscard]] int Count(const std::vector<Result>& results, ResultStatus status);

/// One line of text per configuration, and one with the counts.
[[nodiscard]] std::string ResultsText(const std::vector<Result>& results);

/// Facts about the whole run, for the JSON document.
struct RunFacts {
  std::string database = {};  ///< "" without one
  std::string device = {};
  std::string suite = {};
  int cores = 0;
  int ranks = 1;
  std::uint64_t seed = 1;
  std::string commit = {};
  bool interrupted = false;
};

/// "dbsp.profile/1", docs/formats/profile.md; an infinite number becomes null.
[[nodiscard]] std::string ResultsJson(const RunFacts& facts, const std::vector<Result>& results);

}  // namespace dbsp::profiler
