// SPDX-License-Identifier: Apache-2.0
// Messages from the producer to the consumers, one per tile.
#pragma once

#include <cstdint>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::sm90 {

/// A message; kMessageBytes in shared memory.
struct Message {
  std::uint32_t row = kNoMoreTiles;  ///< first query row of the tile, or kNoMoreTiles
  std::uint32_t head = 0;
  std::uint32_t batch = 0;
  /// steps << 2 | flags of the first step (0 where every step has a note). Gather: number of keys
  /// of the list
  std::uint32_t work = 0;
};

/// Sends a message. Called by one thread.
template <Tile kTile>
DBSP_KERNEL_CODE void SendMessage(std::uint32_t shared,
                                  Cursor<kMessageSlots>& at,
                                  const Message& message) {
  using L = Layout<kTile>;
  isa::BarrierWait(shared + L::kMessageEmpty + 8 * at.slot, at.parity ^ 1U);
  const std::uint32_t to = shared + L::kMessages + kMessageBytes * at.slot;
  isa::StoreShared(to, message.row);
  isa::StoreShared(to + 4, message.head);
  isa::StoreShared(to + 8, message.batch);
  isa::StoreShared(to + 12, message.work);
  isa::BarrierArrive(shared + L::kMessageFull + 8 * at.slot);
  at.Next();
}

/// Receives the next message in all lanes. Called by whole warps; Layout::kMessageReaders is the
/// number of receiving warps.
template <Tile kTile>
DBSP_KERNEL_CODE Message ReceiveMessage(std::uint32_t shared, Cursor<kMessageSlots>& at) {
  using L = Layout<kTile>;
  isa::BarrierWait(shared + L::kMessageFull + 8 * at.slot, at.parity);
  const std::uint32_t from = shared + L::kMessages + kMessageBytes * at.slot;
  Message message;
  message.row = isa::LoadShared<std::uint32_t>(from);
  message.head = isa::LoadShared<std::uint32_t>(from + 4);
  message.batch = isa::LoadShared<std::uint32_t>(from + 8);
  message.work = isa::LoadShared<std::uint32_t>(from + 12);
  isa::SyncWarp();  // all lanes have read
  if (isa::ThreadIndex() % 32 == 0) {
    isa::BarrierArrive(shared + L::kMessageEmpty + 8 * at.slot);
  }
  at.Next();
  return message;
}

}  // namespace dbsp::kernels::gpu::sm90
