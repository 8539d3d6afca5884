// SPDX-License-Identifier: Apache-2.0
// Masked attention written down as the formula says, in fp64, over the whole sequence and without
// any split. Slow on purpose: it shares no code with the kernels and exchanges that it judges.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"
#include "replay/fill.h"

namespace dbsp::replay {

/// Reference of one head. Holds the head's K and V.
/// threads  Row() is const and safe concurrently, each caller with its own scratch
class HeadReference {
 public:
  HeadReference(const AttentionShape& shape, const BlockMask& mask, const FillKey& key, int head);

  /// O of one query token: sum_j softmax_j(q k_j / sqrt(head_dim)) v_j over the keys of the active
  /// blocks; all zero when there is none.
  /// shape    out [head_dim]
  /// returns  ln sum_j exp(q k_j / sqrt(head_dim)); -infinity when there is no key
  double Row(std::int64_t token, std::span<double> out, std::vector<double>& scratch) const;

 private:
  AttentionShape shape_;
  const BlockMask* mask_;
  FillKey key_;
  int head_;
  std::vector<double> k_;  ///< [tokens][head_dim]
  std::vector<double> v_;  ///< [tokens][head_dim]
};

/// Multiply-adds of one token's reference row: 2 * head_dim per kept key token.
[[nodiscard]] std::int64_t ReferenceRowWork(const AttentionShape& shape,
                                            const BlockMask& mask,
                                            int q_block);

}  // namespace dbsp::replay
