// SPDX-License-Identifier: Apache-2.0
// Lists of single keys from Q and K of one head, on the threads of the CPU: FG-Attn's two
// predictors (kernels/key_lists.h), and an exact oracle for small sizes.
#pragma once

#include <cstdint>
#include <string>

#include "core/block_mask.h"
#include "kernels/key_lists.h"

namespace dbsp::predict {

enum class PredictorKind : std::uint8_t {
  kThreshold,  ///< keys whose probability exceeds value / tokens for any query of the block
  kCdf,  ///< most probable keys of the mean query, up to `value` of the mass
  kSla,  ///< classes of blocks by pooled Q and K (kernels/sla.h)
  kOracle  ///< most probable keys of all queries of the block, up to `value` of the mass
};

struct Predictor {
  PredictorKind kind = PredictorKind::kThreshold;
  double value = 0.5;  ///< kSla: the share of critical blocks
  double negligible = 0;  ///< kSla: the share of negligible blocks
};

/// Value of --predictor: "threshold:0.5", "cdf:0.9", "oracle:0.9" or "sla:0.05,0.1".
/// errors  Error{kInvalidArgument} with the flag
[[nodiscard]] Predictor ParsePredictor(const std::string& text);

/// Most tokens for which the oracle runs: its time grows with their square.
inline constexpr std::int64_t kMaxOracleTokens = 1 << 15;

/// requires a predictor of lists, not kSla
/// One row per `q_block` queries, one column per key. Rows are made on ParallelFor(threads).
/// errors  Error{kInvalidArgument} for a threshold that is no probability at this many tokens, and
///         for an oracle beyond kMaxOracleTokens
[[nodiscard]] BlockMask PredictKeys(const kernels::ScoreInput& input,
                                    int q_block,
                                    const Predictor& predictor,
                                    int threads);

/// Softmax mass that lists keep.
struct Recall {
  double sum = 0;  ///< over `rows` query rows, each at most 1
  std::int64_t rows = 0;
  [[nodiscard]] double mean() const { return rows == 0 ? 0 : sum / static_cast<double>(rows); }
};

/// Share of the exact softmax's sum that the listed keys of `fine` have, per query row. Scores are
/// computed in double precision. At most `most_rows` rows at equal distances are taken.
[[nodiscard]] Recall RecallOf(const kernels::ScoreInput& input,
                              const BlockMask& fine,
                              int q_block,
                              std::int64_t most_rows,
                              int threads);

}  // namespace dbsp::predict
