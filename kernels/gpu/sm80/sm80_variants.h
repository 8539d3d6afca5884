// SPDX-License-Identifier: Apache-2.0
// The portable block-sparse kernels as rows of the variant table.
#pragma once

#include <span>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/sm80/sm80_layout.h"

namespace dbsp::kernels::gpu::sm80 {

std::span<const Variant> Variants();

/// Checks the call, then enqueues kernel `Kernel` of sm80_layout.h on sm_count SMs (0 = all) with
/// the largest number of resident thread blocks per SM. Instantiated in head_dim_*.cu.
template <class Kernel>
void Launch(const AttentionCall& call);
/// Variant::blocks_that_fit of kernel `Kernel`.
template <class Kernel>
int BlocksThatFit();

/// A row of the table without `launch`.
template <class Kernel>
constexpr Variant VariantOf() {
  return {.name = Kernel::kName,
          .list = ListKind::kBlocks,
          .min_arch = 80,
          .head_dim = Kernel::kHeadDim,
          .q_block = Kernel::kRows,
          .k_block = Kernel::kKBlock,
          .tile_m = Kernel::kRows,
          .tile_n = kStepKeys,
          .stages = 2,
          .threads = Kernel::kThreads,
          .shared_bytes = Kernel::kSharedBytes,
          .deterministic = true,
          .launch = nullptr,
          .blocks_per_sm = 1,
          .blocks_that_fit = nullptr};
}

}  // namespace dbsp::kernels::gpu::sm80
