// SPDX-License-Identifier: Apache-2.0
// Launches of the list builders and of SLA on the emulated machine. They replace the launches of
// the .cu files.
#include <algorithm>
#include <functional>

#include "kernels/gpu/gather/bit_lists.h"
#include "kernels/gpu/gather/threshold_bits.h"
#include "kernels/gpu/gather/top_cdf.h"
#include "kernels/gpu/sla/kernels.h"
#include "tests/emulated_gpu/emulated_runtime.h"

namespace dbsp::kernels::gpu {
namespace {

using emulated_gpu::EmulatedRuntime;

/// With few thread blocks each one loops over several rows, as on a device with more than 65,535
/// rows.
constexpr std::int64_t kMaxBlocks = 3;

template <class Args>
void Enqueue(void (*kernel)(const Args&),
             std::int64_t blocks,
             int threads,
             int shared_bytes,
             const Args& args,
             void* stream) {
  const int device = EmulatedRuntime::CurrentDevice();
  EmulatedRuntime::Get().Enqueue(stream,
                                 {.start =
                                      [=] {
                                        isa::RunGrid(static_cast<int>(blocks),
                                                     threads,
                                                     shared_bytes,
                                                     EmulatedRuntime::Get().RunOptions(device),
                                                     [&] { kernel(args); });
                                      },
                                  .done = nullptr});
}

template <int D, int ROWS>
void EnqueueThreshold(const gather::ThresholdArgs& args, void* stream) {
  using Tile = gather::ThresholdTile<D, ROWS>;
  Enqueue(&gather::ThresholdBits<D, ROWS>,
          std::min<std::int64_t>(args.tiles, kMaxBlocks),
          Tile::kThreads,
          Tile::kSharedBytes,
          args,
          stream);
}

template <int D>
void EnqueueTopCdf(const gather::TopCdfArgs& args, void* stream) {
  const auto blocks = std::min<std::int64_t>(args.tiles, kMaxBlocks);
  Enqueue(&gather::PoolQueries<D>,
          blocks,
          gather::kPoolThreads,
          gather::kPoolSharedBytes,
          args,
          stream);
  Enqueue(&gather::PooledScores<D>,
          blocks,
          gather::kPooledThreads,
          gather::kPooledSharedBytes<D>,
          args,
          stream);
  Enqueue(&gather::SelectTopCdf,
          blocks,
          gather::kSelectThreads,
          gather::kSelectSharedBytes,
          args,
          stream);
}

template <int kHeadDim, int kQBlock, int kKBlock>
void EnqueueSla(const sla::Arguments& args, void* stream) {
  using States = sla::StateLayout<kHeadDim>;
  using Sums = sla::SumLayout<kHeadDim>;
  using Combine = sla::CombineLayout<kHeadDim, kQBlock>;
  Enqueue(&sla::StateKernel<kHeadDim, kKBlock>,
          sla::StateBlocks(args),
          States::kThreads,
          States::kSharedBytes,
          args,
          stream);
  Enqueue(&sla::SumKernel<kHeadDim>,
          sla::SumBlocks(args, kHeadDim),
          Sums::kThreads,
          Sums::kSharedBytes,
          args,
          stream);
  Enqueue(&sla::CombineKernel<kHeadDim, kQBlock>,
          sla::CombineBlocks(args),
          Combine::kThreads,
          Combine::kSharedBytes,
          args,
          stream);
}

template <int kHeadDim>
void EnqueueSla(const SlaCall& call, const sla::Arguments& args) {
  if (call.q_block == 64) {
    call.k_block == 64 ? EnqueueSla<kHeadDim, 64, 64>(args, call.stream)
                       : EnqueueSla<kHeadDim, 64, 128>(args, call.stream);
  } else {
    call.k_block == 64 ? EnqueueSla<kHeadDim, 128, 64>(args, call.stream)
                       : EnqueueSla<kHeadDim, 128, 128>(args, call.stream);
  }
}

}  // namespace

void LaunchSla(const SlaCall& call) {
  CheckSla(call);
  const sla::Arguments args = sla::ArgumentsOf(call);
  call.shape.head_dim == 64 ? EnqueueSla<64>(call, args) : EnqueueSla<128>(call, args);
}

namespace gather {

void EnqueueKeyLists(const BitListArgs& args, void* stream) {
  const auto blocks = std::min<std::int64_t>(args.rows, kMaxBlocks);
  Enqueue(&CountRows, blocks, kListThreads, kCountSharedBytes, args, stream);
  Enqueue(&ScanCounts, 1, kListThreads, kScanSharedBytes, args, stream);
  Enqueue(&CompactRows, blocks, kListThreads, kCompactSharedBytes, args, stream);
}

void EnqueueArrangeRuns(const ArrangeArgs& args, void* stream) {
  Enqueue(&ArrangeRows,
          std::min<std::int64_t>(args.rows, kMaxBlocks),
          kListThreads,
          kArrangeSharedBytes,
          args,
          stream);
}

void EnqueueThresholdBits(const ThresholdArgs& args, int head_dim, void* stream) {
  if (head_dim == 64) {
    args.q_block == 64 ? EnqueueThreshold<64, 64>(args, stream)
                       : EnqueueThreshold<64, 128>(args, stream);
  } else {
    args.q_block == 64 ? EnqueueThreshold<128, 64>(args, stream)
                       : EnqueueThreshold<128, 128>(args, stream);
  }
}

void EnqueueTopCdfBits(const TopCdfArgs& args, int head_dim, void* stream) {
  head_dim == 64 ? EnqueueTopCdf<64>(args, stream) : EnqueueTopCdf<128>(args, stream);
}

}  // namespace gather
}  // namespace dbsp::kernels::gpu
