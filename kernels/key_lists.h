// SPDX-License-Identifier: Apache-2.0
// Lists of single keys for gather-sparse attention (FG-Attn, arXiv 2509.16518): the keys that a
// query block of 64 or 128 queries attends to. Lists are made from bitmasks; two training-free
// predictors make the bitmasks. KeyListFeatures are the inputs of the cost model. The GPU builders
// (gpu/gather/list_builders.h) give the same lists and are tested against these functions.
//
// A fine mask is a BlockMask with one row per query block and one column per key. Masks are stored
// and exchanged as bits (223 MB per layer at 720p, against 7 GB of padded indices). Lists are made
// just before a launch.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::kernels {

/// Keys of row r, ascending: list[begin[r]] .. list[begin[r + 1] - 1].
struct KeyLists {
  std::vector<std::int32_t> begin{0};
  std::vector<std::int32_t> list;

  [[nodiscard]] int rows() const { return static_cast<int>(begin.size()) - 1; }
  [[nodiscard]] std::span<const std::int32_t> row(int r) const {
    const auto at = static_cast<std::size_t>(r);
    return {list.data() + begin[at], static_cast<std::size_t>(begin[at + 1] - begin[at])};
  }
  bool operator==(const KeyLists&) const = default;
};

/// Appends one row of keys per row of `bits`. Calls for one head after the other give the tile
/// numbers of gpu/attention.h.
/// errors  Error{kInvalidArgument} when the lists would hold more than 2^31 - 1 keys; `lists` is
///         then unchanged
void AppendKeyLists(const BlockMask& bits, KeyLists& lists);

/// Row i is the union of rows 2i and 2i + 1: rows of 64 queries become rows of 128.
[[nodiscard]] BlockMask PairRows(const BlockMask& bits);

/// Bit (i, j) is set when row i has a key in [j * k_block, (j + 1) * k_block).
/// requires k_block a power of two, 1..64, or a multiple of 64
[[nodiscard]] BlockMask KeyBlocksOf(const BlockMask& bits, int k_block);

/// Number of consecutive keys that the gather kernel fetches with one tensor copy.
constexpr int kRunKeys = 64;
/// Moves groups of kRunKeys consecutive keys to the front of their row; the other keys follow. Both
/// parts stay ascending. Attention does not depend on the order of keys. The kernel uses one tensor
/// copy for an aligned group of kRunKeys list entries with consecutive keys (gpu/gather); this
/// order aligns all such groups.
void ArrangeRuns(KeyLists& lists);

/// Queries and keys of one head, [tokens][head_dim] floats.
struct ScoreInput {
  std::span<const float> q;
  std::span<const float> k;
  int head_dim = 128;
  float scale = 1.0F;
};

/// Cached threshold: a query block keeps key j if exp(scale * q k_j - LSE(q)) > threshold for any
/// query of the block. FG-Attn's scripts use 0.5 / key tokens with blocks of 128. returns
/// ceil(queries / q_block) rows source  arXiv 2509.16518, predictor (a); scores in fp32, LSE in
/// fp64 errors  Error{kInvalidArgument} for sizes that are not whole rows, or a threshold outside
/// (0, 1)
[[nodiscard]] BlockMask KeysAboveThreshold(const ScoreInput& input, int q_block, float threshold);

/// Top-CDF of pooled scores: queries of a block are averaged, p = softmax(scale * mean q . k), and
/// the most probable keys are kept until their sum reaches `tau` (0.9 as SpargeAttn).
/// source  arXiv 2509.16518, predictor (b); SpargeAttn (arXiv 2502.18137), eq. for M(P, tau).
///         Differences: keys are not pooled, because slices are one key wide. Keys as probable as
///         the last kept one are kept too, so that the result does not depend on the order of a
///         sort. The caller does SpargeAttn's self-similarity test, which keeps whole rows. Keys
///         below 2^-29 of the largest probability are never kept (key_cdf.h)
/// errors  those of KeysAboveThreshold; tau must be in (0, 1]
[[nodiscard]] BlockMask KeysOfTopCdf(const ScoreInput& input, int q_block, float tau);

/// KeysOfTopCdf for one row of scaled scores (natural units). Sets bit j of `words`, counted from
/// bit 0 of words[0], for every kept key j. requires finite scores, words.size() >=
/// ceil(scores.size() / 64)
void TopCdfRow(std::span<const float> scores, float tau, std::span<std::uint64_t> words);

/// Properties of key lists that determine the time of a gather-sparse launch.
struct KeyListFeatures {
  /// Run lengths 1, 2-3, 4-7, ... 2^17 and more.
  static constexpr int kRunBins = 18;

  struct Side {
    std::int64_t tiles = 0;  ///< query blocks, all heads
    std::int64_t packed_keys = 0;  ///< sum of n_b, the number of keys of a tile's list
    std::int64_t active_blocks =
        0;  ///< (query block, key block) pairs with a key, for square blocks
    int max_keys = 0;  ///< largest n_b
    double variance = 0.0;  ///< of n_b over tiles
    /// Keys common to two successive query blocks of a head, divided by keys in either; 1 without
    /// keys.
    double overlap = 1.0;
  };
  Side at64;
  Side at128;
  std::int64_t k_tokens = 0;  ///< per head
  /// Number of runs of the 128-query lists, and number of keys in them, by run length.
  std::array<std::int64_t, kRunBins> runs{};
  std::array<std::int64_t, kRunBins> run_keys{};
  /// Keys of the 128-query lists in groups of kRunKeys consecutive keys (ArrangeRuns).
  std::int64_t keys_in_pieces = 0;
};

/// shape   fine masks of one (step, layer) with one row per 64 queries; heads may share an object
/// errors  Error{kInvalidArgument} when heads differ in shape
/// threads pure
[[nodiscard]] KeyListFeatures FeaturesOf(const LayerMasks& fine);

}  // namespace dbsp::kernels
