// SPDX-License-Identifier: Apache-2.0
// The cases that SLA's linear part is checked on, and what is right: the host's half of the check.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/lists.h"
#include "kernels/sla.h"

namespace dbsp::gpu_check {

/// Compiled kernels differ in head_dim, q_block and k_block; kSlaCases meet each with every phi.
inline constexpr int kSlaCases = 24;
inline constexpr int kSmallSlaCases = 8;  ///< each kernel once

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

/// Case number `index`: the first ones are corners (mask rows of several words, more query blocks
/// than a thread block of the sums takes, one token, whole blocks and one more), the others drawn.
/// small  shapes of some hundred tokens, for compute-sanitizer
[[nodiscard]] SlaCase SlaCaseOf(int index, std::uint64_t seed, bool small);

/// One (batch, head), contiguous [tokens][head_dim].
struct SlaHead {
  std::vector<float> q;
  std::vector<float> k;
  std::vector<float> v;
};

/// Classes of every pass, and the same as the two launches take them.
struct SlaMasks {
  std::vector<kernels::SlaBlocks> passes;
  Lists critical;
  std::vector<std::uint64_t> marginal;
};
/// What ClassifyBlocks gives; then the first pass's first query block loses its marginal blocks and
/// its last one the critical ones, so that a head of one query block has rows with neither.
[[nodiscard]] SlaMasks SlaMasksOf(const SlaCase& one, std::span<const SlaHead> heads);

/// bf16 [head_dim][head_dim], of a size that O_l P and O_s are comparable.
[[nodiscard]] std::vector<std::uint16_t> SlaProjectionOf(const SlaCase& one);

/// The kernels' reference over all passes, [batch][heads][q_tokens][head_dim].
/// threads  works on `threads` threads of its own
[[nodiscard]] std::vector<double> SlaReferenceOf(const SlaCase& one,
                                                 std::span<const SlaHead> heads,
                                                 std::span<const std::uint16_t> projection,
                                                 const SlaMasks& masks,
                                                 int threads);

struct SlaVerdict {
  double relative_error = 0.0;  ///< Frobenius, over all rows; infinite for NaN
  std::int64_t wrong_zero_rows = 0;  ///< rows that are exactly 0 in the reference only
  [[nodiscard]] bool good() const;
};
/// shape  both [rows][head_dim]. requires equal sizes
[[nodiscard]] SlaVerdict CompareSla(std::span<const std::uint16_t> o,
                                    std::span<const double> reference,
                                    int head_dim);

/// Which of `usable` makes the exact part: block lists of the case's blocks. Where a device has
/// several, cases take turns. errors  Error{kNotFound} when none fits
[[nodiscard]] const kernels::gpu::Variant& ExactVariantOf(
    const SlaCase& one, std::span<const kernels::gpu::Variant* const> usable, int index);

}  // namespace dbsp::gpu_check
