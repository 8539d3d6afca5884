// SPDX-License-Identifier: Apache-2.0
// A search's result for readers: the table, the JSON document ("dbsp.compare/1") and the verdict.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/plan.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// One candidate over the whole workload. Times are sums over cells times the turns of the CFG
/// passes (SearchResult::TurnsOf), in milliseconds; bytes_per_rank is the same sum.
/// docs/cost_model.md defines every number.
struct CandidateSummary {
  Candidate candidate;
  double rho_barrier = 1;  ///< sum of barrier loads / sum of mean loads
  double rho_barrier_mean = 1;  ///< mean over cells
  double rho_barrier_worst = 1;
  std::optional<double> rho_timeline;  ///< total / lower bound, absent when the bound is 0
  double compute_ms = 0;
  double exchange_ms = 0;
  double total_ms = 0;
  double total_ms_low = 0;
  double total_ms_high = 0;
  std::int64_t bytes_per_rank = 0;
  double moved_fraction = 0;  ///< mean over cells
  double plan_us = 0;  ///< mean time to make one partition
  double lower_bound_ms = 0;
  std::int64_t chosen = 0;  ///< cells
  std::vector<std::string> kernels;  ///< that it runs on some cell, in SearchResult's order
  std::string verdict;
};

/// The plan as a whole: every cell with its chosen strategy.
struct PlanSummary {
  double total_ms = 0;
  double total_ms_low = 0;
  double total_ms_high = 0;
  double lower_bound_ms = 0;
  std::int64_t cells = 0;
  std::int64_t close_cells = 0;  ///< where another strategy may flip with the chosen one
  std::size_t classes = 0;  ///< distinct masks
};

[[nodiscard]] std::vector<CandidateSummary> Summarise(const SearchResult& result);
[[nodiscard]] PlanSummary SummarisePlan(const SearchResult& result);

/// The document, indented. "cells" is there when `with_cells`.
[[nodiscard]] std::string CompareJson(const SearchResult& result,
                                      const std::string& workload_name,
                                      const std::string& workload_hash,
                                      CostSource costs,
                                      bool with_cells);

/// One line per candidate under a heading; with cells, one line per (step, layer) below.
[[nodiscard]] std::string CompareTable(const SearchResult& result,
                                       CostSource costs,
                                       bool with_cells);

/// "plan: ..." lines: best uniform strategy, plan per cell, cfg degree where there was a choice,
/// gain over plain Ulysses and plain ring where they were candidates, gap to the lower bound, cost
/// source.
[[nodiscard]] std::string VerdictLines(const SearchResult& result, CostSource costs);

}  // namespace dbsp::tuner
