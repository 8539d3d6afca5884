// SPDX-License-Identifier: Apache-2.0
// The kernels of memory.h.
// launch  kMemoryThreads threads, no shared memory; grid: MergeBlocks, CopyArguments::blocks,
//         PermuteBlocks
#pragma once

#include <cmath>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/memory_arguments.h"
#include "kernels/gpu/memory_index.h"

namespace dbsp::kernels::gpu {

/// Offset in elements of pass = batch * heads + head.
DBSP_KERNEL_CODE std::int64_t PassOffset(const TensorView& view, int pass, int heads) {
  return pass / heads * view.batch_stride + pass % heads * view.head_stride;
}

/// e^(l - max); 0 where l is -infinity, also when max is -infinity.
DBSP_KERNEL_CODE float WeightOf(float l, float max) {
  constexpr float kLog2E = 1.44269504088896341F;
  return l == -INFINITY ? 0.0F : isa::Exp2((l - max) * kLog2E);
}

/// The thread's eight channels of one row: four in each half.
struct Channels {
  float x[8] = {};
};

/// to += w * row. Does nothing for w = 0, because the row then may hold any value, including NaN.
DBSP_KERNEL_CODE void AddPart(
    Channels& to, const std::uint16_t* row, int head_dim, int share, float w) {
  DBSP_UNROLL
  for (int half = 0; half < 2; ++half) {
    const auto bits = isa::LoadGlobal(
        reinterpret_cast<const std::uint64_t*>(row + QuadChannel(head_dim, share, half)));
    const auto low = static_cast<std::uint32_t>(bits);
    const auto high = static_cast<std::uint32_t>(bits >> 32U);
    const float value[4] = {
        isa::Bf16Low(low), isa::Bf16High(low), isa::Bf16Low(high), isa::Bf16High(high)};
    DBSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (w > 0.0F) to.x[4 * half + i] = isa::FusedMultiplyAdd(w, value[i], to.x[4 * half + i]);
    }
  }
}

/// 16 bytes of the accumulator. They are read with ordinary loads, because the kernel also writes
/// the accumulator and the read-only path does not allow that.
struct alignas(16) Float4 {
  float x[4];
};
DBSP_KERNEL_CODE void AddSum(Channels& to, const float* row, int head_dim, int share, float w) {
  DBSP_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Float4 value = *reinterpret_cast<const Float4*>(row + QuadChannel(head_dim, share, half));
    DBSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (w > 0.0F) to.x[4 * half + i] = isa::FusedMultiplyAdd(w, value.x[i], to.x[4 * half + i]);
    }
  }
}

DBSP_KERNEL_CODE void StoreSum(float* row, const Channels& from, int head_dim, int share) {
  DBSP_UNROLL
  for (int half = 0; half < 2; ++half) {
    Float4 value;
    DBSP_UNROLL
    for (int i = 0; i < 4; ++i) value.x[i] = from.x[4 * half + i];
    *reinterpret_cast<Float4*>(row + QuadChannel(head_dim, share, half)) = value;
  }
}
DBSP_KERNEL_CODE void StoreRounded(std::uint16_t* row,
                                   const Channels& from,
                                   int head_dim,
                                   int share) {
  DBSP_UNROLL
  for (int half = 0; half < 2; ++half) {
    const std::uint64_t low = isa::PackBf16(from.x[4 * half], from.x[4 * half + 1]);
    const std::uint64_t high = isa::PackBf16(from.x[4 * half + 2], from.x[4 * half + 3]);
    isa::StoreGlobal(reinterpret_cast<std::uint64_t*>(row + QuadChannel(head_dim, share, half)),
                     low | high << 32U);
  }
}

/// Softmax statistics of a thread's rows.
struct MergeRows {
  float max[kRowsInFlight];
  float scale[kRowsInFlight];  ///< 1 / sum of weights
  float lse[kRowsInFlight];  ///< of the merged row
};

template <bool kReadSum>
DBSP_KERNEL_CODE MergeRows
WeighRows(const MergeCall& c, std::int64_t first_row, int rows, int pass_rows) {
  MergeRows result;
  DBSP_UNROLL
  for (int r = 0; r < kRowsInFlight; ++r) {
    const std::int64_t row = first_row + (r * pass_rows < rows ? r * pass_rows : 0);
    float max = kReadSum ? c.sum_lse[row] : -INFINITY;
    const float own = max;
    for (int i = 0; i < c.parts; ++i) max = isa::Max(max, isa::LoadGlobal(c.part[i].lse + row));
    float sum = kReadSum ? WeightOf(own, max) : 0.0F;
    for (int i = 0; i < c.parts; ++i) sum += WeightOf(isa::LoadGlobal(c.part[i].lse + row), max);
    result.max[r] = max;
    result.scale[r] = sum > 0.0F ? 1.0F / sum : 0.0F;
    result.lse[r] = sum > 0.0F ? max + isa::LogE(sum) : -INFINITY;
  }
  return result;
}

/// requires  call passes CheckMerge; kReadSum = call.read_sum, kWriteSum = (call.o.data == null)
template <int kHeadDim, bool kReadSum, bool kWriteSum>
DBSP_KERNEL_CODE void MergeKernel(const MergeArguments& args) {
  const MergeCall& c = args.call;
  constexpr int kPass = RowsPerPass(kHeadDim);
  const int pass = isa::BlockIndex() / args.blocks_per_pass;
  const ThreadShare at =
      ShareOfThread(isa::BlockIndex() % args.blocks_per_pass, isa::ThreadIndex(), kHeadDim);
  // Threads with rows past the end read the last row, so that whole warps run, and write nothing.
  const int row = at.row < c.tokens ? at.row : c.tokens - 1;
  const int rows = at.row < c.tokens ? c.tokens - at.row : 0;
  const std::int64_t flat = static_cast<std::int64_t>(pass) * c.tokens + row;
  const MergeRows weigh = WeighRows<kReadSum>(c, flat, rows, kPass);
  Channels sum[kRowsInFlight];
  const auto clamped = [&](int r) { return r * kPass < rows ? r * kPass : 0; };
  if constexpr (kReadSum) {
    DBSP_UNROLL
    for (int r = 0; r < kRowsInFlight; ++r) {
      const std::int64_t own = flat + clamped(r);
      AddSum(sum[r],
             c.sum + own * kHeadDim,
             kHeadDim,
             at.share,
             WeightOf(c.sum_lse[own], weigh.max[r]) * weigh.scale[r]);
    }
  }
  for (int i = 0; i < c.parts; ++i) {
    const TensorView& view = c.part[i].o;
    const auto* part =
        static_cast<const std::uint16_t*>(view.data) + PassOffset(view, pass, c.heads);
    DBSP_UNROLL
    for (int r = 0; r < kRowsInFlight; ++r) {
      const float l = isa::LoadGlobal(c.part[i].lse + flat + clamped(r));
      AddPart(sum[r],
              part + (row + clamped(r)) * view.token_stride,
              kHeadDim,
              at.share,
              WeightOf(l, weigh.max[r]) * weigh.scale[r]);
    }
  }
  isa::SyncWarp();  // all threads of a row have read the LSE that its first thread overwrites
  DBSP_UNROLL
  for (int r = 0; r < kRowsInFlight; ++r) {
    if (r * kPass >= rows) continue;
    const std::int64_t own = flat + r * kPass;
    if constexpr (kWriteSum) {
      StoreSum(c.sum + own * kHeadDim, sum[r], kHeadDim, at.share);
      if (at.share == 0) isa::StoreGlobal(c.sum_lse + own, weigh.lse[r]);
    } else {
      auto* o = static_cast<std::uint16_t*>(c.o.data) + PassOffset(c.o, pass, c.heads);
      StoreRounded(o + (row + r * kPass) * c.o.token_stride, sum[r], kHeadDim, at.share);
      if (at.share == 0) isa::StoreGlobal(c.lse + own, weigh.lse[r]);
    }
  }
}

/// Copies a thread's rows: first all loads, then all stores. from_row and to_row return the element
/// offset of a row.
template <int kHeadDim, class From, class To>
DBSP_KERNEL_CODE void CopyRowsInFlight(const std::uint16_t* from,
                                       std::uint16_t* to,
                                       ThreadShare at,
                                       int rows,
                                       From from_row,
                                       To to_row) {
  isa::Vector16 value[kRowsInFlight];
  DBSP_UNROLL
  for (int r = 0; r < kRowsInFlight; ++r) {
    const int row = at.row + r * RowsPerPass(kHeadDim);
    if (row < rows) value[r] = isa::LoadGlobal16(from + from_row(row) + at.share * 8);
  }
  DBSP_UNROLL
  for (int r = 0; r < kRowsInFlight; ++r) {
    const int row = at.row + r * RowsPerPass(kHeadDim);
    if (row < rows) isa::StoreGlobal16(to + to_row(row) + at.share * 8, value[r]);
  }
}

template <int kHeadDim>
DBSP_KERNEL_CODE void CopyKernel(const CopyArguments& args) {
  int index = 0;
  while (index + 1 < args.call.lists && isa::BlockIndex() >= args.first_block[index + 1]) ++index;
  const CopyList& list = args.call.list[index];
  const int block = isa::BlockIndex() - args.first_block[index];
  const CopyItem* item = list.items + block / args.blocks_per_item[index];
  const std::int64_t item_from = isa::LoadGlobal(&item->from);
  const std::int64_t item_to = isa::LoadGlobal(&item->to);
  const int tokens = isa::LoadGlobal(&item->tokens);
  CopyRowsInFlight<kHeadDim>(
      static_cast<const std::uint16_t*>(list.from),
      static_cast<std::uint16_t*>(list.to),
      ShareOfThread(block % args.blocks_per_item[index], isa::ThreadIndex(), kHeadDim),
      tokens,
      [&](int row) { return item_from + row * list.from_stride; },
      [&](int row) { return item_to + row * list.to_stride; });
}

/// requires  kUndo = call.undo
template <int kHeadDim, bool kUndo>
DBSP_KERNEL_CODE void PermuteKernel(const PermuteArguments& args) {
  const PermuteCall& c = args.call;
  const int pass = isa::BlockIndex() / args.blocks_per_pass;
  const auto moved = [&](int row) { return isa::LoadGlobal(c.source + row); };
  CopyRowsInFlight<kHeadDim>(
      static_cast<const std::uint16_t*>(c.from.data) + PassOffset(c.from, pass, c.heads),
      static_cast<std::uint16_t*>(c.to.data) + PassOffset(c.to, pass, c.heads),
      ShareOfThread(isa::BlockIndex() % args.blocks_per_pass, isa::ThreadIndex(), kHeadDim),
      c.tokens,
      [&](int row) { return (kUndo ? row : moved(row)) * c.from.token_stride; },
      [&](int row) { return (kUndo ? moved(row) : row) * c.to.token_stride; });
}

}  // namespace dbsp::kernels::gpu
