// SPDX-License-Identifier: Apache-2.0
// The cases that check SLA, their masks, and the comparison of outputs with the reference. All of
// it runs on the host.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/lists.h"
#include "kernels/sla.h"

namespace dbsp::gpu_check {

/// There are 8 compiled kernels: two values each of head_dim, q_block and k_block. kSlaCases
/// combine every kernel with each of the 3 feature maps.
inline constexpr int kSlaCases = 24;
inline constexpr int kSmallSlaCases = 8;  ///< every kernel once

struct SlaCase {
  kernels::gpu::AttentionShape shape;
  Layout layout = Layout::kHeadsFirst;
  int q_block = 128;
  int k_block = 128;
  kernels::FeatureMap features = kernels::FeatureMap::kSoftmax;
  kernels::SlaShares shares;
  std::uint64_t seed = 0;

  [[nodiscard]] int passes() const { return shape.batch * shape.heads; }
  [[nodiscard]] Blocks blocks() const { return {shape.q_tokens, shape.k_tokens, q_block, k_block}; }
  /// "sla.block64x128.d128.elu"
  [[nodiscard]] std::string Name() const;
};

/// Case number `index`. The first cases are corners: mask rows of several words, more query blocks
/// than one thread block sums, one token, whole blocks, whole blocks plus one token. The others are
/// random.
/// small    true = at most 400 tokens, for compute-sanitizer
[[nodiscard]] SlaCase SlaCaseOf(int index, std::uint64_t seed, bool small);

/// Inputs of one (batch, head), contiguous [tokens][head_dim].
struct SlaHead {
  std::vector<float> q;
  std::vector<float> k;
  std::vector<float> v;
};

/// The classes of the blocks of every (batch, head).
struct SlaMasks {
  std::vector<kernels::SlaBlocks> passes;  ///< [batch * heads]
  Lists critical;  ///< lists of the critical blocks for the exact part
  std::vector<std::uint64_t> marginal;  ///< bits of the marginal blocks for the linear part
};
/// Masks of ClassifyBlocks with two changes to the first pass: its first query block has no
/// marginal blocks, and its last query block has no critical blocks. A pass of one query block
/// therefore has rows without any block.
[[nodiscard]] SlaMasks SlaMasksOf(const SlaCase& sla_case, std::span<const SlaHead> heads);

/// Random projection P, bf16 [head_dim][head_dim]. Its scale makes the linear output times P about
/// as large as the exact output.
[[nodiscard]] std::vector<std::uint16_t> SlaProjectionOf(const SlaCase& sla_case);

/// Output of kernels::SlaReference for all passes, [batch][heads][q_tokens][head_dim].
/// threads  starts `threads` threads and joins them
[[nodiscard]] std::vector<double> SlaReferenceOf(const SlaCase& sla_case,
                                                 std::span<const SlaHead> heads,
                                                 std::span<const std::uint16_t> projection,
                                                 const SlaMasks& masks,
                                                 int threads);

struct SlaVerdict {
  double relative_error = 0.0;  ///< Frobenius, over all rows; infinite for NaN
  std::int64_t wrong_zero_rows = 0;  ///< rows that are 0 in the reference but not in the output
  [[nodiscard]] bool IsRight() const;
};
/// Compares outputs with the reference.
/// shape    both [rows][head_dim]
[[nodiscard]] SlaVerdict CompareSla(std::span<const std::uint16_t> o,
                                    std::span<const double> reference,
                                    int head_dim);

/// The kernels of `usable` that can compute the exact part: with block lists and the case's head
/// dimension and block sizes.
[[nodiscard]] std::vector<const kernels::gpu::Variant*> ExactVariants(
    const SlaCase& sla_case, std::span<const kernels::gpu::Variant* const> usable);
/// The kernel of ExactVariants() that computes the exact part. Where several kernels fit, `index`
/// chooses among them in turn.
/// errors  Error{kNotFound} when no kernel fits
[[nodiscard]] const kernels::gpu::Variant& ExactVariantOf(
    const SlaCase& sla_case, std::span<const kernels::gpu::Variant* const> usable, int index);

}  // namespace dbsp::gpu_check
