// SPDX-License-Identifier: Apache-2.0
// Producer of the block-sparse kernel: one thread that takes tiles from the counter, sends a
// message for each to the consumers, and loads Q, K and V by TMA. Lists are processed from their
// end, so that the short last key block of the sequence, if listed, is in the first step.
#pragma once

#include <cstdint>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/message.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::sm90 {

template <Tile kTile>
class Producer {
 public:
  using L = Layout<kTile>;

  DBSP_KERNEL_CODE Producer(const Arguments& args, std::uint32_t shared)
      : args_(args),
        work_(args.work),
        shared_(shared),
        last_block_((work_.k_tokens - 1) / kTile.k_block),
        ragged_(work_.k_tokens % kTile.k_block != 0) {}

  DBSP_KERNEL_CODE void Run() {
    isa::PrefetchTensorMap(&args_.q);
    isa::PrefetchTensorMap(&args_.k);
    isa::PrefetchTensorMap(&args_.v);
    isa::PrefetchTensorMap(&args_.o);
    FetchNext();
    while (next_.tile >= 0) {
      const Lists lists = next_;
      position_ = PositionOf(work_, lists.tile, kTile.q_block);
      if constexpr (L::kOwnLists) {
        LoadUnion(lists);
      } else {
        LoadList(lists);
      }
    }
    Send(kNoMoreTiles, 0);
  }

 private:
  /// List of a tile, [first, middle). Where warpgroups have their own lists, [middle, end) is the
  /// list of the second warpgroup.
  struct Lists {
    int tile = -1;
    int first = 0;
    int middle = 0;
    int end = 0;
  };

  /// Fetches the next tile of the order with a key into next_; next_.tile = -1 when there is none.
  /// Called between K and V of a tile's last step. V's buffer becomes free one step later than K's,
  /// which hides the three dependent loads. A later call would not; an earlier one would reserve a
  /// tile for a thread block that is still busy.
  DBSP_KERNEL_CODE void FetchNext() {
    for (;;) {
      const int index = isa::AtomicAdd(work_.counter, 1);
      if (index >= work_.ordered_tiles) {
        next_.tile = -1;
        return;
      }
      next_.tile = isa::LoadGlobal(work_.order + index);
      const std::int32_t* const begin = work_.begin + next_.tile;
      next_.first = isa::LoadGlobal(begin);
      next_.middle = isa::LoadGlobal(begin + 1);
      next_.end = next_.middle;
      if constexpr (L::kOwnLists) {
        if (next_.tile % work_.q_blocks + 1 < work_.q_blocks)
          next_.end = isa::LoadGlobal(begin + 2);
      }
      if (next_.end > next_.first) return;
    }
  }

  /// Sends the consumers a message for the current tile. steps  Message::work
  DBSP_KERNEL_CODE void Send(std::uint32_t row, std::uint32_t steps) {
    SendMessage<kTile>(shared_,
                       message_,
                       {row,
                        static_cast<std::uint32_t>(position_.head),
                        static_cast<std::uint32_t>(position_.batch),
                        steps});
  }

  DBSP_KERNEL_CODE void LoadQ() {
    const std::uint32_t full = shared_ + L::kQFull + 8 * q_.slot;
    isa::BarrierWait(shared_ + L::kQEmpty + 8 * q_.slot, q_.parity ^ 1U);
    isa::BarrierArriveExpect(full, L::kQBytes);
    DBSP_UNROLL
    for (int p = 0; p < L::kPanels; ++p) {
      isa::TmaLoad(shared_ + L::kQ + q_.slot * L::kQBytes + p * L::kQPanelBytes,
                   &args_.q,
                   64 * p,
                   position_.row,
                   position_.head,
                   position_.batch,
                   full,
                   isa::kEvictFirst);
    }
    q_.Next();
  }

  /// Loads a tile with one list for the whole thread block.
  DBSP_KERNEL_CODE void LoadList(const Lists& lists) {
    const int first = lists.first;
    const int count = lists.middle - first;
    const bool odd = L::kPairs && count % 2 != 0;
    int at = lists.middle - 1;
    const int top = isa::LoadGlobal(work_.list + at);
    const std::uint32_t flags = FlagsOf(top) | (odd ? kDummy : 0U);
    const int steps = L::kPairs ? (count + 1) / 2 : count;
    Send(static_cast<std::uint32_t>(position_.row),
         static_cast<std::uint32_t>(steps) << 2U | flags);
    LoadQ();
    // With an odd number of blocks, the first step has a single block and is masked.
    if (odd) {
      LoadStep(top, kNoBlock, count == 1 ? kLast : 0U);
      --at;
    }
    while (at >= first) {
      const int block = isa::LoadGlobal(work_.list + at--);
      const int second = L::kPairs ? isa::LoadGlobal(work_.list + at--) : kNoBlock;
      LoadStep(block, second, at < first ? kLast : 0U);
    }
  }

  /// Loads every block of the union of two lists once, with its owners in the note. Two blocks
  /// share a step only if they have the same owners, so that no warpgroup multiplies keys outside
  /// its list.
  DBSP_KERNEL_CODE void LoadUnion(const Lists& lists) {
    const int first = lists.first;
    const int middle = lists.middle;
    Send(static_cast<std::uint32_t>(position_.row), 0);
    LoadQ();
    int at0 = middle - 1;
    int at1 = lists.end - 1;
    int block0 = BlockAt(at0, first);
    int block1 = BlockAt(at1, middle);
    int held1 = kNoBlock, held2 = kNoBlock,
        held3 = kNoBlock;  // waiting block by owners: first, second, both
    while (block0 >= 0 || block1 >= 0) {
      const int block = block0 > block1 ? block0 : block1;
      const int owners = (block0 == block ? 1 : 0) + (block1 == block ? 2 : 0);
      if ((owners & 1) != 0) block0 = BlockAt(--at0, first);
      if ((owners & 2) != 0) block1 = BlockAt(--at1, middle);
      const bool more = block0 >= 0 || block1 >= 0;
      if constexpr (L::kPairs) {
        // Three variables instead of an array, because registers cannot be indexed.
        const int held = owners == 1 ? held1 : owners == 2 ? held2 : held3;
        const int left = held < 0 ? block : kNoBlock;
        if (owners == 1) held1 = left;
        if (owners == 2) held2 = left;
        if (owners == 3) held3 = left;
        if (held < 0) continue;
        LoadStep(held, block, NoteOf(held, owners, !more && NoneOf(held1, held2, held3)));
      } else {
        LoadStep(block, kNoBlock, NoteOf(block, owners, !more));
      }
    }
    if (held3 >= 0) LoadAlone(held3, 3, NoneOf(held1, held2, kNoBlock));
    if (held1 >= 0) LoadAlone(held1, 1, held2 < 0);
    if (held2 >= 0) LoadAlone(held2, 2, true);
  }

  DBSP_KERNEL_CODE void LoadAlone(int block, int owners, bool last) {
    LoadStep(block, kNoBlock, NoteOf(block, owners, last) | kDummy);
  }

  DBSP_KERNEL_CODE int BlockAt(int at, int first) {
    return at >= first ? isa::LoadGlobal(work_.list + at) : kNoBlock;
  }
  DBSP_KERNEL_CODE static bool NoneOf(int a, int b, int c) { return a < 0 && b < 0 && c < 0; }
  DBSP_KERNEL_CODE std::uint32_t FlagsOf(int block) const {
    return ragged_ && block == last_block_ ? kRagged : 0U;
  }
  DBSP_KERNEL_CODE std::uint32_t NoteOf(int block, int owners, bool last) const {
    return FlagsOf(block) | static_cast<std::uint32_t>(owners) * kOwner0 | (last ? kLast : 0U);
  }

  /// Loads K, then V, of one step.
  /// second  the step's second block; kNoBlock where a step has one block
  DBSP_KERNEL_CODE void LoadStep(int block, int second, std::uint32_t note) {
    const std::uint32_t k_full = shared_ + L::kKFull + 8 * kv_.slot;
    const std::uint32_t v_full = shared_ + L::kVFull + 8 * kv_.slot;
    const int step = kv_.slot * L::kStepBytes;
    isa::BarrierWait(shared_ + L::kKEmpty + 8 * kv_.slot, kv_.parity ^ 1U);
    if constexpr (L::kOwnLists) isa::StoreShared(shared_ + L::kNotes + 4 * kv_.slot, note);
    LoadBlocks(&args_.k, shared_ + L::kK + step, block, second, k_full);
    if ((note & kLast) != 0) FetchNext();
    isa::BarrierWait(shared_ + L::kVEmpty + 8 * kv_.slot, kv_.parity ^ 1U);
    LoadBlocks(&args_.v, shared_ + L::kV + step, block, second, v_full);
    kv_.Next();
  }

  DBSP_KERNEL_CODE void LoadBlocks(
      const isa::TensorMap* map, std::uint32_t to, int block, int second, std::uint32_t full) {
    isa::BarrierArriveExpect(full, L::kStepBytes);
    DBSP_UNROLL
    for (int p = 0; p < L::kPanels; ++p) {
      const std::uint32_t panel = to + p * L::kStepPanelBytes;
      LoadBox(map, panel, p, block * kTile.k_block, full);
      if constexpr (L::kPairs) {
        // A missing second block is loaded from beyond the end of the tensor, which gives zeros.
        // Uninitialised bytes could be NaN, and 0 * NaN is NaN.
        const int row = second < 0 ? (last_block_ + 1) * kTile.k_block : second * kTile.k_block;
        LoadBox(map, panel + kTile.k_block * 128, p, row, full);
      }
    }
  }
  DBSP_KERNEL_CODE void LoadBox(
      const isa::TensorMap* map, std::uint32_t to, int panel, int row, std::uint32_t full) {
    isa::TmaLoad(to, map, 64 * panel, row, position_.head, position_.batch, full, isa::kEvictLast);
  }

  static constexpr int kNoBlock = -1;

  const Arguments& args_;
  const Work& work_;
  std::uint32_t shared_;
  int last_block_;
  bool ragged_;
  Lists next_;
  TilePosition position_;
  Cursor<kMessageSlots> message_;
  Cursor<kTile.q_stages> q_;
  Cursor<kTile.stages> kv_;
};

}  // namespace dbsp::kernels::gpu::sm90
