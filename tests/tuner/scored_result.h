// SPDX-License-Identifier: Apache-2.0
// A small search result made by hand, so that its output can be checked to the digit.
#pragma once

#include "tuner/search.h"

namespace dbsp::tuner {

/// total = compute + exchange, interval +- `half`.
inline Score MakeScore(std::int64_t compute, std::int64_t exchange, double half, int same_as) {
  Score score;
  score.compute_ns = compute;
  score.exchange_ns = exchange;
  score.total_ns = compute + exchange;
  const double total = static_cast<double>(score.total_ns);
  score.low_ns = static_cast<std::int64_t>(total * (1 - half));
  score.high_ns = static_cast<std::int64_t>(total * (1 + half));
  score.lower_bound_ns = score.total_ns / 2;
  score.bytes_per_rank = 1000 + exchange / 1000;
  score.moved_fraction = 0.5;
  score.rho_barrier = 1.25;
  score.load = {500, 400};
  score.plan_us = 12.5;
  score.same_as = same_as;
  return score;
}

inline Candidate MakeCandidate(Family family, int ulysses, int ring) {
  Candidate candidate;
  candidate.strategy.family = family;
  candidate.strategy.ulysses_degree = ulysses;
  candidate.strategy.ring_degree = ring;
  candidate.strategy.exchange = ring == 1 ? Exchange::kAllToAll : Exchange::kRing;
  candidate.strategy.kernel = "cpu.block_sparse";
  return candidate;
}

/// Two steps of two layers, two distinct masks, two passes. Ulysses is best everywhere but in the
/// second class, where dbsp is 25% faster; usp 4x1 is Ulysses again; ring is excluded.
inline SearchResult MakeResult() {
  SearchResult result;
  result.ranks = 4;
  result.passes = 2;
  result.candidates = {MakeCandidate(Family::kUlysses, 4, 1),
                       MakeCandidate(Family::kRing, 1, 4),
                       MakeCandidate(Family::kUsp, 4, 1),
                       MakeCandidate(Family::kDbsp, 4, 1)};
  result.candidates[1].excluded = "no hop between 4 ranks was measured";
  CellClass first{0, 0, 3, {}, {}};
  first.scores = {MakeScore(3'000'000, 1'000'000, 0.1, 0),
                  {},
                  MakeScore(3'000'000, 1'000'000, 0.1, 0),
                  MakeScore(3'600'000, 1'400'000, 0.1, 3)};
  CellClass second{1, 1, 1, {}, {}};
  second.scores = {MakeScore(7'000'000, 1'000'000, 0.1, 0),
                   {},
                   MakeScore(7'000'000, 1'000'000, 0.1, 0),
                   MakeScore(5'000'000, 1'000'000, 0.1, 3)};
  result.classes = {first, second};
  result.cells = {{0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 1}};
  result.uniform = 0;
  for (CellClass& cls : result.classes) cls.choice = Choose(result.candidates, cls.scores, 0);
  return result;
}

}  // namespace dbsp::tuner
