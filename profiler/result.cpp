// SPDX-License-Identifier: Apache-2.0
#include "profiler/result.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/json.h"
#include "core/statistics.h"
#include "core/terminal_text.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/suites/suite.h"

namespace dbsp::profiler {
namespace {

/// ", algbw 3.2 busbw 2.8 GB/s" of an exchange, "" of others.
std::string BandwidthText(const TrialConfig& config, double median_ns) {
  const auto* exchange = std::get_if<ExchangeConfig>(&config);
  if (exchange == nullptr) return "";
  const Bandwidth speed = BandwidthOf(*exchange, median_ns);
  return fmt::format(", algbw {:.4g} busbw {:.4g} GB/s", speed.algorithm, speed.bus);
}

/// ", 1.31 times as long as alone" of an overlap, "" of others.
std::string SlowdownText(const Trial& trial, double median_ns) {
  if (trial.alone_ns.empty()) return "";
  return fmt::format(", {:.3g} times as long as alone", median_ns / Median(trial.alone_ns));
}

std::string Row(const Result& result) {
  const std::string what = TerminalLine(Describe(result.config));
  if (!result.trial) return fmt::format("{:>12}  {}\n", NameOf(result.status), what);
  const Trial& trial = *result.trial;
  if (trial.outcome != TrialOutcome::kOk) {
    return fmt::format("{:>12}  {}: {}\n", NameOf(result.status), what, TerminalLine(trial.detail));
  }
  const double median = Median(trial.samples_ns);
  return fmt::format("{:>9.4g} ms  {}{}{}  ({} samples, stop: {})\n",
                     median / 1e6,
                     what,
                     BandwidthText(result.config, median),
                     SlowdownText(trial, median),
                     trial.samples_ns.size(),
                     TerminalLine(trial.stop_reason));
}

Json TrialJson(const Result& result) {
  Json entry{{"key", KeyOf(result.config)},
             {"what", Describe(result.config)},
             {"status", NameOf(result.status)}};
  if (!result.trial) return entry;
  const Trial& trial = *result.trial;
  entry["outcome"] = NameOf(trial.outcome);
  entry["method"] = trial.method;
  entry["detail"] = trial.detail;
  entry["stop_reason"] = trial.stop_reason;
  entry["warmups"] = trial.warmups;
  entry["discarded"] = trial.discarded;
  entry["samples_ns"] = trial.samples_ns;
  if (trial.samples_ns.empty()) return entry;
  entry["median_ns"] = Median(trial.samples_ns);
  entry["relative_error"] = RelativeMedianError(trial.samples_ns);
  if (!trial.alone_ns.empty()) {
    const double alone = Median(trial.alone_ns);
    entry["alone_ns"] = trial.alone_ns;
    entry["alone_median_ns"] = alone;
    entry["slowdown"] = Median(trial.samples_ns) / alone;
  }
  if (const auto* exchange = std::get_if<ExchangeConfig>(&result.config)) {
    const Bandwidth speed = BandwidthOf(*exchange, Median(trial.samples_ns));
    entry["algbw_gbps"] = speed.algorithm;
    entry["busbw_gbps"] = speed.bus;
  }
  return entry;
}

}  // namespace

const char* NameOf(ResultStatus status) {
  switch (status) {
    case ResultStatus::kToMeasure:
      return "to measure";
    case ResultStatus::kMeasured:
      return "measured";
    case ResultStatus::kReused:
      return "reused";
    case ResultStatus::kFailed:
      return "failed";
    case ResultStatus::kLeftOut:
      return "left out";
  }
  return "";
}

int Count(const std::vector<Result>& results, ResultStatus status) {
  return static_cast<int>(std::count_if(
      results.begin(), results.end(), [&](const Result& r) { return r.status == status; }));
}

std::string ResultsText(const std::vector<Result>& results) {
  std::string text;
  for (const Result& result : results) text += Row(result);
  return text + fmt::format("{} trials: {} measured, {} reused, {} failed, {} left out\n",
                            results.size(),
                            Count(results, ResultStatus::kMeasured),
                            Count(results, ResultStatus::kReused),
                            Count(results, ResultStatus::kFailed),
                            Count(results, ResultStatus::kLeftOut));
}

std::string ResultsJson(const RunFacts& facts, const std::vector<Result>& results) {
  Json trials = Json::array();
  for (const Result& result : results) trials.push_back(TrialJson(result));
  const Json document{{"schema", "dbsp.profile/1"},
                      {"database", facts.database},
                      {"device", facts.device},
                      {"cores", facts.cores},
                      {"suite", facts.suite},
                      {"ranks", facts.ranks},
                      {"seed", facts.seed},
                      {"commit", facts.commit},
                      {"interrupted", facts.interrupted},
                      {"measured", Count(results, ResultStatus::kMeasured)},
                      {"reused", Count(results, ResultStatus::kReused)},
                      {"failed", Count(results, ResultStatus::kFailed)},
                      {"left_out", Count(results, ResultStatus::kLeftOut)},
                      {"to_measure", Count(results, ResultStatus::kToMeasure)},
                      {"trials", std::move(trials)}};
  return DumpJson(document, 1) + "\n";
}

}  // namespace dbsp::profiler
