// SPDX-License-Identifier: Apache-2.0
// Consumer of the block-sparse and of the gather kernel: the computation of one warpgroup for 64
// query rows.
//
// The product for the scores of step j and the product for the outputs of step j - 1 run
// concurrently, and the softmax of step j overlaps the latter. Warpgroups that share a list also
// alternate, so that the softmax of one overlaps the products of the other. source  Shah et al.,
// FlashAttention-3 (2024), sections 3.1, 3.2
#pragma once

#include <cstdint>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/epilogue.h"
#include "kernels/gpu/sm90/message.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/softmax.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::sm90 {

template <Tile kTile>
class Consumer {
 public:
  using L = Layout<kTile>;
  using Slot = Cursor<kTile.stages>;

  DBSP_KERNEL_CODE Consumer(const Arguments& args, std::uint32_t shared, int group)
      : args_(args),
        shared_(shared),
        group_(group),
        lane_(isa::ThreadIndex() % 32),
        scale_log2_(args.work.scale * kLog2E) {}

  DBSP_KERNEL_CODE void Run() {
    if constexpr (kTurns) {
      if (group_ == kTile.warpgroups - 1) PassTurn();
    }
    for (;;) {
      const std::uint32_t row = Receive();
      if (row == kNoMoreTiles) break;
      position_.row = static_cast<int>(row) + 64 * group_;
      RunTile();
    }
    if constexpr (kTurns) {
      // Consumes the last arrival, so that the barrier is complete at the end.
      if (group_ == 0) WaitTurn();
    }
    FinishStores();
  }

 private:
  static constexpr int kScores = kTile.keys / 2;  ///< accumulators of a thread
  static constexpr int kOutputs = kTile.head_dim / 2;
  /// Warpgroups alternate on the tensor cores. Not with own lists, whose lengths differ, and not
  /// with a single warpgroup.
  static constexpr bool kTurns = !L::kOwnLists && kTile.warpgroups > 1;

  struct Registers {
    float o[kOutputs];
    std::uint32_t p[kScores / 8][4];
    RowState rows;
  };

  DBSP_KERNEL_CODE void RunTile() {
    Registers r;
    DBSP_UNROLL
    for (float& o : r.o) o = 0.0F;
    isa::BarrierWait(shared_ + L::kQFull + 8 * q_.slot, q_.parity);
    if constexpr (L::kOwnLists) {
      RunOwnSteps(r);
    } else {
      RunAllSteps(r);
    }
    StoreTile<kTile>(args_, position_, group_, r.o, r.rows, QAddress());
    used_q_ = q_.slot;
    if constexpr (kTile.q_stages == 1) GiveBackQ();
    q_.Next();
  }

  /// Releases the Q buffer of the previous tile when the TMA store of O has read it. With two
  /// buffers this wait comes after the first step of the next tile. The thread that started the
  /// store waits.
  DBSP_KERNEL_CODE void GiveBackQ() {
    if (used_q_ < 0) return;
    if (isa::ThreadIndex() % 128 == 0) {
      isa::TmaStoreWaitRead<0>();
      isa::BarrierArrive(shared_ + L::kQEmpty + 8 * used_q_);
    }
    used_q_ = -1;
  }

  DBSP_KERNEL_CODE void RunAllSteps(Registers& r) {
    StepAlone(r, kv_, flags_);
    GiveBackQ();
    for (int step = 1; step < steps_; ++step) {
      const Slot before = kv_;
      kv_.Next();
      Wait(L::kKFull, kv_);
      StepWithOutputs(r, kv_, before);
    }
    Outputs(r, kv_);
    kv_.Next();
  }

  /// Steps of the union of two lists. This warpgroup also waits for and releases the steps of the
  /// other one, because an early arrival would count for the previous phase of the barrier.
  DBSP_KERNEL_CODE void RunOwnSteps(Registers& r) {
    Slot before = kv_;
    bool pending = false;  // outputs of `before`
    std::uint32_t note = 0;
    do {
      Wait(L::kKFull, kv_);
      note = ReadNote();
      const bool own = (note & (kOwner0 << group_)) != 0;
      // Computes pending outputs first where a mask is needed, or where V needs their buffer.
      if (pending && (own ? (note & (kRagged | kDummy)) != 0 : before.slot == kv_.slot)) {
        Outputs(r, before);
        pending = false;
      }
      if (!own) {
        Release(L::kKEmpty, kv_);
        Wait(L::kVFull, kv_);
        isa::SyncWarp();  // all lanes have passed the wait of this phase
        Release(L::kVEmpty, kv_);
      } else {
        if (pending) {
          StepWithOutputs(r, kv_, before);
        } else {
          StepAlone(r, kv_, note);
        }
        before = kv_;
        pending = true;
      }
      GiveBackQ();
      kv_.Next();
    } while ((note & kLast) == 0);
    if (pending) Outputs(r, before);
  }

  /// Scores, mask and softmax of a step, without a concurrent product.
  DBSP_KERNEL_CODE void StepAlone(Registers& r, const Slot& at, std::uint32_t flags) {
    float s[kScores];
    if constexpr (!L::kOwnLists) Wait(L::kKFull, at);
    isa::WgmmaFence();
    MultiplyScores(s, at);
    isa::WgmmaCommit();
    isa::WgmmaWait<0>();
    isa::Touch(s);
    Release(L::kKEmpty, at);
    Mask(s, flags);
    float rescale[2];
    TakeScores(s, scale_log2_, r.rows, rescale);
    PackWeights(s, r.p);
    ScaleRows(r.o, rescale);
  }

  /// Scores of step `at`, whose K has arrived, and outputs of step `before`.
  DBSP_KERNEL_CODE void StepWithOutputs(Registers& r, const Slot& at, const Slot& before) {
    float s[kScores];
    if constexpr (kTurns) WaitTurn();
    isa::WgmmaFence();
    MultiplyScores(s, at);
    isa::WgmmaCommit();
    Wait(L::kVFull, before);
    isa::WgmmaFence();
    MultiplyOutputs(r, before);
    isa::WgmmaCommit();
    if constexpr (kTurns) PassTurn();
    isa::WgmmaWait<1>();
    isa::Touch(s);
    Release(L::kKEmpty, at);
    float rescale[2];
    TakeScores(s, scale_log2_, r.rows, rescale);
    isa::WgmmaWait<0>();
    isa::Touch(r.o);
    Release(L::kVEmpty, before);
    PackWeights(s, r.p);
    ScaleRows(r.o, rescale);
  }

  DBSP_KERNEL_CODE void Outputs(Registers& r, const Slot& at) {
    Wait(L::kVFull, at);
    isa::WgmmaFence();
    MultiplyOutputs(r, at);
    isa::WgmmaCommit();
    isa::WgmmaWait<0>();
    isa::Touch(r.o);
    Release(L::kVEmpty, at);
  }

  DBSP_KERNEL_CODE void MultiplyScores(float (&s)[kScores], const Slot& at) {
    const std::uint32_t q = QAddress();
    const std::uint32_t k = shared_ + L::kK + at.slot * L::kStepBytes;
    DBSP_UNROLL
    for (int i = 0; i < kTile.head_dim / 16; ++i) {
      isa::WgmmaSS<kTile.keys>(s,
                               isa::DescriptorKMajor(q + i / 4 * L::kQPanelBytes + i % 4 * 32),
                               isa::DescriptorKMajor(k + i / 4 * L::kStepPanelBytes + i % 4 * 32),
                               i != 0);
    }
  }

  DBSP_KERNEL_CODE void MultiplyOutputs(Registers& r, const Slot& at) {
    const std::uint32_t v = shared_ + L::kV + at.slot * L::kStepBytes;
    DBSP_UNROLL
    for (int i = 0; i < kTile.keys / 16; ++i) {
      isa::WgmmaRS<kTile.head_dim>(
          r.o, r.p[i], isa::DescriptorMnMajor(v + i * 2048, L::kStepPanelBytes), true);
    }
  }

  /// flags  StepFlags; gather: number of keys of the step
  DBSP_KERNEL_CODE void Mask(float (&s)[kScores], std::uint32_t flags) {
    if constexpr (kTile.gather) {
      if (flags < kTile.keys) MaskColumns(s, lane_, static_cast<int>(flags), kTile.keys);
      return;
    }
    if ((flags & kRagged) != 0) {
      const int tail = (args_.work.k_tokens - 1) % kTile.k_block + 1;
      MaskColumns(s, lane_, tail, kTile.k_block);
    }
    if constexpr (L::kPairs) {
      if ((flags & kDummy) != 0) MaskColumns(s, lane_, kTile.k_block, kTile.keys);
    }
  }

  /// Receives the next message into the members and returns its first word.
  DBSP_KERNEL_CODE std::uint32_t Receive() {
    const Message message = ReceiveMessage<kTile>(shared_, message_);
    position_.head = static_cast<int>(message.head);
    position_.batch = static_cast<int>(message.batch);
    if constexpr (kTile.gather) {
      // The step at the end of the list comes first; only it may be short.
      const auto keys = static_cast<int>(message.work);
      steps_ = (keys + kTile.keys - 1) / kTile.keys;
      flags_ = static_cast<std::uint32_t>(keys - (steps_ - 1) * kTile.keys);
    } else {
      steps_ = static_cast<int>(message.work >> 2U);
      flags_ = message.work & 3U;
    }
    return message.row;
  }

  DBSP_KERNEL_CODE std::uint32_t ReadNote() {
    const auto note = isa::LoadShared<std::uint32_t>(shared_ + L::kNotes + 4 * kv_.slot);
    // The shuffle ensures that every lane has loaded the note before lane 0 releases the step.
    return static_cast<std::uint32_t>(isa::BroadcastLane0(static_cast<int>(note)));
  }

  /// Waits until K or V of a step has arrived. cp.async writes gathered rows through the generic
  /// proxy, and wgmma reads through the async proxy, so a proxy fence must lie between write and
  /// read. The writer cannot execute it, because its arrival is asynchronous. Therefore every
  /// thread that issues the product executes it after the wait that acquires the writes (PTX ISA,
  /// memory consistency model, proxy-preserved base causality order: "along the base causality
  /// path").
  DBSP_KERNEL_CODE void Wait(int barriers, const Slot& at) {
    isa::BarrierWait(shared_ + barriers + 8 * at.slot, at.parity);
    if constexpr (kTile.gather) isa::FenceProxyAsync();
  }
  DBSP_KERNEL_CODE void Release(int barriers, const Slot& at) {
    ArriveOnce(shared_ + barriers + 8 * at.slot);
  }
  /// One arrival per warp, because a warp's wait does not cover the products of the other three.
  DBSP_KERNEL_CODE void ArriveOnce(std::uint32_t barrier) {
    if (lane_ == 0) isa::BarrierArrive(barrier);
  }
  DBSP_KERNEL_CODE void WaitTurn() { isa::NamedSync(kTurnBarrier + group_, 256); }
  DBSP_KERNEL_CODE void PassTurn() {
    const int next = group_ + 1 == kTile.warpgroups ? 0 : group_ + 1;
    isa::NamedArrive(kTurnBarrier + next, 256);
  }
  /// Address of the warpgroup's rows of Q; O overwrites them at the end.
  DBSP_KERNEL_CODE std::uint32_t QAddress() const {
    return shared_ + L::kQ + q_.slot * L::kQBytes + group_ * 64 * 128;
  }

  const Arguments& args_;
  std::uint32_t shared_;
  int group_;
  int lane_;
  float scale_log2_;
  TilePosition position_;
  int steps_ = 0;
  std::uint32_t flags_ = 0;
  Cursor<kMessageSlots> message_;
  Cursor<kTile.q_stages> q_;
  int used_q_ = -1;  ///< slot whose rows the last store reads; -1 for none
  Slot kv_;
};

}  // namespace dbsp::kernels::gpu::sm90
