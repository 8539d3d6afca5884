// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention forward on one rank, list-driven: for every present query block a list of
// present key blocks. O and LSE out. The same interface serves dense (full lists).
//
//   S = scale * Q K^T over the listed blocks;  LSE = ln sum exp S;  O = sum exp(S - LSE) V
//
// A query row with no key gives O = 0 and LSE = -infinity.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::kernels {

/// One head's call. Blocks are padded to full size in memory (block.q or block.k rows of head_dim
/// floats); q_tokens / k_tokens say how many rows of a block count.
struct AttentionArgs {
  int head_dim = 128;
  BlockSize block;
  float scale = 1.0F;
  int q_blocks = 0;  ///< present query blocks
  int k_blocks = 0;  ///< present key blocks
  const float* q = nullptr;  ///< [q_blocks][block.q][head_dim]
  const float* k = nullptr;  ///< [k_blocks][block.k][head_dim]
  const float* v = nullptr;  ///< [k_blocks][block.k][head_dim]
  std::span<const int> q_tokens;  ///< [q_blocks] valid rows, 1..block.q
  std::span<const int> k_tokens;  ///< [k_blocks] valid rows, 1..block.k
  std::span<const std::int64_t> list_begin;  ///< [q_blocks + 1] into list
  std::span<const int> list;  ///< positions among the present key blocks, ascending
  float* o = nullptr;  ///< [q_blocks][block.q][head_dim]; rows beyond q_tokens are left alone
  float* lse = nullptr;  ///< [q_blocks][block.q]
};

/// A variant of the kernel; the table is what profiler, tuner and tests take.
struct AttentionVariant {
  std::string name;  ///< "cpu.block_sparse", "cpu.reference"
  bool deterministic = true;
  void (*run)(const AttentionArgs&) = nullptr;
};
[[nodiscard]] std::span<const AttentionVariant> CpuAttentionVariants();
/// The default when a strategy names none. errors Error{kInvalidArgument} for an unknown name,
/// naming the nearest known one
[[nodiscard]] const AttentionVariant& FindCpuAttention(const std::string& name);

/// Adds a partial result into an accumulator, both (o, lse) over the same rows:
///   L = ln(e^l1 + e^l2); o = o1 e^(l1 - L) + o2 e^(l2 - L); both -inf: o = 0, L = -inf.
/// shape  o [rows][head_dim], lse [rows]
void MergePartial(std::int64_t rows,
                  int head_dim,
                  float* o,
                  float* lse,
                  const float* part_o,
                  const float* part_lse);

/// One block copy of a pack or unpack: `tokens` rows of head_dim floats between a strided home
/// layout ([token][heads][head_dim]) and contiguous block memory. Offsets in floats.
struct CopyItem {
  std::int64_t from = 0;
  std::int64_t to = 0;
  int tokens = 0;
};
/// to[...] = from[...] for every item; strides in floats between successive tokens.
void CopyBlocks(const float* from,
                std::int64_t from_stride,
                float* to,
                std::int64_t to_stride,
                int head_dim,
                std::span<const CopyItem> items);

}  // namespace dbsp::kernels
