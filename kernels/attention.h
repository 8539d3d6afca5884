// SPDX-License-Identifier: Apache-2.0
// Forward pass of sparse attention for one head on a CPU. Every query block has a list of key
// blocks or of single keys (blocks of one key); dense attention is the case of full lists. The
// results are O and LSE:
//
//   S = scale * Q K^T over the listed keys;  LSE = ln sum exp S;  O = sum exp(S - LSE) V
//
// A query row with no key gives O = 0 and LSE = -infinity.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::kernels {

/// One call for one head. Every block has block.q or block.k rows of head_dim floats in memory;
/// q_tokens and k_tokens give the number of valid rows.
struct AttentionArgs {
  int head_dim = 128;
  BlockSize block;
  float scale = 1.0F;
  int q_blocks = 0;
  int k_blocks = 0;
  const float* q = nullptr;  ///< [q_blocks][block.q][head_dim]
  const float* k = nullptr;  ///< [k_blocks][block.k][head_dim]
  const float* v = nullptr;  ///< [k_blocks][block.k][head_dim]
  std::span<const int> q_tokens;  ///< [q_blocks] valid rows, 1..block.q
  /// [k_blocks] valid rows, 1..block.k. cpu.gather does not read it: a single key is always valid.
  std::span<const int> k_tokens;
  std::span<const std::int64_t> list_begin;  ///< [q_blocks + 1] into list
  std::span<const int> list;  ///< key blocks 0..k_blocks - 1, ascending within a query block
  float* o = nullptr;  ///< [q_blocks][block.q][head_dim]; rows beyond q_tokens are not written
  float* lse = nullptr;  ///< [q_blocks][block.q]
};

/// Keys that the vectorised kernels compute together.
inline constexpr int kCpuStepKeys = 128;

/// What the entries of the lists are that a kernel takes. Blocks may be of one key.
enum class ListForm : std::uint8_t { kBlocks, kKeys, kBoth };

struct PluginKernel;  // kernels/plugin.h

/// One kernel of the table that profiler, replay and tests choose from.
struct AttentionVariant {
  std::string name;  ///< "cpu.block_sparse", "cpu.gather", "cpu.reference", or PluginKernel::id
  bool deterministic = true;
  std::function<void(const AttentionArgs&)> run = {};
  ListForm list = ListForm::kBlocks;
  /// The plugin's kernel, whose calls can be prepared once and launched often; else null.
  const PluginKernel* plugin = nullptr;
};
/// dbsp's own kernels, the default first, then those that were added.
[[nodiscard]] std::span<const AttentionVariant> CpuAttentionVariants();
/// Adds a row to the table. Call it before threads use the table; it may move the rows.
void AddCpuAttention(AttentionVariant variant);
/// The kernel called `name`; the default one for "". A plugin's kernel is also found by NAME and
/// NAME@VERSION. threads  any, while no row is added
/// errors  Error{kInvalidArgument} for an unknown name, with the nearest known one;
///         Error{kNotFound} for a plugin's kernel that is not loaded, with what to do
[[nodiscard]] const AttentionVariant& FindCpuAttention(const std::string& name);

/// Reference kernel: two passes per row in double precision, without blocking.
void AttentionReference(const AttentionArgs& args);

/// Vectorised kernel: fp32 with an online softmax.
/// errors Error{kInvalidArgument} unless head_dim is a multiple of 8 up to 256 and block sides are
///        1..512
void AttentionBlockSparse(const AttentionArgs& args);

/// The vectorised kernel for lists of single keys (block.k = 1, KeyLists of kernels/key_lists.h).
/// Listed rows of K and V are packed into chunks of 128 keys; runs of 16 and more successive keys
/// are used where they are.
/// errors Error{kInvalidArgument} unless head_dim is a multiple of 8 up to 256, block.q is 1..512
///        and block.k is 1
void AttentionGather(const AttentionArgs& args);

}  // namespace dbsp::kernels
