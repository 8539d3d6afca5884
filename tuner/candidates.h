// SPDX-License-Identifier: Apache-2.0
// The strategies a search tries, and which of them to take where. Pure: scores in, choices out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/strategy.h"
#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"

namespace dbsp::tuner {

/// One strategy without its partition, which depends on the masks.
struct Candidate {
  Strategy strategy;
  std::string excluded;  ///< why it takes no part; "" when it does
  std::string layout = "given";  ///< name of the strategy's token layout
};

/// Every family, in the order of candidates: what `--families auto` searches.
[[nodiscard]] std::vector<Family> SearchableFamilies();

/// Parses "auto" or "ulysses,ring". Repeated names count once.
/// errors  Error{kInvalidArgument} for an unknown name, naming the nearest
[[nodiscard]] std::vector<Family> ParseFamilies(std::string_view text);

/// What candidates differ in beside family and degrees.
struct CandidateOptions {
  /// Head chunks, for ulysses, balanced and placed where no ring turns and there are heads enough.
  std::vector<int> chunks = {1};
  /// K/V once, before attention, for ring and usp: needed and allgather beside ring.
  bool exchanges = false;
  /// Token layouts, "given" first: the others for whole heads and for rows in contiguous parts,
  /// which are what they are when tokens are ordered otherwise.
  std::vector<std::string> layouts = {"given"};
  int cfg_degree = 1;  ///< guidance passes at the same time, each on ranks / cfg_degree ranks
};

/// Parses "1,2,4". errors Error{kInvalidArgument} naming --chunks
[[nodiscard]] std::vector<int> ParseChunks(std::string_view text);

/// Parses "auto", every divisor of `passes` that divides `ranks`, or "1,2".
/// errors  Error{kInvalidArgument} naming --cfg-degrees, for text that is no list or a degree that
///         does not divide both
[[nodiscard]] std::vector<int> ParseCfgDegrees(std::string_view text, int ranks, int passes);

/// Every (family, U, R) on the ranks of a pass group, running `kernel`.
/// requires ranks >= 1, heads >= 1, options.cfg_degree divides ranks
/// errors   Error{kInvalidArgument} when the families have no degrees for these ranks
[[nodiscard]] std::vector<Candidate> MakeCandidates(const std::vector<Family>& families,
                                                    int ranks,
                                                    int heads,
                                                    const std::string& kernel,
                                                    const CandidateOptions& options = {});

/// "dbsp 4x2", "usp 4x2 needed", "placed 8x1 in 2 chunks", "ring 1x8 strided:8", "placed 4x1 cfg
/// 2", for words.
[[nodiscard]] std::string NameOfCandidate(const Candidate& candidate);

/// What one candidate costs on one mask class, one pass, nanoseconds.
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
  double plan_us = 0;  ///< time to make the partition
  int kernel = 0;  ///< index into SearchResult::kernels
  int same_as = -1;  ///< earlier candidate with the same degrees and partition; itself when none
};

/// Could the slower be the faster within the costs' intervals? Both were priced with the same
/// costs, whose errors they share: an attention rate that is 10% off moves both compute times by
/// 10%. So only the differences are uncertain, by the relative half width h of the totals each:
/// the order may flip when gain <= h * (|compute difference| + |exchange difference|). Gains under
/// kLeastGain are noise in any case. Overlap of the totals' intervals would call almost every pair
/// close.
inline constexpr double kLeastGain = 0.01;
[[nodiscard]] bool MayFlip(const Score& slower, const Score& faster);

/// The choice for one mask class.
struct Choice {
  int best = 0;  ///< smallest total
  int chosen = 0;  ///< best, or the workload-wide best where the two are close
  bool close = false;  ///< another strategy may flip with the chosen one
};

/// Candidate with the smallest sum of total_ns over classes, weighted by `cells`; excluded ones
/// take no part. Ties: the first. requires candidates that take part have one cfg degree
/// shape   scores[class][candidate], cells[class]
/// errors  Error{kNotFound} when every candidate is excluded, with the first reason
[[nodiscard]] int BestUniform(const std::vector<Candidate>& candidates,
                              const std::vector<std::vector<Score>>& scores,
                              const std::vector<std::int64_t>& cells);

/// What all cells of a plan have in common, because it says where tokens live.
struct TokenDistribution {
  int cfg_degree = 1;
  int layout = 0;
  bool operator==(const TokenDistribution&) const = default;
};
[[nodiscard]] inline TokenDistribution ResidenceOf(const Strategy& strategy) {
  return {strategy.cfg_degree, strategy.layout};
}
/// The candidates of one residence; those of others are excluded.
[[nodiscard]] std::vector<Candidate> OfResidence(const std::vector<Candidate>& candidates,
                                                 const TokenDistribution& residence);

/// Smallest total, except that `uniform` is kept where it is a tie or too close to call, so that
/// a plan does not change strategy from cell to cell for noise. Never worse than `uniform`.
[[nodiscard]] Choice Choose(const std::vector<Candidate>& candidates,
                            const std::vector<Score>& scores,
                            int uniform);

}  // namespace dbsp::tuner
