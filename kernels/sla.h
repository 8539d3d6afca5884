// SPDX-License-Identifier: Apache-2.0
// SLA, sparse-linear attention, in double precision. A query block uses exact attention over its
// critical key blocks, linear attention over its marginal ones, and ignores the negligible ones:
//
//   O = O_s + O_l P,   O_s exact attention over the critical blocks (kernels/attention.h)
//   O_l = phi(Q) H / (phi(Q) Z),  H = sum phi(K)^T V,  Z = sum phi(K)  over the marginal blocks
//
// P is trained with the model; SLA needs it. A query block without marginal blocks has O_l = 0.
// source  Zhang et al. 2025, arXiv 2509.24006, equations (3) to (7); P is its Proj
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "kernels/feature_map.h"

namespace dbsp::kernels {

/// Shares of critical and negligible key blocks, equal for all query blocks: the paper's k_h and
/// k_l. Block counts are rounded to the nearest integer; the number of critical blocks is at
/// least 1.
struct SlaShares {
  double critical = 0.05;
  double negligible = 0.10;
};

struct SlaBlocks {
  BlockMask critical;
  BlockMask marginal;
};

/// Mean over the tokens of each block.
/// shape    x [tokens][head_dim]; returns [ceil(tokens / block)][head_dim]
/// requires block >= 1
std::vector<float> MeanPool(std::span<const float> x, int tokens, int head_dim, int block);

/// Classifies the key blocks of one head by their pooled scores. The softmax of a row does not
/// change the order, so scores are ranked directly. Of equal scores the earlier block ranks higher.
/// shape    q_mean [q_blocks][head_dim], k_mean [k_blocks][head_dim]
/// errors   Error{kInvalidArgument} when a share is outside 0..1, the sum exceeds 1, or sizes are
/// not
///          whole rows
SlaBlocks ClassifyBlocks(std::span<const float> q_mean,
                         std::span<const float> k_mean,
                         int head_dim,
                         const SlaShares& shares);

/// SLA of one head in double precision; the reference of the GPU kernels.
/// shape    q [q_tokens][head_dim]; k, v [k_tokens][head_dim]; projection P [channel of
/// O_l][channel of
///          O]; returns [q_tokens][head_dim]
struct SlaArgs {
  int head_dim = 128;
  int q_tokens = 0;
  int k_tokens = 0;
  int q_block = 128;
  int k_block = 64;
  float scale = 1.0F;  ///< scale of the exact scores
  FeatureMap features = FeatureMap::kSoftmax;
  std::span<const float> q, k, v, projection;
  const SlaBlocks* blocks = nullptr;
};
std::vector<double> SlaReference(const SlaArgs& args);

}  // namespace dbsp::kernels
