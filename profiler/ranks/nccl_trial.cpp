// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/nccl_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "core/error.h"
#include "profiler/ranks/exchange_leader.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/exchange_session.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

/// Start and end of the current sample on each rank, on the host's clock or on the device's.
struct SampleTimes {
  explicit SampleTimes(int size)
      : begin(static_cast<std::size_t>(size)), end(static_cast<std::size_t>(size)) {}
  /// From the first start to the last end: all ranks have the host's clock. A device's clock begins
  /// at 0, so that this is the slowest rank's time.
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

std::string NcclMethod(const NcclWorld& world) {
  const bool processes = world.processes || world.will_be_processes;
  const std::string method = fmt::format("nccl.{}{}",
                                         world.clock == ExchangeClock::kDevice ? "events"
                                         : processes                           ? "slowest"
                                                                               : "wall",
                                         kExchangesPerSample);
  const int ctas = world.options.most_ctas;
  return ctas == 0 ? method : fmt::format("{}.ctas{}", method, ctas);
}

Measurement MeasureNccl(const ExchangeConfig& config,
                        int size,
                        const NcclWorld& world,
                        const MeasureLimits& limits,
                        const std::function<bool()>& interrupted) {
  if (world.processes) return world.processes->Measure(config, size, limits);
  if (size > world.devices) {
    Fail(ErrorCode::kUnavailable,
         "exchanges between {} ranks need one GPU per rank; there are {}",
         size,
         world.devices);
  }
  Measurement result;
  std::atomic<bool> done{false};
  SampleTimes times(size);
  std::vector<std::unique_ptr<ExchangeDevice>> devices(size);
  const auto queue_of = [&](int rank) {
    devices[rank] = world.open(rank);
    return devices[rank]->Queue(size);
  };
  runtime::RunNcclRanks(size, world.options, queue_of, [&](runtime::NcclCommunicator& comm) {
    const int rank = comm.rank();
    const ExchangeRank mine(config, rank, size);
    const float* send = devices[rank]->Buffer(mine.send_floats(), "an exchange's send buffer");
    float* recv = devices[rank]->Buffer(mine.recv_floats(), "an exchange's receive buffer");
    comm.Wait();  // until the buffers are zeroed
    // Not timed and not held: NCCL connects the ranks of the pattern.
    mine.Enqueue(comm, send, recv);
    comm.Wait();
    const auto once = [&] {
      if (world.clock == ExchangeClock::kDevice) {
        times.end[rank] = SampleOnDevice(*devices[rank], comm, mine, send, recv);
        comm.Barrier();
        return;
      }
      times.begin[rank] = runtime::SteadyNs();
      for (int i = 0; i < kExchangesPerSample; ++i) mine.Enqueue(comm, send, recv);
      comm.Wait();
      times.end[rank] = runtime::SteadyNs();
      comm.Barrier();
    };
    if (rank != 0) {
      for (comm.Barrier(); !done; comm.Barrier()) once();
      return;
    }
    const auto sample = [&] {
      comm.Barrier();
      once();
      return Reading{times.Took() / kExchangesPerSample};
    };
    result = Measure(limits, sample, runtime::SteadyNs, interrupted);
    done = true;
    comm.Barrier();
  });
  return result;
}

}  // namespace dbsp::profiler
