// SPDX-License-Identifier: Apache-2.0
// Producer of the gather kernel: a warpgroup that packs the K and V rows of listed keys into tiles
// for the consumers of the block-sparse kernel (sm90/consumer.h).
//
// Eight threads copy one 128-byte panel row by cp.async, 16 rows at a time. A group of 64 list
// entries with consecutive keys is loaded by TMA instead. Lists ascend within a group, so its first
// and last key show whether the keys are consecutive. LaunchArrangeRuns maximises the number of
// such groups; the result does not depend on it. The step at the end of a list comes first. Only
// this step may be short; it is padded with zeros and masked.
#pragma once

#include <cstdint>

#include "kernels/gpu/gather/piece.h"
#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/message.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::gather {

/// Arguments of the consumers, and the tensors whose rows cp.async reads without a tensor map.
struct Arguments : sm90::Arguments {
  TensorView k_rows;
  TensorView v_rows;
};

template <sm90::Tile kTile>
class KeyProducer {
 public:
  using L = sm90::Layout<kTile>;

  DBSP_KERNEL_CODE KeyProducer(const Arguments& args, std::uint32_t shared)
      : args_(args),
        work_(args.work),
        shared_(shared),
        leader_(isa::ThreadIndex() == 0),
        chunk_(isa::ThreadIndex() % kRowThreads),
        row_(isa::ThreadIndex() / kRowThreads) {}

  /// Called by the 128 threads of the producer warpgroup.
  DBSP_KERNEL_CODE void Run() {
    if (leader_) {
      isa::PrefetchTensorMap(&args_.q);
      isa::PrefetchTensorMap(&args_.k);
      isa::PrefetchTensorMap(&args_.v);
      isa::PrefetchTensorMap(&args_.o);
      next_ = isa::AtomicAdd(work_.counter, 1);
    }
    for (;;) {
      if (leader_) SendNext();
      isa::SyncWarp();
      const sm90::Message message = sm90::ReceiveMessage<kTile>(shared_, received_);
      if (message.row == sm90::kNoMoreTiles) break;
      LoadTile(message);
    }
    // The thread block must not end before its copies have landed.
    isa::CopyAsyncCommit();
    isa::CopyAsyncWait<0>();
  }

 private:
  static constexpr int kRowThreads = 8;  ///< 16-byte chunks of a panel row
  static constexpr int kRowsAtOnce = 128 / kRowThreads;
  static constexpr int kRowsEach = kTile.keys / kRowsAtOnce;
  static constexpr int kPieces = kTile.keys / kPieceKeys;
  static constexpr int kNone = -1;

  /// Keys of the rows that this thread copies in a step, and the first key of every piece.
  struct Slots {
    int key[kRowsEach];  ///< kNone for padding
    int piece[kPieces];  ///< kNone where rows are copied key by key
  };

  /// Sends the next tile with keys to the consumers and the other producer threads. Then takes the
  /// next entry from the counter; the loads of this tile hide the latency of the atomic.
  DBSP_KERNEL_CODE void SendNext() {
    for (; next_ < work_.ordered_tiles; next_ = isa::AtomicAdd(work_.counter, 1)) {
      const int tile = isa::LoadGlobal(work_.order + next_);
      const int keys =
          isa::LoadGlobal(work_.begin + tile + 1) - isa::LoadGlobal(work_.begin + tile);
      if (keys == 0) continue;
      const TilePosition position = sm90::PositionOf(work_, tile, kTile.q_block);
      sm90::SendMessage<kTile>(shared_,
                               sent_,
                               {static_cast<std::uint32_t>(position.row),
                                static_cast<std::uint32_t>(position.head),
                                static_cast<std::uint32_t>(position.batch),
                                static_cast<std::uint32_t>(keys)});
      next_ = isa::AtomicAdd(work_.counter, 1);
      return;
    }
    sm90::SendMessage<kTile>(shared_, sent_, {});
  }

  DBSP_KERNEL_CODE void LoadTile(const sm90::Message& message) {
    position_ = {static_cast<int>(message.batch),
                 static_cast<int>(message.head),
                 static_cast<int>(message.row)};
    const int tile = (position_.batch * work_.heads + position_.head) * work_.q_blocks +
                     position_.row / kTile.q_block;
    const std::int32_t* list = work_.list + isa::LoadGlobal(work_.begin + tile);
    const auto count = static_cast<int>(message.work);
    k_ = HeadRows(args_.k_rows);
    v_ = HeadRows(args_.v_rows);
    int first = (count - 1) / kTile.keys * kTile.keys;
    Slots slots = ReadSlots(list, first, count);
    for (bool q_loaded = false; first >= 0; first -= kTile.keys) {
      // The keys of the next step load while this step waits for its buffer.
      const Slots next = first > 0 ? ReadSlots(list, first - kTile.keys, count) : slots;
      LoadStep(slots);
      slots = next;
      // After the first step: Q needs the previous tile to end, the first step only a free buffer.
      if (leader_ && !q_loaded) LoadQ();
      q_loaded = true;
    }
  }

  DBSP_KERNEL_CODE Slots ReadSlots(const std::int32_t* list, int first, int count) {
    Slots slots;
    DBSP_UNROLL
    for (int i = 0; i < kRowsEach; ++i) {
      const int slot = first + kRowsAtOnce * i + row_;
      slots.key[i] = slot < count ? isa::LoadGlobal(list + slot) : kNone;
    }
    DBSP_UNROLL
    for (int p = 0; p < kPieces; ++p) {
      const int slot = first + kPieceKeys * p;
      slots.piece[p] = kNone;
      if (slot + kPieceKeys <= count) {
        const int low = isa::LoadGlobal(list + slot);
        const int high = isa::LoadGlobal(list + slot + kPieceKeys - 1);
        if (high - low == kPieceKeys - 1) slots.piece[p] = low;
      }
    }
    return slots;
  }

  DBSP_KERNEL_CODE void LoadStep(const Slots& slots) {
    const int step = kv_.slot * L::kStepBytes;
    isa::BarrierWait(shared_ + L::kKEmpty + 8 * kv_.slot, kv_.parity ^ 1U);
    Load(slots, &args_.k, k_, args_.k_rows.token_stride, shared_ + L::kK + step, Full(L::kKFull));
    isa::BarrierWait(shared_ + L::kVEmpty + 8 * kv_.slot, kv_.parity ^ 1U);
    Load(slots, &args_.v, v_, args_.v_rows.token_stride, shared_ + L::kV + step, Full(L::kVFull));
    kv_.Next();
  }

  /// Loads one operand of a step into the tile at `to`. The barrier `full` completes when the bytes
  /// of the TMA boxes and the copies of all threads have landed.
  DBSP_KERNEL_CODE void Load(const Slots& slots,
                             const isa::TensorMap* map,
                             const std::uint8_t* rows,
                             std::int64_t token_stride,
                             std::uint32_t to,
                             std::uint32_t full) {
    if (leader_) LoadPieces(slots, map, to, full);
    DBSP_UNROLL
    for (int i = 0; i < kRowsEach; ++i) {
      if (slots.piece[i * kRowsAtOnce / kPieceKeys] != kNone) continue;
      // Padding is written as zeros: its weights are 0, but 0 * NaN is NaN.
      const bool real = slots.key[i] != kNone;
      const std::uint8_t* from = real ? rows + slots.key[i] * (token_stride * 2) : rows;
      const std::uint32_t row = to + isa::SwizzledOffset(kRowsAtOnce * i + row_, chunk_);
      DBSP_UNROLL
      for (int p = 0; p < L::kPanels; ++p) {
        isa::CopyAsync16(row + p * L::kStepPanelBytes, from + p * 128, real ? 16 : 0);
      }
    }
    isa::CopyAsyncBarrierArrive(full);
  }

  /// Loads the pieces of a step by TMA, after an arrival that expects their bytes.
  DBSP_KERNEL_CODE void LoadPieces(const Slots& slots,
                                   const isa::TensorMap* map,
                                   std::uint32_t to,
                                   std::uint32_t full) {
    int bytes = 0;
    DBSP_UNROLL
    for (int p = 0; p < kPieces; ++p) {
      if (slots.piece[p] != kNone) bytes += L::kPanels * kPieceKeys * 128;
    }
    isa::BarrierArriveExpect(full, bytes);
    DBSP_UNROLL
    for (int p = 0; p < kPieces; ++p) {
      if (slots.piece[p] == kNone) continue;
      DBSP_UNROLL
      for (int panel = 0; panel < L::kPanels; ++panel) {
        isa::TmaLoad(to + panel * L::kStepPanelBytes + p * kPieceKeys * 128,
                     map,
                     64 * panel,
                     slots.piece[p],
                     position_.head,
                     position_.batch,
                     full,
                     isa::kEvictLast);
      }
    }
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

  /// Address of this thread's chunk of row 0 in the tile's head.
  DBSP_KERNEL_CODE const std::uint8_t* HeadRows(const TensorView& view) const {
    return static_cast<const std::uint8_t*>(view.data) +
           2 * (position_.batch * view.batch_stride + position_.head * view.head_stride) +
           16 * chunk_;
  }
  DBSP_KERNEL_CODE std::uint32_t Full(int barriers) const {
    return shared_ + barriers + 8 * kv_.slot;
  }

  const Arguments& args_;
  const sm90::Work& work_;
  std::uint32_t shared_;
  bool leader_;
  int chunk_;
  int row_;
  int next_ = 0;  ///< leader only: the entry of the order taken from the counter
  TilePosition position_;
  const std::uint8_t* k_ = nullptr;
  const std::uint8_t* v_ = nullptr;
  sm90::Cursor<sm90::kMessageSlots> sent_;
  sm90::Cursor<sm90::kMessageSlots> received_;
  sm90::Cursor<kTile.q_stages> q_;
  sm90::Cursor<kTile.stages> kv_;
};

}  // namespace dbsp::kernels::gpu::gather
