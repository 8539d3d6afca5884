// SPDX-License-Identifier: Apache-2.0
#include "profiler/nccl_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "core/error.h"
#include "profiler/exchange_rank.h"
#include "runtime/clock.h"
#include "runtime/cuda_buffer.h"
#include "runtime/cuda_device.h"
#include "runtime/cuda_driver.h"
#include "runtime/cuda_stream.h"

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
    return {stream->get(), [stream] { return stream->Idle(); }, Buffer(ranks, "NCCL's barrier")};
  }

  float* Buffer(std::int64_t floats, const std::string& what) override {
    buffers_.emplace_back(static_cast<std::size_t>(floats) * sizeof(float), what);
    buffers_.back().Fill(0, *stream_);
    return buffers_.back().As<float>();
  }

 private:
  std::unique_ptr<runtime::CudaStream> stream_;
  std::vector<runtime::CudaBuffer> buffers_;
};

/// When each rank began and ended the sample that is being taken.
struct Clock {
  explicit Clock(int size)
      : begin(static_cast<std::size_t>(size)), end(static_cast<std::size_t>(size)) {}
  [[nodiscard]] std::int64_t Took() const {
    std::int64_t first = begin[0];
    std::int64_t last = end[0];
    for (std::size_t r = 1; r < begin.size(); ++r) {
      first = std::min<std::int64_t>(first, begin[r]);
      last = std::max<std::int64_t>(last, end[r]);
    }
    return last - first;
  }

  std::vector<std::atomic<std::int64_t>> begin;
  std::vector<std::atomic<std::int64_t>> end;
};

}  // namespace

NcclWorld CudaWorld() {
  NcclWorld world;
  world.devices = runtime::CudaDriver::Load().device_count();
  world.open = [](int rank) { return std::make_unique<CudaExchangeDevice>(rank); };
  return world;
}

std::string NcclMethod(const runtime::NcclOptions& options) {
  const std::string method = fmt::format("nccl.wall{}", kExchangesPerSample);
  return options.most_ctas == 0 ? method : fmt::format("{}.ctas{}", method, options.most_ctas);
}

Measurement MeasureNccl(const ExchangeConfig& config,
                        int size,
                        const NcclWorld& world,
                        const MeasureLimits& limits,
                        const std::function<bool()>& interrupted) {
  if (size > world.devices) {
    Fail(ErrorCode::kUnavailable,
         "exchanges between {} ranks take a GPU each; there are {}",
         size,
         world.devices);
  }
  Measurement result;
  std::atomic<bool> done{false};
  Clock clock(size);
  std::vector<std::unique_ptr<ExchangeDevice>> devices(static_cast<std::size_t>(size));
  const auto queue_of = [&](int rank) {
    devices[rank] = world.open(rank);
    return devices[rank]->Queue(size);
  };
  runtime::RunNcclRanks(size, world.options, queue_of, [&](runtime::NcclCommunicator& comm) {
    const int rank = comm.rank();
    const ExchangeRank mine(config, rank, size);
    const float* send = devices[rank]->Buffer(mine.send_floats(), "an exchange's send buffer");
    float* recv = devices[rank]->Buffer(mine.recv_floats(), "an exchange's receive buffer");
    comm.Wait();  // for the buffers
    const auto once = [&] {
      clock.begin[rank] = runtime::SteadyNs();
      for (int i = 0; i < kExchangesPerSample; ++i) mine.Enqueue(comm, send, recv);
      comm.Wait();
      clock.end[rank] = runtime::SteadyNs();
      comm.Barrier();
    };
    if (rank != 0) {
      for (comm.Barrier(); !done; comm.Barrier()) once();
      return;
    }
    const auto sample = [&] {
      comm.Barrier();
      once();
      return Reading{clock.Took() / kExchangesPerSample};
    };
    result = Measure(limits, sample, runtime::SteadyNs, interrupted);
    done = true;
    comm.Barrier();
  });
  return result;
}

}  // namespace dbsp::profiler
