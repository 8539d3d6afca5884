// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/nccl_world.h"

#include <cmath>
#include <vector>

#include "core/error.h"
#include "profiler/gpu/stream_block.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

std::int64_t ExchangeDevice::TimeOnDevice(const std::function<void()>&,
                                          const std::function<void()>&,
                                          const std::function<void()>&) {
  Fail(ErrorCode::kInternal, "this device has no events to time an exchange with");
}

namespace {

class CudaExchangeDevice final : public ExchangeDevice {
 public:
  /// On the current device.
  CudaExchangeDevice()
      : stream_(std::make_unique<runtime::CudaStream>()),
        flags_(2 * sizeof(std::int32_t), "the flag that releases a blocked stream") {}

  runtime::NcclQueue Queue(int ranks) override {
    runtime::CudaStream* stream = stream_.get();
    return {stream->get(),
            [stream] { return stream->Idle(); },
            Buffer(ranks, "the buffer of NCCL's barrier")};
  }

  float* Buffer(std::int64_t floats, const std::string& what) override {
    buffers_.emplace_back(static_cast<std::size_t>(floats) * sizeof(float), what);
    buffers_.back().Fill(0, *stream_);
    return buffers_.back().As<float>();
  }

  void Write(float* to, std::span<const float> values) override {
    At(to).Upload(values.data(), values.size_bytes(), *stream_);
  }

  void Read(std::span<float> values, const float* from) override {
    At(from).Download(values.data(), values.size_bytes(), *stream_);
  }

  std::int64_t TimeOnDevice(const std::function<void()>& first,
                            const std::function<void()>& timed,
                            const std::function<void()>& wait) override {
    StreamBlock block(flags_, *stream_);
    first();
    begin_.Record(*stream_);
    timed();
    end_.Record(*stream_);
    block.Release();
    wait();
    block.Check("exchange");
    return std::llround(runtime::CudaEvent::ElapsedNs(begin_, end_));
  }

 private:
  const runtime::CudaBuffer& At(const float* memory) {
    for (const runtime::CudaBuffer& buffer : buffers_) {
      if (buffer.As<float>() == memory) return buffer;
    }
    Fail(ErrorCode::kInternal, "this device does not own the buffer of an exchange");
  }

  std::unique_ptr<runtime::CudaStream> stream_;
  runtime::CudaPinned flags_;
  runtime::CudaEvent begin_, end_;
  std::vector<runtime::CudaBuffer> buffers_;
};

}  // namespace

NcclWorld CudaWorld() {
  NcclWorld world;
  world.clock = ExchangeClock::kDevice;
  world.devices = runtime::CudaDriver::Load().device_count();
  world.open = [](int rank) {
    (void)runtime::OpenCudaDevice(rank);
    return std::make_unique<CudaExchangeDevice>();
  };
  return world;
}

}  // namespace dbsp::profiler
