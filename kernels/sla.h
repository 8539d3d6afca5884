// SPDX-License-Identifier: Apache-2.0
// SLA, sparse-linear attention: which blocks of keys a query block looks at exactly, which through
// linear attention, and which not at all; and the result in double precision.
//
//   O = O_s + O_l P,   O_s exact attention over the critical blocks (kernels/attention.h)
//   O_l = phi(Q) H / (phi(Q) Z),  H = sum phi(K)^T V,  Z = sum phi(K)  over the marginal blocks
//
// P is trained with the model: without it SLA is no drop-in. A query block without marginal blocks
// has O_l = 0.
// source  Zhang et al. 2025, arXiv 2509.24006, equations (3) to (7); P is its Proj
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "kernels/feature_map.h"

namespace dbsp::kernels {

/// Shares of the key blocks of every query block, the same count in every row: the paper's k_h and
/// k_l. The counts are rounded to the nearest, the critical one to at least 1.
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

/// Classes of one head by softmax of the pooled scores; the softmax of a row keeps its order, so
/// that scores are ranked. Equal scores: the earlier block ranks higher.
/// shape    q_mean [q_blocks][head_dim], k_mean [k_blocks][head_dim]
/// errors   Error{kInvalidArgument} when shares are not in 0..1 with a sum of at most 1, or sizes
///          do not fit
SlaBlocks ClassifyBlocks(std::span<const float> q_mean,
                         std::span<const float> k_mean,
                         int head_dim,
                         const SlaShares& shares);

/// One head in double precision; what GPU kernels are compared with.
/// shape    q [q_tokens][head_dim], k, v [k_tokens][head_dim], projection [head_dim][head_dim] as
///          (of O_l, of O): O_l's row times it; returns [q_tokens][head_dim]
struct SlaArgs {
  int head_dim = 128;
  int q_tokens = 0;
  int k_tokens = 0;
  int q_block = 128;
  int k_block = 64;
  float scale = 1.0F;  ///< of the exact scores
  FeatureMap features = FeatureMap::kSoftmax;
  std::span<const float> q, k, v, projection;
  const SlaBlocks* blocks = nullptr;
};
std::vector<double> SlaReference(const SlaArgs& args);

}  // namespace dbsp::kernels
