// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/overlap_rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "profiler/gpu/device_attention.h"
#include "profiler/gpu/stream_block.h"
#include "profiler/ranks/exchange_rank.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {
namespace {

using runtime::CudaBuffer;
using runtime::CudaEvent;
using runtime::CudaStream;

/// Most repeats behind a blocked stream: each takes three of the thousand places in a launch queue.
constexpr int kMostHeld = 256;

class RankOnGpu final : public OverlapRank {
 public:
  RankOnGpu(const OverlapConfig& config,
            const kernels::gpu::Variant& variant,
            const runtime::CudaDeviceFacts& device,
            int rank)
      : timed_(config.timed),
        rank_(rank),
        exchange_(config.exchange, rank, config.exchange.ranks),
        attention_(config.attention, variant, values_, compute_stream_),
        send_(runtime::ToDevice<float>(
            exchange_.KnownValues(), "an exchange's send buffer", exchange_stream_)),
        recv_(static_cast<std::size_t>(exchange_.recv_floats()) * sizeof(float),
              "an exchange's receive buffer"),
        cache_(device.l2_bytes, "the buffer that clears the cache"),
        barrier_(static_cast<std::size_t>(config.exchange.ranks) * sizeof(float),
                 "the buffer of NCCL's barrier"),
        flags_(2 * sizeof(std::int32_t), "the flag that releases a blocked stream") {
    recv_.Fill(0xFF, exchange_stream_);
    if (config.sm_margin > 0) attention_.LimitSms(device.sm_count - config.sm_margin);
  }

  /// Idle when both streams are done. The stream of the timed work is queried first.
  [[nodiscard]] runtime::NcclQueue Queue() override {
    const bool attention_first = timed_ == TimedSide::kAttention;
    const CudaStream* first = attention_first ? &compute_stream_ : &exchange_stream_;
    const CudaStream* second = attention_first ? &exchange_stream_ : &compute_stream_;
    return {exchange_stream_.get(),
            [first, second] { return first->Idle() && second->Idle(); },
            barrier_.As<float>()};
  }

  /// Loads all kernels, which must not happen while a stream is blocked.
  void WarmUp(runtime::NcclCommunicator& communicator) override {
    attention_.Launch();
    Exchange(communicator);
    communicator.Wait();  // NCCL connects the ranks at the first exchange, with work on the device
    { const StreamBlock block(flags_, compute_stream_); }
    communicator.Wait();
  }

  std::int64_t Alone(runtime::NcclCommunicator& communicator) override {
    return timed_ == TimedSide::kAttention ? Attend(communicator) : TimedExchange(communicator);
  }

  std::optional<std::int64_t> Beside(runtime::NcclCommunicator& communicator,
                                     int repeats) override {
    return timed_ == TimedSide::kAttention ? AttendWhileExchanging(communicator, repeats)
                                           : ExchangeWhileAttending(communicator, repeats);
  }

  [[nodiscard]] std::optional<std::string> Wrong() const override {
    std::vector<float> received(exchange_.recv_floats());
    recv_.Download(received.data(), received.size() * sizeof(float), exchange_stream_);
    if (const auto wrong = exchange_.WrongValue(received)) {
      return fmt::format("rank {}: {}", rank_, *wrong);
    }
    if (const auto problem = attention_.Problem()) {
      return fmt::format("rank {}: {}", rank_, *problem);
    }
    return std::nullopt;
  }

 private:
  std::int64_t Attend(runtime::NcclCommunicator& communicator) {
    cache_.Fill(0, compute_stream_);
    StreamBlock block(flags_, compute_stream_);
    timed_begin_.Record(compute_stream_);
    attention_.Launch();
    timed_end_.Record(compute_stream_);
    return Finish(block, communicator);
  }

  /// exchange stream  exchange, exchange, ...                  exchange
  /// compute stream             attention
  std::optional<std::int64_t> AttendWhileExchanging(runtime::NcclCommunicator& communicator,
                                                    int repeats) {
    cache_.Fill(0, compute_stream_);
    StreamBlock block(flags_, exchange_stream_);
    Exchange(communicator);
    around_begin_.Record(exchange_stream_);
    around_begin_.Block(compute_stream_);
    timed_begin_.Record(compute_stream_);
    attention_.Launch();
    timed_end_.Record(compute_stream_);
    for (int i = 0; i < repeats; ++i) {
      if (i == kMostHeld) block.Release();
      Exchange(communicator);
    }
    around_end_.Record(exchange_stream_);
    return Covered(Finish(block, communicator));
  }

  /// The first exchange synchronises the ranks; the second is timed.
  std::int64_t TimedExchange(runtime::NcclCommunicator& communicator) {
    StreamBlock block(flags_, exchange_stream_);
    EnqueueTimedExchange(communicator);
    return Finish(block, communicator);
  }

  /// compute stream   attention, attention, ...                  attention
  /// exchange stream             exchange, exchange
  std::optional<std::int64_t> ExchangeWhileAttending(runtime::NcclCommunicator& communicator,
                                                     int repeats) {
    StreamBlock block(flags_, compute_stream_);
    attention_.Launch();
    around_begin_.Record(compute_stream_);
    around_begin_.Block(exchange_stream_);
    EnqueueTimedExchange(communicator);
    for (int i = 0; i < repeats; ++i) {
      if (i == kMostHeld) block.Release();
      attention_.Launch();
    }
    around_end_.Record(compute_stream_);
    return Covered(Finish(block, communicator));
  }

  void Exchange(runtime::NcclCommunicator& communicator) {
    exchange_.Enqueue(communicator, send_.As<float>(), recv_.As<float>());
  }
  void EnqueueTimedExchange(runtime::NcclCommunicator& communicator) {
    Exchange(communicator);
    timed_begin_.Record(exchange_stream_);
    Exchange(communicator);
    timed_end_.Record(exchange_stream_);
  }
  std::int64_t Finish(StreamBlock& block, runtime::NcclCommunicator& communicator) {
    block.Release();
    communicator.Wait();
    block.Check("overlap");
    return std::llround(CudaEvent::ElapsedNs(timed_begin_, timed_end_));
  }
  /// The sample is covered when the event after the first run of the other work is not later than
  /// the start of the timed work, and the event after its last run is not earlier than the end.
  [[nodiscard]] std::optional<std::int64_t> Covered(std::int64_t ns) const {
    const bool covered = CudaEvent::ElapsedNs(around_begin_, timed_begin_) >= 0 &&
                         CudaEvent::ElapsedNs(timed_end_, around_end_) >= 0;
    return covered ? std::optional(ns) : std::nullopt;
  }

  TimedSide timed_;
  int rank_;
  CudaStream compute_stream_, exchange_stream_;
  DeviceValues values_;
  ExchangeRank exchange_;
  DeviceAttention attention_;
  CudaBuffer send_, recv_;
  CudaBuffer cache_;  ///< as large as the L2 cache
  CudaBuffer barrier_;  ///< one word per rank
  runtime::CudaPinned flags_;  ///< int32 [2]: release the stream; the block timed out
  CudaEvent timed_begin_, timed_end_, around_begin_, around_end_;
};

void RequireSms(int margin, const runtime::CudaDeviceFacts& device) {
  if (margin < device.sm_count) return;
  Fail(ErrorCode::kInvalidArgument,
       "SM margin {}: the device has {} SMs, and attention needs at least one",
       margin,
       device.sm_count);
}

}  // namespace

std::unique_ptr<OverlapRank> OpenOverlapRank(const OverlapConfig& config, int rank, int device) {
  const kernels::gpu::Variant& variant = kernels::gpu::VariantNamed(config.attention.kernel);
  const runtime::CudaDeviceFacts facts = runtime::OpenCudaDevice(device);
  kernels::gpu::CheckArch(variant, facts.arch);
  RequireSms(config.sm_margin, facts);
  return std::make_unique<RankOnGpu>(config, variant, facts, rank);
}

runtime::NcclOptions OverlapOptions(runtime::NcclOptions options, const OverlapConfig& config) {
  // NCCL takes powers of two; the SMs of a margin between two of them stay idle.
  if (config.sm_margin > 0) {
    const auto margin = static_cast<unsigned>(config.sm_margin);
    options.most_ctas = std::min(static_cast<int>(std::bit_floor(margin)), runtime::kMostNcclCtas);
  }
  return options;
}

}  // namespace dbsp::profiler
