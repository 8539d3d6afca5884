// SPDX-License-Identifier: Apache-2.0
// Strategies that a search compares, and the choice among them by their scores.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/strategy.h"
#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"

namespace dbsp::tuner {

/// A strategy without its partition, which depends on the masks.
struct Candidate {
  Strategy strategy;
  std::string excluded;  ///< reason why it is excluded; "" for one that is not
  std::string layout = "given";  ///< name of the strategy's token layout
};

/// Every family, in the order of candidates; `--families auto` searches them.
[[nodiscard]] std::vector<Family> SearchableFamilies();

/// Parses "auto" or a list such as "ulysses,ring". A repeated name counts once.
/// errors  Error{kInvalidArgument} for an unknown name, with the nearest known one
[[nodiscard]] std::vector<Family> ParseFamilies(std::string_view text);

/// Variants of every family and degrees.
struct CandidateOptions {
  /// Numbers of head chunks, for ulysses, balanced and placed without a ring and with enough heads.
  std::vector<int> chunks = {1};
  /// Adds the exchanges needed and allgather, which move K/V once before attention, to ring and
  /// usp.
  bool exchanges = false;
  /// Token layouts, "given" first. The others apply to ulysses, ring and usp, whose contiguous
  /// parts hold other tokens in another order.
  std::vector<std::string> layouts = {"given"};
  int cfg_degree = 1;  ///< concurrent guidance passes, each on ranks / cfg_degree ranks
};

/// Parses a list such as "1,2,4".
/// errors  Error{kInvalidArgument} with the flag --chunks
[[nodiscard]] std::vector<int> ParseChunks(std::string_view text);

/// Parses "auto" or a list such as "1,2". "auto" stands for every divisor of `passes` that also
/// divides `ranks`.
/// errors  Error{kInvalidArgument} with the flag --cfg-degrees, for text that is not a list and for
///         a degree that does not divide both
[[nodiscard]] std::vector<int> ParseCfgDegrees(std::string_view text, int ranks, int passes);

/// Every family with all its degrees on the ranks of a pass group, running `kernel`.
/// requires ranks >= 1, heads >= 1, options.cfg_degree divides ranks
/// errors   Error{kInvalidArgument} when no family has degrees for these ranks
[[nodiscard]] std::vector<Candidate> MakeCandidates(const std::vector<Family>& families,
                                                    int ranks,
                                                    int heads,
                                                    const std::string& kernel,
                                                    const CandidateOptions& options = {});

/// NameOf() of its strategy (core/strategy_name.h).
[[nodiscard]] std::string NameOfCandidate(const Candidate& candidate);

/// Predicted time of one candidate on one mask class, for one pass.
struct Score {
  std::int64_t total_ns = 0;
  std::int64_t low_ns = 0;
  std::int64_t high_ns = 0;
  std::int64_t compute_ns = 0;
  std::int64_t exchange_ns = 0;
  std::int64_t lower_bound_ns = 0;
  std::int64_t bytes_per_rank = 0;
  double moved_fraction = 0;
  double rho_barrier = 1;
  planner::BarrierLoad load;
  double plan_us = 0;  ///< measured time to make the partition
  int kernel = 0;  ///< index into SearchResult::kernels
  /// First candidate with the same degrees and partition, which may be the candidate itself.
  int same_as = -1;
};

/// Smallest relative gain of one candidate over another that counts as a difference. Predictions
/// are not more accurate than that.
inline constexpr double kMinGain = 0.01;
/// True when the slower candidate may be the faster one within the intervals of the costs. Both are
/// priced with the same costs and share their errors: an attention rate that is wrong by 10%
/// changes both compute times by 10%. So only the differences are uncertain, each by the relative
/// half width h of the totals. The order may flip when
///   gain <= h * (|compute difference| + |exchange difference|),
/// and when the gain is below kMinGain. To compare the intervals of the totals instead would call
/// almost every pair close.
[[nodiscard]] bool MayFlip(const Score& slower, const Score& faster);

/// Choice for one mask class.
struct Choice {
  int best = 0;  ///< candidate with the smallest total
  int chosen = 0;  ///< best, or the best uniform candidate where the order of the two may flip
  bool close = false;  ///< the order of the chosen and another candidate may flip
};

/// Candidate with the smallest sum of total_ns over classes, weighted by `cells`, among those that
/// are not excluded. Of equal sums the first candidate.
/// shape    scores[class][candidate], cells[class]
/// requires candidates that are not excluded have the same cfg degree
/// errors   Error{kNotFound} when every candidate is excluded, with the first reason
[[nodiscard]] int BestUniform(const std::vector<Candidate>& candidates,
                              const std::vector<std::vector<Score>>& scores,
                              const std::vector<std::int64_t>& cells);

/// Distribution of tokens over ranks. All cells of a plan share it, because no tokens are moved
/// between layers.
struct TokenDistribution {
  int cfg_degree = 1;
  int layout = 0;
  bool operator==(const TokenDistribution&) const = default;
};
[[nodiscard]] inline TokenDistribution DistributionOf(const Strategy& strategy) {
  return {strategy.cfg_degree, strategy.layout};
}
/// All candidates, with those of another token distribution excluded.
[[nodiscard]] std::vector<Candidate> WithDistribution(const std::vector<Candidate>& candidates,
                                                      const TokenDistribution& distribution);

/// Chooses the smallest total, or `uniform` where the order of the two may flip, so that a plan
/// does not change its strategy between cells for less than the error of the predictions. The
/// choice is never slower than `uniform`.
[[nodiscard]] Choice Choose(const std::vector<Candidate>& candidates,
                            const std::vector<Score>& scores,
                            int uniform);

}  // namespace dbsp::tuner
