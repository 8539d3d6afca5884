// SPDX-License-Identifier: Apache-2.0
// Output of a search: the table, the JSON document ("dbsp.compare/1") and the summary lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/baseline.h"
#include "core/plan.h"
#include "tuner/baselines.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// One candidate over the whole workload. Times are sums over cells times the waves of guidance
/// passes (SearchResult::WavesOf), in milliseconds. bytes_per_rank is the same sum in bytes.
/// docs/metrics.md defines every number.
struct CandidateSummary {
  Candidate candidate;
  double rho_barrier = 1;  ///< sum of barrier loads / sum of mean loads
  double rho_barrier_mean = 1;  ///< mean over cells
  double rho_barrier_worst = 1;
  std::optional<double> rho_timeline;  ///< total / lower bound; empty when the bound is 0
  double compute_ms = 0;
  double exchange_ms = 0;
  double total_ms = 0;
  double total_ms_low = 0;
  double total_ms_high = 0;
  std::int64_t bytes_per_rank = 0;
  double moved_fraction = 0;  ///< mean over cells
  double plan_us = 0;  ///< mean time to make one partition, microseconds
  double lower_bound_ms = 0;
  std::int64_t chosen = 0;  ///< number of cells whose chosen strategy it is
  std::vector<std::string> kernels;  ///< kernels that it runs on some cell, in SearchResult's order
  std::string verdict;
};

/// Sums over all cells with their chosen strategies.
struct PlanSummary {
  double total_ms = 0;
  double total_ms_low = 0;
  double total_ms_high = 0;
  double lower_bound_ms = 0;
  std::int64_t cells = 0;
  std::int64_t close_cells = 0;  ///< cells whose Choice is close
  std::size_t classes = 0;  ///< distinct masks
};

[[nodiscard]] std::vector<CandidateSummary> Summarise(const SearchResult& result);
[[nodiscard]] PlanSummary SummarisePlan(const SearchResult& result);

/// The document, indented. It contains "cells" when `with_cells` is true, and the time of the whole
/// video with `rest`.
[[nodiscard]] std::string CompareJson(const SearchResult& result,
                                      const std::string& workload_name,
                                      const std::string& workload_hash,
                                      const CostsIdentity& costs,
                                      bool with_cells,
                                      const std::optional<RestOfVideo>& rest = std::nullopt);

/// A heading and one line per candidate, followed by one line per (step, layer) when `with_cells`
/// is true.
[[nodiscard]] std::string CompareTable(const SearchResult& result,
                                       CostSource costs,
                                       bool with_cells);

/// Summary lines that begin with "plan: ": best uniform strategy, plan per cell, cfg degree if
/// several were searched, gain over each baseline or the reason why there is none, distance to the
/// lower bound, kernels if several were measured, and cost source. `model_error` is that of
/// GainSum; empty where no held-out error is known.
[[nodiscard]] std::string VerdictLines(const SearchResult& result,
                                       CostSource costs,
                                       const std::vector<PricedBaseline>& baselines,
                                       std::optional<double> model_error);

}  // namespace dbsp::tuner
