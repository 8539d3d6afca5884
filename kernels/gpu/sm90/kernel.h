// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention for compute capability 9.0: a persistent thread block of one producer and
// two or three consumer warpgroups. Design: docs/design/0005-hopper-block-sparse.md.
//
// launch         Layout::kThreads threads, Layout::kSharedBytes of dynamic shared memory, any grid;
//                *counter is 0
// deterministic  one thread block computes a tile in the order of its list
#pragma once

#include <cstdint>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/consumer.h"
#include "kernels/gpu/sm90/fill_empty.h"
#include "kernels/gpu/sm90/producer.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::sm90 {

/// Initialises the barriers. A full barrier completes with its arrivals and transaction bytes. An
/// empty barrier of K or V completes when every consumer warp has read the buffer; that of Q, whose
/// rows also hold O, when every warpgroup has released it.
template <Tile kTile>
DBSP_KERNEL_CODE void InitBarriers(std::uint32_t shared) {
  using L = Layout<kTile>;
  constexpr int kWarps = L::kConsumerThreads / 32;
  for (int i = 0; i < kTile.q_stages; ++i) {
    isa::BarrierInit(shared + L::kQFull + 8 * i, 1);
    isa::BarrierInit(shared + L::kQEmpty + 8 * i, kTile.warpgroups);
  }
  for (int i = 0; i < kTile.stages; ++i) {
    isa::BarrierInit(shared + L::kKFull + 8 * i, L::kStepArrivals);
    isa::BarrierInit(shared + L::kKEmpty + 8 * i, kWarps);
    isa::BarrierInit(shared + L::kVFull + 8 * i, L::kStepArrivals);
    isa::BarrierInit(shared + L::kVEmpty + 8 * i, kWarps);
  }
  for (int i = 0; i < kMessageSlots; ++i) {
    isa::BarrierInit(shared + L::kMessageFull + 8 * i, 1);
    isa::BarrierInit(shared + L::kMessageEmpty + 8 * i, L::kMessageReaders);
  }
  isa::BarrierInitFence();
}

/// The kernel, for one thread block.
template <Tile kTile>
DBSP_KERNEL_CODE void RunBlock(const Arguments& args) {
  using L = Layout<kTile>;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const int warp = isa::BroadcastLane0(isa::ThreadIndex() / 32);
  if (isa::ThreadIndex() == 0) InitBarriers<kTile>(shared);
  isa::SyncThreads();
  if (warp < 4) {
    isa::RegistersDecrease<kTile.producer_registers>();
    if (warp == 0) {
      if (isa::ElectOne()) Producer<kTile>(args, shared).Run();
    } else {
      // The other three warps of the producer warpgroup fill empty entries.
      FillEmptyEntries<kTile.head_dim, kTile.q_block, L::kBlocksPerEntry>(
          args.work, 3 * isa::BlockIndex() + warp - 1, 3 * isa::GridSize());
    }
  } else {
    isa::RegistersIncrease<kTile.consumer_registers>();
    Consumer<kTile>(args, shared, warp / 4 - 1).Run();
  }
}

}  // namespace dbsp::kernels::gpu::sm90
