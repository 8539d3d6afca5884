// SPDX-License-Identifier: Apache-2.0
// Masked attention in fp64 over the whole sequence, as the formula states it. It is slow and shares
// no code with the kernels and exchanges that it verifies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"
#include "replay/input_data.h"

namespace dbsp::replay {

/// Reference of one head. Holds the head's K and V.
/// threads  Row() is const and safe concurrently, each caller with its own scratch
class HeadReference {
 public:
  HeadReference(const AttentionShape& shape, const BlockMask& mask, const InputKey& key, int head);

  /// O of one query token: sum_j softmax_j(q k_j / sqrt(head_dim)) v_j over the keys of the active
  /// blocks; all zero without such keys.
  /// shape    out [head_dim]
  /// returns  ln sum_j exp(q k_j / sqrt(head_dim)); -infinity without keys
  double Row(std::int64_t token, std::span<double> out, std::vector<double>& scratch) const;

 private:
  AttentionShape shape_;
  const BlockMask* mask_;
  InputKey key_;
  int head_;
  std::vector<double> k_;  ///< [tokens][head_dim]
  std::vector<double> v_;  ///< [tokens][head_dim]
};

/// Multiply-adds of one token's reference row: 2 * head_dim per key token of an active block.
[[nodiscard]] std::int64_t ReferenceRowWork(const AttentionShape& shape,
                                            const BlockMask& mask,
                                            int q_block);

}  // namespace dbsp::replay
