// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/overlap_rank.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/timing_kernels.h"
#include "profiler/gpu/device_attention.h"
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

/// Enqueueing takes microseconds; seconds mean that it waits for the device.
constexpr std::int64_t kPatienceNs = 5'000'000'000;
/// What is enqueued behind a held stream: of a launch queue of a thousand, at three launches each.
constexpr int kMostHeld = 256;

/// Keeps a stream waiting until everything that is to run back to back is enqueued, so that the
/// host's speed does not count.
class Hold {
 public:
  Hold(const runtime::CudaPinned& flags, const CudaStream& stream)
      : flags_(flags.As<std::int32_t>()) {
    flags_[0] = 0;
    flags_[1] = 0;
    kernels::gpu::LaunchHold(
        flags.As<std::int32_t>(), flags.As<std::int32_t>() + 1, kPatienceNs, stream.get());
  }
  /// A stream left held would make the process wait at its end.
  ~Hold() { Release(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  void Release() { flags_[0] = 1; }
  /// When all is done. errors  Error{kMeasurement} when the stream let itself go before Release()
  void Check() const {
    if (flags_[1] == 0) return;
    Fail(ErrorCode::kMeasurement,
         "overlap: what is enqueued waits for the device, so its time would be the host's");
  }

 private:
  volatile std::int32_t* flags_;
};

class RankOnGpu final : public OverlapRank {
 public:
  RankOnGpu(const OverlapConfig& config,
            const kernels::gpu::Variant& variant,
            const runtime::CudaDeviceFacts& device,
            int rank)
      : timed_(config.timed),
        rank_(rank),
        exchange_(config.exchange, rank, config.exchange.ranks),
        attention_(config.attention, variant, values_, compute_),
        send_(
            runtime::ToDevice<float>(exchange_.KnownValues(), "an exchange's send buffer", link_)),
        recv_(static_cast<std::size_t>(exchange_.recv_floats()) * sizeof(float),
              "an exchange's receive buffer"),
        cache_(device.l2_bytes, "the buffer that clears the cache"),
        meeting_(static_cast<std::size_t>(config.exchange.ranks) * sizeof(float),
                 "the meeting point of ranks"),
        flags_(2 * sizeof(std::int32_t), "the flag that releases a held stream") {
    recv_.Fill(0xFF, link_);
    if (config.sm_margin > 0) attention_.LimitSms(device.sm_count - config.sm_margin);
  }

  /// The timed side is looked at first; a wait is over when both are done.
  [[nodiscard]] runtime::NcclQueue Queue() override {
    const bool compute_first = timed_ == TimedSide::kAttention;
    const CudaStream* first = compute_first ? &compute_ : &link_;
    const CudaStream* second = compute_first ? &link_ : &compute_;
    return {link_.get(),
            [first, second] { return first->Idle() && second->Idle(); },
            meeting_.As<float>()};
  }

  /// All code is loaded here, which must not happen while a stream is held.
  void WarmUp(runtime::NcclCommunicator& communicator) override {
    attention_.Launch();
    Exchange(communicator);
    { const Hold hold(flags_, compute_); }
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
    recv_.Download(received.data(), received.size() * sizeof(float), link_);
    if (const auto wrong = exchange_.WrongValue(received)) {
      return fmt::format("rank {}: {}", rank_, *wrong);
    }
    if (const std::string problem = attention_.Problem(); !problem.empty()) {
      return fmt::format("rank {}: {}", rank_, problem);
    }
    return std::nullopt;
  }

 private:
  std::int64_t Attend(runtime::NcclCommunicator& communicator) {
    cache_.Fill(0, compute_);
    Hold hold(flags_, compute_);
    timed_begin_.Record(compute_);
    attention_.Launch();
    timed_end_.Record(compute_);
    return Finish(hold, communicator);
  }

  /// link      exchange, exchange, ...                  exchange
  /// compute             attention
  std::optional<std::int64_t> AttendWhileExchanging(runtime::NcclCommunicator& communicator,
                                                    int repeats) {
    cache_.Fill(0, compute_);
    Hold hold(flags_, link_);
    Exchange(communicator);
    around_begin_.Record(link_);
    compute_.WaitFor(around_begin_);
    timed_begin_.Record(compute_);
    attention_.Launch();
    timed_end_.Record(compute_);
    for (int i = 0; i < repeats; ++i) {
      if (i == kMostHeld) hold.Release();
      Exchange(communicator);
    }
    around_end_.Record(link_);
    return Covered(Finish(hold, communicator));
  }

  /// The first exchange brings the ranks together; the second is timed.
  std::int64_t TimedExchange(runtime::NcclCommunicator& communicator) {
    Hold hold(flags_, link_);
    EnqueueTimedExchange(communicator);
    return Finish(hold, communicator);
  }

  /// compute   attention, attention, ...                  attention
  /// link                 exchange, exchange
  std::optional<std::int64_t> ExchangeWhileAttending(runtime::NcclCommunicator& communicator,
                                                     int repeats) {
    Hold hold(flags_, compute_);
    attention_.Launch();
    around_begin_.Record(compute_);
    link_.WaitFor(around_begin_);
    EnqueueTimedExchange(communicator);
    for (int i = 0; i < repeats; ++i) {
      if (i == kMostHeld) hold.Release();
      attention_.Launch();
    }
    around_end_.Record(compute_);
    return Covered(Finish(hold, communicator));
  }

  void Exchange(runtime::NcclCommunicator& communicator) {
    exchange_.Enqueue(communicator, send_.As<float>(), recv_.As<float>());
  }
  void EnqueueTimedExchange(runtime::NcclCommunicator& communicator) {
    Exchange(communicator);
    timed_begin_.Record(link_);
    Exchange(communicator);
    timed_end_.Record(link_);
  }
  std::int64_t Finish(Hold& hold, runtime::NcclCommunicator& communicator) {
    hold.Release();
    communicator.Wait();
    hold.Check();
    return std::llround(CudaEvent::ElapsedNs(timed_begin_, timed_end_));
  }
  /// An event says that what is before it is done: one behind a first repeat and one behind the
  /// last hold the timed side between them.
  [[nodiscard]] std::optional<std::int64_t> Covered(std::int64_t ns) const {
    const bool covered = CudaEvent::ElapsedNs(around_begin_, timed_begin_) >= 0 &&
                         CudaEvent::ElapsedNs(timed_end_, around_end_) >= 0;
    return covered ? std::optional(ns) : std::nullopt;
  }

  TimedSide timed_;
  int rank_;
  CudaStream compute_, link_;
  DeviceValues values_;
  ExchangeRank exchange_;
  DeviceAttention attention_;
  CudaBuffer send_, recv_;
  CudaBuffer cache_;  ///< as large as the second-level cache
  CudaBuffer meeting_;  ///< one word per rank
  runtime::CudaPinned flags_;  ///< int32 [2]: release, gave up
  CudaEvent timed_begin_, timed_end_, around_begin_, around_end_;
};

void RequireSms(int margin, const runtime::CudaDeviceFacts& device) {
  if (margin < device.sm_count) return;
  Fail(ErrorCode::kInvalidArgument,
       "an SM margin of {}: the device has {} SMs, and attention needs at least one",
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
  if (config.sm_margin > 0) options.most_ctas = config.sm_margin;
  return options;
}

}  // namespace dbsp::profiler
