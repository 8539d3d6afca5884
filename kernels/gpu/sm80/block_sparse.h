// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention with mma.sync, for compute capability 8.0 and up. A warp owns 32 query
// rows, so that every K and V fragment read from shared memory is used twice. With 16 rows, shared
// memory bandwidth would limit the kernel (256 bytes per product of 2048 multiply-adds).
//
// Thread blocks are persistent and take tiles from a counter in the given order. K and V tiles of
// 64 keys pass through one ring of three slots: K0 V0 K1 V1 ... The half-step that uses an item
// waits for it, synchronises with the other warps (all of them have finished the previous item,
// whose slot is now free), and starts the copy of the item after the next one. source  Dao 2023
// (FlashAttention-2) for the loop and the split of rows over warps
#pragma once

#include "kernels/gpu/sm80/arguments.h"
#include "kernels/gpu/sm80/empty_tiles.h"
#include "kernels/gpu/sm80/softmax.h"

namespace dbsp::kernels::gpu::sm80 {

/// Number of main-loop steps of a list of `blocks` key blocks whose last one is `last_block`. The
/// block at the end of the sequence has fewer steps when its second half is empty.
DBSP_KERNEL_CODE constexpr int StepsOf(int blocks, int last_block, int k_block, int k_tokens) {
  const int steps = blocks * (k_block / kStepKeys);
  const int left = k_tokens - last_block * k_block;
  return left >= k_block ? steps : steps - (k_block - left) / kStepKeys;
}

/// The current tile of a thread block.
struct TileWork {
  int tile = -1;  ///< -1 when no tile is left
  std::uint32_t position = 0;  ///< of the first step: list index * steps per block
  int steps = 0;  ///< 0 for a tile without keys, which FillEmptyTiles writes
};

template <class T>
DBSP_KERNEL_CODE TileWork TileWorkOf(const Arguments& p, int ticket) {
  TileWork work;
  if (ticket >= p.ordered_tiles) return work;
  work.tile = isa::LoadGlobal(p.order + ticket);
  const int first = isa::LoadGlobal(p.begin + work.tile);
  const int last = isa::LoadGlobal(p.begin + work.tile + 1);
  if (first == last) return work;
  const int last_block = isa::LoadGlobal(p.list + last - 1);
  work.position = static_cast<std::uint32_t>(first) * T::kStepsPerBlock;
  work.steps = StepsOf(last - first, last_block, T::kKBlock, p.k_tokens);
  return work;
}

/// First key of the step at `position` (TileWork::position).
template <class T>
DBSP_KERNEL_CODE int FirstKey(const Arguments& p, std::uint32_t position) {
  return isa::LoadGlobal(p.list + position / T::kStepsPerBlock) * T::kKBlock +
         static_cast<int>(position % T::kStepsPerBlock) * kStepKeys;
}

/// Pointers are stored in shared memory, because they are used once per step and registers are
/// scarce.
DBSP_KERNEL_CODE void StorePointer(std::uint32_t at, const std::uint8_t* pointer) {
  const auto bits = reinterpret_cast<std::uintptr_t>(pointer);
  isa::StoreShared(at, static_cast<std::uint32_t>(bits));
  isa::StoreShared(at + 4, static_cast<std::uint32_t>(bits >> 32U));
}
DBSP_KERNEL_CODE const std::uint8_t* SharedPointer(std::uint32_t at) {
  const auto low = isa::LoadShared<std::uint32_t>(at);
  const auto high = isa::LoadShared<std::uint32_t>(at + 4);
  return reinterpret_cast<const std::uint8_t*>(static_cast<std::uintptr_t>(high) << 32U | low);
}

/// Starts the copy of `kRows` rows of a tensor into a shared tile by `kThreads` threads, eight per
/// 128-byte panel row. With kTail, rows from `valid` on become 0.
/// dst        address of the first row in panel 0 of the tile
/// tile_rows  rows of the whole tile
template <int kRows, int kThreads, int kPanels, bool kTail>
DBSP_KERNEL_CODE void CopyRows(std::uint32_t dst,
                               int tile_rows,
                               const std::uint8_t* src,
                               std::int64_t row_bytes,
                               int valid,
                               int thread) {
  constexpr int kPass = kThreads / kChunksPerPanel;
  const int chunk = thread % kChunksPerPanel;
  int row = thread / kChunksPerPanel;
  const std::uint8_t* from = src + row * row_bytes + chunk * kChunkBytes;
  DBSP_UNROLL
  for (int pass = 0; pass < kRows / kPass; ++pass) {
    const bool inside = !kTail || row < valid;
    const std::uint8_t* row_from =
        inside ? from : src;  // a valid address, of which 0 bytes are read
    DBSP_UNROLL
    for (int panel = 0; panel < kPanels; ++panel) {
      isa::CopyAsync16(dst + panel * tile_rows * isa::kPanelBytes + isa::SwizzledOffset(row, chunk),
                       row_from + panel * isa::kPanelBytes,
                       inside ? kChunkBytes : 0);
    }
    row += kPass;
    from += kPass * row_bytes;
  }
}

/// Starts the copy of one K or V tile of 64 keys into a slot of the ring. All threads call it.
template <class T>
DBSP_KERNEL_CODE void CopyKeys(
    std::uint32_t slot, const std::uint8_t* head, std::int64_t row_bytes, int key, int k_tokens) {
  const std::uint8_t* src = head + key * row_bytes;
  const int valid = k_tokens - key;
  const int thread = Opaque(isa::ThreadIndex());
  if (valid >= kStepKeys) {
    CopyRows<kStepKeys, T::kThreads, T::kPanels, false>(
        slot, kStepKeys, src, row_bytes, valid, thread);
  } else {
    CopyRows<kStepKeys, T::kThreads, T::kPanels, true>(
        slot, kStepKeys, src, row_bytes, valid, thread);
  }
}

/// Writes O / sum as bf16 and LSE of the warp's rows. O passes through the warp's own rows of the Q
/// tile, which no other warp reads, so that global memory is written in 16-byte pieces of whole
/// rows. The four lanes of a quad hold a row; lane % 4 == 0 writes its LSE.
template <class T>
DBSP_KERNEL_CODE void StoreResult(const Arguments& p,
                                  const TilePosition& at,
                                  std::uint32_t shared,
                                  SoftmaxState& state,
                                  float (&o)[kTiles16][T::kHeadDim / 8][4]) {
  const int thread = Opaque(isa::ThreadIndex());
  const int lane = thread % kWarp;
  const int warp_row = thread / kWarp * kWarpRows;
  const std::uint32_t warp_q = shared + warp_row * isa::kPanelBytes;
  DBSP_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    float sum = state.sum[r];
    sum += isa::ShuffleXor(sum, 1);
    sum += isa::ShuffleXor(sum, 2);
    const float inverse = 1.0F / sum;
    DBSP_UNROLL
    for (int n = 0; n < T::kHeadDim / 8; ++n) {
      o[r / 2][n][2 * (r % 2)] *= inverse;
      o[r / 2][n][2 * (r % 2) + 1] *= inverse;
    }
    const int row = at.row + warp_row + r / 2 * 16 + AccumulatorRow(lane, 2 * (r % 2));
    if (lane % 4 == 0 && row < p.q_tokens) {
      isa::StoreGlobal(LseOf(p, at, row), state.max[r] * p.scale + isa::LogE(sum));
    }
  }
  isa::SyncWarp();  // every lane has read its last Q fragment
  StoreTile(warp_q, T::kRows, lane, o);
  isa::SyncWarp();
  constexpr int kRowsAtOnce = kWarp / T::kChunks;
  for (int i = 0; i < kWarpRows / kRowsAtOnce; ++i) {
    const int row = i * kRowsAtOnce + lane / T::kChunks;
    const int chunk = lane % T::kChunks;
    if (at.row + warp_row + row >= p.q_tokens) continue;
    isa::StoreGlobal16(RowOf(p.o, at, at.row + warp_row + row) + chunk * kChunkBytes,
                       isa::LoadShared<isa::Vector16>(warp_q + TileOffset(T::kRows, row, chunk)));
  }
}

/// Address of the ring slot that follows `slot`.
template <class T>
DBSP_KERNEL_CODE std::uint32_t NextSlot(std::uint32_t slot, std::uint32_t shared) {
  const std::uint32_t last = shared + T::kRingOffset + (T::kSlots - 1) * T::kSlotBytes;
  return slot == last ? shared + T::kRingOffset : slot + T::kSlotBytes;
}

/// Computes the scores of the warp's rows with the K tile of a slot and replaces them by weights in
/// s. Updates sums and references, and rescales O where a reference moved. valid  number of keys of
/// the step inside the sequence, at least 1
template <class T>
DBSP_KERNEL_CODE void ScoreStep(const Arguments& p,
                                std::uint32_t shared,
                                std::uint32_t slot,
                                int valid,
                                SoftmaxState& state,
                                float (&s)[kTiles16][kStepKeys / 8][4],
                                float (&o)[kTiles16][T::kHeadDim / 8][4]) {
  const int thread = isa::ThreadIndex();
  const int lane = thread % kWarp;
  const std::uint32_t warp_q = shared + thread / kWarp * kWarpRows * isa::kPanelBytes;
  SetZero(s);
  MultiplyTransposed<T::kHeadDim / 16>(s,
                                       warp_q + LaneOffsetRowsFirst(lane),
                                       T::kRows,
                                       slot + LaneOffsetColumnsFirst(lane),
                                       kStepKeys);
  if (valid < kStepKeys) MaskTail(s, valid);
  MoveReference(state, s, o, p.scale_log2, p.slack);
  Weights(state, s, p.scale_log2);
}

/// The main loop of a tile. The copies of its first K and V items have been started.
template <class T>
DBSP_KERNEL_CODE void RunSteps(const Arguments& p,
                               std::uint32_t position,
                               int left,
                               std::uint32_t shared,
                               SoftmaxState& state,
                               float (&o)[kTiles16][T::kHeadDim / 8][4]) {
  std::uint32_t slot = shared + T::kRingOffset;
  // First key of the next step; in the last step, the first key of that step. Only the last step
  // may contain the end of the sequence.
  int next_key = FirstKey<T>(p, left > 1 ? ++position : position);
  for (; left > 0; --left) {
    const bool more = left > 1;
    const std::uint32_t v_slot = NextSlot<T>(slot, shared);
    const std::uint32_t next_slot = NextSlot<T>(v_slot, shared);
    isa::CopyAsyncWait<1>();
    isa::SyncThreads();
    if (more) {
      CopyKeys<T>(
          next_slot, SharedPointer(shared + T::kKOffset), p.k.token_bytes, next_key, p.k_tokens);
    }
    isa::CopyAsyncCommit();
    float s[kTiles16][kStepKeys / 8][4];
    ScoreStep<T>(p, shared, slot, more ? kStepKeys : p.k_tokens - next_key, state, s, o);
    std::uint32_t weights[kStepKeys / 16][kTiles16][4];
    ToFragments(weights, s);
    isa::CopyAsyncWait<1>();
    isa::SyncThreads();
    if (more) {
      CopyKeys<T>(slot, SharedPointer(shared + T::kVOffset), p.v.token_bytes, next_key, p.k_tokens);
    }
    isa::CopyAsyncCommit();
    if (left > 2) next_key = FirstKey<T>(p, ++position);
    const int lane = Opaque(isa::ThreadIndex()) % kWarp;
    Multiply(o, weights, v_slot + LaneOffsetRowsFirst(lane), kStepKeys);
    slot = next_slot;
  }
}

/// Takes the next ticket from the counter and stores it in shared memory for all threads. Used
/// where no tile hides the latency.
template <class T>
DBSP_KERNEL_CODE void TakeTicket(const Arguments& p, std::uint32_t shared) {
  isa::SyncThreads();  // all threads have read the previous ticket
  if (isa::ThreadIndex() == 0) {
    isa::StoreShared(shared + T::kTicketOffset, isa::AtomicAdd(p.counter, 1));
  }
  isa::SyncThreads();
}

/// Computes one tile with at least one key.
template <class T>
DBSP_KERNEL_CODE void RunTile(const Arguments& p, const TileWork& work, std::uint32_t shared) {
  const int thread = Opaque(isa::ThreadIndex());
  const int lane = thread % kWarp;
  const int warp_row = thread / kWarp * kWarpRows;
  const TilePosition at = PositionOf(p, work.tile, T::kRows);
  const std::uint8_t* k_head = HeadOf(p.k, at);
  const std::uint8_t* v_head = HeadOf(p.v, at);
  const std::uint32_t ring = shared + T::kRingOffset;
  const int key = FirstKey<T>(p, work.position);
  isa::SyncThreads();  // no thread reads the ring and the ticket of the previous tile any more
  CopyRows<kWarpRows, kWarp, T::kPanels, true>(shared + warp_row * isa::kPanelBytes,
                                               T::kRows,
                                               RowOf(p.q, at, at.row + warp_row),
                                               p.q.token_bytes,
                                               p.q_tokens - at.row - warp_row,
                                               lane);
  CopyKeys<T>(ring, k_head, p.k.token_bytes, key, p.k_tokens);
  isa::CopyAsyncCommit();
  CopyKeys<T>(ring + T::kSlotBytes, v_head, p.v.token_bytes, key, p.k_tokens);
  isa::CopyAsyncCommit();
  if (thread == 0) {
    isa::StoreShared(shared + T::kTileOffset, work.tile);
    StorePointer(shared + T::kKOffset, k_head);
    StorePointer(shared + T::kVOffset, v_head);
    // The copies started above hide the latency of the atomic.
    isa::StoreShared(shared + T::kTicketOffset, isa::AtomicAdd(p.counter, 1));
  }
  SoftmaxState state;
  Reset(state);
  float o[kTiles16][T::kHeadDim / 8][4];
  SetZero(o);
  RunSteps<T>(p, work.position, work.steps, shared, state, o);
  const int tile = isa::LoadShared<int>(
      shared + T::kTileOffset);  // from shared memory: no register holds it during the main loop
  StoreResult<T>(p, PositionOf(p, tile, T::kRows), shared, state, o);
}

/// The kernel.
/// launch         T::kThreads threads, T::kSharedBytes of dynamic shared memory, any grid; *counter
/// is 0 deterministic  one thread block computes a tile in the order of its list
template <class T>
DBSP_KERNEL_CODE void BlockSparse(const Arguments& p) {
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  TakeTicket<T>(p, shared);
  for (;;) {
    const TileWork work = TileWorkOf<T>(p, isa::LoadShared<int>(shared + T::kTicketOffset));
    if (work.tile < 0) break;
    if (work.steps > 0) {
      RunTile<T>(p, work, shared);
    } else {
      TakeTicket<T>(p, shared);
    }
  }
  FillEmptyTiles<T::kRows, T::kHeadDim>(p, T::kThreads);
}

}  // namespace dbsp::kernels::gpu::sm80
