// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_session.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "runtime/clock.h"

namespace dbsp::profiler {

std::int64_t SampleOnDevice(ExchangeDevice& device,
                            runtime::NcclCommunicator& communicator,
                            const ExchangeRank& exchange,
                            const float* send,
                            float* recv) {
  return device.TimeOnDevice([&] { communicator.EnqueueBarrier(); },
                             [&] {
                               for (int i = 0; i < kExchangesPerSample; ++i) {
                                 exchange.Enqueue(communicator, send, recv);
                               }
                             },
                             [&] { communicator.Wait(); });
}

ExchangeSession::ExchangeSession(const NcclWorld& world,
                                 runtime::NcclOptions options,
                                 int rank,
                                 int device)
    : world_(world), options_(std::move(options)), rank_(rank), device_index_(device) {}

void ExchangeSession::Begin(const ExchangeConfig& config,
                            int size,
                            int stride,
                            const std::optional<runtime::NcclId>& id) {
  mine_.emplace(config, rank_, size, stride);
  if (id) {
    communicator_.reset();
    overlap_.reset();
    // Every communicator gets a new device, because an aborted communicator's stream is not usable
    // and the device owns the buffers.
    device_.reset();
    send_ = recv_ = {};
    device_ = world_.open(device_index_);
    communicator_ =
        runtime::NcclCommunicator::Join(*id, rank_, size, device_->Queue(size), options_);
  }
  if (communicator_ == nullptr) {
    Fail(ErrorCode::kInternal, "rank {}: an exchange began without a communicator", rank_);
  }
  Grow(send_, mine_->send_floats(), "an exchange's send buffer");
  Grow(recv_, mine_->recv_floats(), "an exchange's receive buffer");
  communicator_->Wait();  // until the buffers are zeroed
}

void ExchangeSession::BeginOverlap(const OverlapConfig& config, const runtime::NcclId& id) {
  communicator_.reset();
  overlap_.reset();
  device_.reset();
  send_ = recv_ = {};
  overlap_ = OpenOverlapRank(config, rank_, device_index_);
  communicator_ = runtime::NcclCommunicator::Join(
      id, rank_, config.exchange.ranks, overlap_->Queue(), OverlapOptions(options_, config));
  overlap_->WarmUp(*communicator_);
}

/// A device frees its buffers only at its own end, so the size at least doubles: the abandoned
/// buffers of a sweep of sizes together are never larger than the current one.
void ExchangeSession::Grow(Buffer& buffer, std::int64_t floats, const char* what) {
  if (floats <= buffer.floats) return;
  const std::int64_t wanted = std::max(floats, 2 * buffer.floats);
  buffer = {device_->Buffer(wanted, what), wanted};
}

std::optional<std::string> ExchangeSession::Check() {
  const std::vector<float> values = mine_->KnownValues();
  std::vector<float> received(mine_->recv_floats(), -1.0F);
  device_->Write(send_.memory, values);
  device_->Write(recv_.memory, received);
  communicator_->Barrier();
  mine_->Enqueue(*communicator_, send_.memory, recv_.memory);
  communicator_->Wait();
  device_->Read(received, recv_.memory);
  return mine_->WrongValue(received);
}

std::int64_t ExchangeSession::Sample() {
  communicator_->Barrier();
  if (world_.clock == ExchangeClock::kDevice) {
    return SampleOnDevice(*device_, *communicator_, *mine_, send_.memory, recv_.memory);
  }
  const std::int64_t begin = runtime::SteadyNs();
  for (int i = 0; i < kExchangesPerSample; ++i) {
    mine_->Enqueue(*communicator_, send_.memory, recv_.memory);
  }
  communicator_->Wait();
  return runtime::SteadyNs() - begin;
}

void ExchangeSession::Leave() { communicator_.reset(); }

void ExchangeSession::Abort(const std::string& reason) noexcept {
  if (communicator_ == nullptr) return;
  communicator_->Abort(reason);
  communicator_.reset();
}

}  // namespace dbsp::profiler
