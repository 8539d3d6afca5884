// SPDX-License-Identifier: Apache-2.0
// Gather-sparse attention for compute capability 9.0: lists of single keys, whose rows a producer
// warpgroup packs into tiles for the block-sparse kernel's consumers. Design:
// docs/design/0010-gather-sparse.md.
//
// launch   Layout::kThreads threads, Layout::kSharedBytes of shared memory, any grid; *counter = 0
//          before it
// deterministic  a tile is computed by one thread block in the order of its list
#pragma once

#include "kernels/gpu/gather/key_producer.h"
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/consumer.h"
#include "kernels/gpu/sm90/fill_empty.h"
#include "kernels/gpu/sm90/kernel.h"

namespace dbsp::kernels::gpu::gather {

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
    // Every producer warp loads; when nothing is left to load, the last tiles still compute.
    sm90::FillEmptyEntries<kTile.head_dim, kTile.q_block, 1>(
        args.work, 4 * isa::BlockIndex() + warp, 4 * isa::GridSize());
  } else {
    isa::RegistersIncrease<kTile.consumer_registers>();
    sm90::Consumer<kTile>(args, shared, warp / 4 - 1).Run();
  }
}

}  // namespace dbsp::kernels::gpu::gather
