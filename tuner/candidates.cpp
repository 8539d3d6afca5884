// SPDX-License-Identifier: Apache-2.0
#include "tuner/candidates.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/strategy_name.h"
#include "planner/placement/chunked.h"
#include "planner/timeline/chunks.h"

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

/// Index of the smallest value among candidates that are not excluded; -1 when all are.
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

namespace {

constexpr int kMaxChunks = 1024;

/// Parses a list such as "1,2,4". A repeated number counts once.
std::vector<int> ParseNumbers(std::string_view text, std::string_view flag, int max) {
  std::vector<int> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view number = text.substr(begin, end - begin);
    begin = end + 1;
    int value = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size() || value < 1 ||
        value > max) {
      Fail(ErrorCode::kInvalidArgument, "{} {}: expected numbers from 1 to {}", flag, text, max);
    }
    if (std::find(numbers.begin(), numbers.end(), value) == numbers.end()) numbers.push_back(value);
  }
  return numbers;
}

/// Exchanges that a family can use at a ring degree, its default first.
std::vector<Exchange> ExchangesOf(Family family, int ring, const CandidateOptions& options) {
  std::vector<Exchange> exchanges{planner::ExchangeOf(family, ring)};
  // dbsp has fixed rounds, and balanced chooses its columns for the ring exchange.
  const bool contiguous = family == Family::kRing || family == Family::kUsp;
  if (options.exchanges && exchanges.front() == Exchange::kRing && contiguous) {
    exchanges.push_back(Exchange::kNeeded);
    exchanges.push_back(Exchange::kAllGather);
  }
  return exchanges;
}

/// True when a candidate in `chunks` chunks is useful. With ring degree 1, usp equals ulysses and
/// dbsp is a greedy version of balanced, so neither gets chunks.
bool TakesChunks(Family family, int ranks, int ring, int heads, int chunks) {
  if (chunks == 1) return true;
  const bool family_fits =
      family == Family::kUlysses || family == Family::kBalanced || family == Family::kPlaced;
  return family_fits && ring == 1 && ranks > 1 &&
         chunks <= planner::MostChunks(family, ranks, heads);
}

}  // namespace

std::vector<int> ParseChunks(std::string_view text) {
  return ParseNumbers(text, "--chunks", kMaxChunks);
}

std::vector<int> ParseCfgDegrees(std::string_view text, int ranks, int passes) {
  if (text != "auto") {
    std::vector<int> degrees = ParseNumbers(text, "--cfg-degrees", kMaxChunks);
    for (const int degree : degrees) {
      if (passes % degree == 0 && ranks % degree == 0) continue;
      Fail(ErrorCode::kInvalidArgument,
           "--cfg-degrees {}: expected divisors of the model's {} pass{} that divide {} rank{}",
           text,
           passes,
           passes == 1 ? "" : "es",
           ranks,
           ranks == 1 ? "" : "s");
    }
    std::sort(degrees.begin(), degrees.end());
    return degrees;
  }
  std::vector<int> degrees;
  for (int degree = 1; degree <= passes; ++degree) {
    if (passes % degree == 0 && ranks % degree == 0) degrees.push_back(degree);
  }
  return degrees;
}

std::vector<Candidate> MakeCandidates(const std::vector<Family>& families,
                                      int ranks,
                                      int heads,
                                      const std::string& kernel,
                                      const CandidateOptions& options) {
  std::vector<Candidate> candidates;
  const int pass_ranks = PassRanks(ranks, options.cfg_degree);
  const auto add = [&](Strategy strategy) {
    for (const int chunks : options.chunks) {
      if (!TakesChunks(strategy.family, pass_ranks, strategy.ring_degree, heads, chunks)) continue;
      strategy.chunks = chunks;
      candidates.push_back({strategy, {}, options.layouts[strategy.layout]});
    }
  };
  const auto add_layouts = [&](Strategy strategy) {
    const bool heads_whole = strategy.family == Family::kUlysses;
    const bool contiguous = strategy.family == Family::kRing || strategy.family == Family::kUsp;
    if (!heads_whole && !(contiguous && strategy.exchange == Exchange::kRing)) return;
    for (std::size_t layout = 1; layout < options.layouts.size(); ++layout) {
      strategy.layout = static_cast<int>(layout);
      add(strategy);
    }
  };
  for (const Family family : families) {
    for (const auto& [ulysses, ring] : planner::DegreesOf(family, pass_ranks, heads)) {
      for (const Exchange exchange : ExchangesOf(family, ring, options)) {
        Strategy strategy;
        strategy.family = family;
        strategy.cfg_degree = options.cfg_degree;
        strategy.ulysses_degree = ulysses;
        strategy.ring_degree = ring;
        strategy.exchange = exchange;
        strategy.kernel = kernel;
        add(strategy);
        add_layouts(strategy);
      }
    }
  }
  if (candidates.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "--families: no family has degrees for {} ranks and {} heads",
         pass_ranks,
         heads);
  }
  return candidates;
}

std::string NameOfCandidate(const Candidate& candidate) {
  return NameOf(candidate.strategy, candidate.layout);
}

bool MayFlip(const Score& slower, const Score& faster) {
  const auto compute = static_cast<double>(slower.compute_ns - faster.compute_ns);
  const auto exchange = static_cast<double>(slower.exchange_ns - faster.exchange_ns);
  const auto gain = static_cast<double>(slower.total_ns - faster.total_ns);
  const double half = std::max(HalfWidth(slower), HalfWidth(faster));
  return gain <= half * (std::abs(compute) + std::abs(exchange)) ||
         gain < kMinGain * static_cast<double>(slower.total_ns);
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
         "every candidate is excluded; {}: {}",
         candidates.empty() ? "" : NameOfCandidate(candidates.front()),
         candidates.empty() ? "" : candidates.front().excluded);
  }
  return best;
}

std::vector<Candidate> WithDistribution(const std::vector<Candidate>& candidates,
                                        const TokenDistribution& distribution) {
  std::vector<Candidate> own = candidates;
  for (Candidate& candidate : own) {
    if (DistributionOf(candidate.strategy) != distribution && candidate.excluded.empty()) {
      candidate.excluded = "it has another token layout or cfg degree than the plan";
    }
  }
  return own;
}

Choice Choose(const std::vector<Candidate>& candidates,
              const std::vector<Score>& scores,
              int uniform) {
  Choice choice;
  choice.best =
      Smallest(candidates, [&](std::size_t i) { return static_cast<double>(scores[i].total_ns); });
  DBSP_CHECK(choice.best >= 0);
  const auto at = [&](int i) -> const Score& { return scores[i]; };
  choice.chosen = choice.best;
  if (choice.best != uniform && MayFlip(at(uniform), at(choice.best))) choice.chosen = uniform;
  const Score& chosen = at(choice.chosen);
  for (std::size_t i = 0; i < candidates.size() && !choice.close; ++i) {
    // A candidate with the same partition, or with the same compute and exchange times, is not a
    // different choice.
    if (!candidates[i].excluded.empty() || scores[i].same_as == chosen.same_as) continue;
    if (CostsTheSame(scores[i], chosen)) continue;
    choice.close = scores[i].total_ns >= chosen.total_ns ? MayFlip(scores[i], chosen)
                                                         : MayFlip(chosen, scores[i]);
  }
  return choice;
}

}  // namespace dbsp::tuner
