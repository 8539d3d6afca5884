// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/nccl_world.h"

#include <vector>

#include "core/error.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {
namespace {

class CudaExchangeDevice final : public ExchangeDevice {
 public:
  explicit CudaExchangeDevice(int index) {
    (void)runtime::OpenCudaDevice(index);
    stream_ = std::make_unique<runtime::CudaStream>();
  }

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

 private:
  const runtime::CudaBuffer& At(const float* memory) {
    for (const runtime::CudaBuffer& buffer : buffers_) {
      if (buffer.As<float>() == memory) return buffer;
    }
    Fail(ErrorCode::kInternal, "this device does not own the buffer of an exchange");
  }

  std::unique_ptr<runtime::CudaStream> stream_;
  std::vector<runtime::CudaBuffer> buffers_;
};

}  // namespace

NcclWorld CudaWorld() {
  NcclWorld world;
  world.devices = runtime::CudaDriver::Load().device_count();
  world.open = [](int rank) { return std::make_unique<CudaExchangeDevice>(rank); };
  return world;
}

}  // namespace dbsp::profiler
