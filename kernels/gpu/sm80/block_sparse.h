// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention with mma.sync, for compute capability 8.0 and up. A warp owns 32 query
// rows: every K and V fragment read from shared memory is used twice, without which shared memory
// and not the tensor cores would set the pace (256 bytes a product of 2048 multiply-adds).
//
// Thread blocks are persistent and take tiles from a counter in the order given. In a tile, K and V
// tiles of 64 keys come through one ring of three slots: K0 V0 K1 V1 ... The half-step that uses an
// item waits for it, meets the other warps (all of them have finished the item before, whose slot
// is free now) and asks for the item after the next. source  Dao 2023 (FlashAttention-2) for the
// loop and the split of rows over warps
#pragma once

#include "kernels/gpu/sm80/arguments.h"
#include "kernels/gpu/sm80/empty_tiles.h"
#include "kernels/gpu/sm80/softmax.h"

namespace dbsp::kernels::gpu::sm80 {

/// Main-loop steps of a list of `blocks` key blocks whose last one is `last_block`: the block that
/// holds the end of the sequence has fewer where its second half is empty.
DBSP_KERNEL_CODE constexpr int StepsOf(int blocks, int last_block, int k_block, int k_tokens) {
  const int steps = blocks * (k_block / kStepKeys);
  const int left = k_tokens - last_block * k_block;
  return left >= k_block ? steps : steps - (k_block - left) / kStepKeys;
}

/// What a thread block works on now.
struct Work {
  int tile = -1;  ///< -1 when the order is used up
  std::uint32_t position = 0;  ///< of the first step: list position times steps of a block
  int steps = 0;  ///< 0: a tile without keys, which FillEmptyTiles writes
};

template <class T>
DBSP_KERNEL_CODE Work WorkOf(const Arguments& p, int ticket) {
  Work work;
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

/// First key of the step at a position.
template <class T>
DBSP_KERNEL_CODE int FirstKey(const Arguments& p, std::uint32_t position) {
  return isa::LoadGlobal(p.list + position / T::kStepsPerBlock) * T::kKBlock +
         static_cast<int>(position % T::kStepsPerBlock) * kStepKeys;
}

/// Pointers in shared memory: what is needed once a step does not take registers all the time.
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

/// Copies `kRows` rows of a tensor into a shared tile with `kThreads` threads, eight of them a
/// 128-byte panel row; rows at and beyond `valid` become 0 where kTail is set.
/// dst  the tile's panel 0 at the first of the rows, tile_rows the rows of the whole tile
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
    const std::uint8_t* row_from = inside ? from : src;  // an address that exists, of which 0 bytes
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

/// One K or V tile, from its tensor into a slot of the ring.
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

/// O / sum as bf16 and LSE of the warp's rows. O goes through the warp's own rows of the Q tile,
/// which no other warp reads, so that memory is written in 16-byte pieces of whole rows.
template <class T>
DBSP_KERNEL_CODE void StoreResult(const Arguments& p,
                                  const TilePlace& at,
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
    const int row = at.q_row + warp_row + r / 2 * 16 + AccumulatorRow(lane, 2 * (r % 2));
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
    if (at.q_row + warp_row + row >= p.q_tokens) continue;
    isa::StoreGlobal16(RowOf(p.o, at, at.q_row + warp_row + row) + chunk * kChunkBytes,
                       isa::LoadShared<isa::Vector16>(warp_q + TileOffset(T::kRows, row, chunk)));
  }
}

/// The slot of the ring that follows another; addresses.
template <class T>
DBSP_KERNEL_CODE std::uint32_t NextSlot(std::uint32_t slot, std::uint32_t shared) {
  const std::uint32_t last = shared + T::kRingOffset + (T::kSlots - 1) * T::kSlotBytes;
  return slot == last ? shared + T::kRingOffset : slot + T::kSlotBytes;
}

/// Scores of the warp's rows with the K tile of a slot become weights in s; O, sums and references
/// follow.
/// valid  keys of the step inside the sequence, at least 1
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

/// The main loop of a tile whose first items have been asked for.
template <class T>
DBSP_KERNEL_CODE void RunSteps(const Arguments& p,
                               std::uint32_t position,
                               int left,
                               std::uint32_t shared,
                               SoftmaxState& state,
                               float (&o)[kTiles16][T::kHeadDim / 8][4]) {
  std::uint32_t slot = shared + T::kRingOffset;
  // First key of the step after this one; in the last step, which alone may hold the sequence's
  // end, of the step itself.
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

/// The next ticket, for every thread to read, without a tile to hide its latency.
template <class T>
DBSP_KERNEL_CODE void TakeTicket(const Arguments& p, std::uint32_t shared) {
  isa::SyncThreads();  // the ticket before has been read
  if (isa::ThreadIndex() == 0) {
    isa::StoreShared(shared + T::kTicketOffset, isa::AtomicAdd(p.counter, 1));
  }
  isa::SyncThreads();
}

/// One tile with at least one key.
template <class T>
DBSP_KERNEL_CODE void RunTile(const Arguments& p, const Work& work, std::uint32_t shared) {
  const int thread = Opaque(isa::ThreadIndex());
  const int lane = thread % kWarp;
  const int warp_row = thread / kWarp * kWarpRows;
  const TilePlace at = PlaceOf(p, work.tile, T::kRows);
  const std::uint8_t* k_head = HeadOf(p.k, at);
  const std::uint8_t* v_head = HeadOf(p.v, at);
  const std::uint32_t ring = shared + T::kRingOffset;
  const int key = FirstKey<T>(p, work.position);
  isa::SyncThreads();  // the ring and the ticket of the tile before are no longer read
  CopyRows<kWarpRows, kWarp, T::kPanels, true>(shared + warp_row * isa::kPanelBytes,
                                               T::kRows,
                                               RowOf(p.q, at, at.q_row + warp_row),
                                               p.q.token_bytes,
                                               p.q_tokens - at.q_row - warp_row,
                                               lane);
  CopyKeys<T>(ring, k_head, p.k.token_bytes, key, p.k_tokens);
  isa::CopyAsyncCommit();
  CopyKeys<T>(ring + T::kSlotBytes, v_head, p.v.token_bytes, key, p.k_tokens);
  isa::CopyAsyncCommit();
  if (thread == 0) {
    isa::StoreShared(shared + T::kTileOffset, work.tile);
    StorePointer(shared + T::kKOffset, k_head);
    StorePointer(shared + T::kVOffset, v_head);
    // Waited for no longer than the tiles just asked for.
    isa::StoreShared(shared + T::kTicketOffset, isa::AtomicAdd(p.counter, 1));
  }
  SoftmaxState state;
  Reset(state);
  float o[kTiles16][T::kHeadDim / 8][4];
  SetZero(o);
  RunSteps<T>(p, work.position, work.steps, shared, state, o);
  const int tile = isa::LoadShared<int>(shared + T::kTileOffset);  // no register for it till here
  StoreResult<T>(p, PlaceOf(p, tile, T::kRows), shared, state, o);
}

/// The kernel. launch: T::kThreads threads, T::kSharedBytes of shared memory, any number of thread
/// blocks; counter is 0 when it starts.
/// deterministic  a tile is computed by one thread block in the list's order
template <class T>
DBSP_KERNEL_CODE void BlockSparse(const Arguments& p) {
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  TakeTicket<T>(p, shared);
  for (;;) {
    const Work work = WorkOf<T>(p, isa::LoadShared<int>(shared + T::kTicketOffset));
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
