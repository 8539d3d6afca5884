// SPDX-License-Identifier: Apache-2.0
// Gather-sparse attention for compute capability 9.0: lists of single keys. A producer warpgroup
// packs their rows into tiles for the consumers of the block-sparse kernel. Design:
// docs/design/0010-gather-sparse.md.
//
// launch         Layout::kThreads threads, Layout::kSharedBytes of dynamic shared memory, any grid;
//                *counter is 0
// deterministic  one thread block computes a tile in the order of its list
#pragma once

#include "kernels/gpu/gather/key_producer.h"
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/consumer.h"
#include "kernels/gpu/sm90/fill_empty.h"
#include "kernels/gpu/sm90/kernel.h"

namespace dbsp::kernels::gpu::gather {

/// The kernel, for one thread block.
template <sm90::Tile kTile>
DBSP_KERNEL_CODE void RunBlock(const Arguments& args) {
  static_assert(kTile.gather, "RunBlock of sm90/kernel.h is for lists of blocks");
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const int warp = isa::BroadcastLane0(isa::ThreadIndex() / 32);
  if (isa::ThreadIndex() == 0) sm90::InitBarriers<kTile>(shared);
  isa::SyncThreads();
  if (warp < 4) {
    isa::RegistersDecrease<kTile.producer_registers>();
    KeyProducer<kTile>(args, shared).Run();
    // All producer warps load. After the last load they fill empty entries while the last tiles
    // compute.
    sm90::FillEmptyEntries<kTile.head_dim, kTile.q_block, 1>(
        args.work, 4 * isa::BlockIndex() + warp, 4 * isa::GridSize());
  } else {
    isa::RegistersIncrease<kTile.consumer_registers>();
    sm90::Consumer<kTile>(args, shared, warp / 4 - 1).Run();
  }
}

}  // namespace dbsp::kernels::gpu::gather
