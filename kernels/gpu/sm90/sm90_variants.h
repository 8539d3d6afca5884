// SPDX-License-Identifier: Apache-2.0
// The block-sparse kernels for compute capability 9.0 as rows of the variant table, and the tensor
// maps of their launches.
#pragma once

#include <span>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/gather/piece.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/tensor_map.h"

namespace dbsp::kernels::gpu::sm90 {

std::span<const Variant> Variants();

/// Checks the call, then enqueues kernel `Kernel` of sm90_layout.h. Instantiated in head_dim_*.cu.
template <class Kernel>
void Launch(const AttentionCall& call);
/// Variant::blocks_that_fit of kernel `Kernel`.
template <class Kernel>
int BlocksThatFit();

/// A row of the table without `launch`.
template <class Kernel>
constexpr Variant VariantOf() {
  using L = Layout<Kernel::kTile>;
  return {.name = Kernel::kName,
          .list = Kernel::kTile.gather ? ListKind::kKeys : ListKind::kBlocks,
          .min_arch = 90,
          .head_dim = Kernel::kTile.head_dim,
          .q_block = Kernel::kTile.q_block,
          .k_block = Kernel::kTile.gather ? 1 : Kernel::kTile.k_block,
          .tile_m = L::kRows,
          .tile_n = Kernel::kTile.keys,
          .stages = Kernel::kTile.stages,
          .threads = L::kThreads,
          .shared_bytes = L::kSharedBytes,
          .deterministic = true,
          .launch = nullptr,
          .blocks_per_sm = Kernel::kTile.blocks_per_sm,
          .blocks_that_fit = nullptr};
}

struct MapSpecs {
  TensorMapSpec q;
  TensorMapSpec k;
  TensorMapSpec v;
  TensorMapSpec o;
};

/// Tensor maps of a call. A box of Q has the rows of a thread block, a box of K or V a key block
/// (64 consecutive keys for lists of single keys), and a box of O the 64 rows of a warpgroup.
/// requires  a call that passed CheckCall
inline MapSpecs MapSpecsOf(const Variant& variant, const AttentionCall& call) {
  const AttentionShape& shape = call.shape;
  const int rows = variant.list == ListKind::kKeys ? kPieceKeys : variant.k_block;
  return {SpecOf(call.q, shape, shape.q_tokens, variant.tile_m),
          SpecOf(call.k, shape, shape.k_tokens, rows),
          SpecOf(call.v, shape, shape.k_tokens, rows),
          SpecOf(call.o, shape, shape.q_tokens, 64)};
}

}  // namespace dbsp::kernels::gpu::sm90
