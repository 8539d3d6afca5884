// SPDX-License-Identifier: Apache-2.0
#include "tuner/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace dbsp::tuner {
namespace {

double HalfWidth(const Score& score) {
  if (score.total_ns <= 0) return 0;
  return static_cast<double>(score.high_ns - score.low_ns) / 2 /
         static_cast<double>(score.total_ns);
}

bool CostsTheSame(const Score& a, const Score& b) {
  return a.compute_ns == b.compute_ns && a.exchange_ns == b.exchange_ns;
}

/// Index of the smallest value among candidates that take part, -1 without one.
template <typename Value>
int Smallest(const std::vector<Candidate>& candidates, Value&& value) {
  int best = -1;
  double smallest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i].excluded.empty()) continue;
    const double candidate = value(i);
    if (candidate < smallest) {
      smallest = candidate;
      best = static_cast<int>(i);
    }
  }
  return best;
}

}  // namespace

std::vector<Family> SearchableFamilies() {
  return {Family::kUlysses,
          Family::kRing,
          Family::kUsp,
          Family::kDbsp,
          Family::kBalanced,
          Family::kPlaced};
}

std::vector<Family> ParseFamilies(std::string_view text) {
  if (text == "auto") return SearchableFamilies();
  std::vector<Family> families;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view name = text.substr(begin, end - begin);
    begin = end + 1;
    const Family family = ParseFamily(name);
    if (std::find(families.begin(), families.end(), family) == families.end()) {
      families.push_back(family);
    }
  }
  return families;
}

std::vector<Candidate> MakeCandidates(const std::vector<Family>& families,
                                      int ranks,
                                      int heads,
                                      const std::string& kernel) {
  std::vector<Candidate> candidates;
  for (const Family family : families) {
    for (const auto& [ulysses, ring] : planner::DegreesOf(family, ranks, heads)) {
      Candidate candidate;
      candidate.strategy.family = family;
      candidate.strategy.ulysses_degree = ulysses;
      candidate.strategy.ring_degree = ring;
      candidate.strategy.exchange = planner::ExchangeOf(family, ring);
      candidate.strategy.kernel = kernel;
      candidates.push_back(std::move(candidate));
    }
  }
  if (candidates.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "--families: none of them has degrees for {} ranks and {} heads",
         ranks,
         heads);
  }
  return candidates;
}

std::string NameOfCandidate(const Candidate& candidate) {
  return fmt::format("{} {}x{}",
                     NameOf(candidate.strategy.family),
                     candidate.strategy.ulysses_degree,
                     candidate.strategy.ring_degree);
}

bool MayFlip(const Score& slower, const Score& faster) {
  const auto compute = static_cast<double>(slower.compute_ns - faster.compute_ns);
  const auto exchange = static_cast<double>(slower.exchange_ns - faster.exchange_ns);
  const auto gain = static_cast<double>(slower.total_ns - faster.total_ns);
  const double half = std::max(HalfWidth(slower), HalfWidth(faster));
  return gain <= half * (std::abs(compute) + std::abs(exchange)) ||
         gain < kLeastGain * static_cast<double>(slower.total_ns);
}

int BestUniform(const std::vector<Candidate>& candidates,
                const std::vector<std::vector<Score>>& scores,
                const std::vector<std::int64_t>& cells) {
  const int best = Smallest(candidates, [&](std::size_t i) {
    double sum = 0;
    for (std::size_t c = 0; c < scores.size(); ++c) {
      sum += static_cast<double>(scores[c][i].total_ns) * static_cast<double>(cells[c]);
    }
    return sum;
  });
  if (best < 0) {
    Fail(ErrorCode::kNotFound,
         "no candidate is left; {}: {}",
         candidates.empty() ? "" : NameOfCandidate(candidates.front()),
         candidates.empty() ? "" : candidates.front().excluded);
  }
  return best;
}

Choice Choose(const std::vector<Candidate>& candidates,
              const std::vector<Score>& scores,
              int uniform) {
  Choice choice;
  choice.best =
      Smallest(candidates, [&](std::size_t i) { return static_cast<double>(scores[i].total_ns); });
  DBSP_CHECK(choice.best >= 0);
  const auto at = [&](int i) -> const Score& { return scores[static_cast<std::size_t>(i)]; };
  choice.chosen = choice.best;
  if (choice.best != uniform && MayFlip(at(uniform), at(choice.best))) choice.chosen = uniform;
  const Score& chosen = at(choice.chosen);
  for (std::size_t i = 0; i < candidates.size() && !choice.close; ++i) {
    // The same partition under another family's name is no rival, and neither is one that costs
    // the same in every part: nothing is lost whichever is taken.
    if (!candidates[i].excluded.empty() || scores[i].same_as == chosen.same_as) continue;
    if (CostsTheSame(scores[i], chosen)) continue;
    choice.close = scores[i].total_ns >= chosen.total_ns ? MayFlip(scores[i], chosen)
                                                         : MayFlip(chosen, scores[i]);
  }
  return choice;
}

}  // namespace dbsp::tuner
