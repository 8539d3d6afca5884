// SPDX-License-Identifier: Apache-2.0
// What a run did with every configuration of its suite, as text and as a document. Pure.
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
  std::optional<Trial> trial = {};  ///< of this run only
};

[[nodiscard]] int Count(const std::vector<Result>& results, ResultStatus status);

/// A line for every configuration and one that counts them, for people.
[[nodiscard]] std::string ResultsText(const std::vector<Result>& results);

/// What the document says of the run as a whole.
struct RunFacts {
  std::string database = {};  ///< "" when none was named
  std::string device = {};
  std::string suite = {};
  int cores = 0;
  int ranks = 1;
  std::uint64_t seed = 1;
  std::string commit = {};
  bool interrupted = false;
};

/// "dbsp.profile/1", docs/formats/profile.md; a number that is not finite becomes null.
[[nodiscard]] std::string ResultsJson(const RunFacts& facts, const std::vector<Result>& results);

}  // namespace dbsp::profiler
