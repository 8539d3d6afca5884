// SPDX-License-Identifier: Apache-2.0
#include "runtime/cupti/counters.h"

#include <exception>

#include "core/error.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cupti/cupti_counters.h"
#include "runtime/nvml/nvml_gpm.h"

namespace dbsp::runtime {
namespace {

/// Carries an error of the caller's run past the code that handles failures of sources.
struct RunFailed {
  std::exception_ptr error;
};

std::function<void()> Guarded(const std::function<void()>& run) {
  return [&run] {
    try {
      run();
    } catch (...) {
      throw RunFailed{std::current_exception()};
    }
  };
}

CounterReading FromRangeProfiler(const CounterRequest& request, const std::function<void()>& run) {
  RangeProfiler profiler =
      RangeProfiler::Start(request.metrics, request.cupti_library, request.cuda_library);
  return {CounterSource::kRangeProfiler, profiler.Measure(run), ""};
}

CounterReading FromGpm(const CounterRequest& request, const std::function<void()>& run) {
  const std::string pci = CudaDriver::Load(request.cuda_library).device_pci(request.device);
  return {CounterSource::kGpm, MeasureGpm(pci, run, request.nvml_library), ""};
}

}  // namespace

const char* NameOf(CounterSource source) {
  switch (source) {
    case CounterSource::kRangeProfiler:
      return "cupti.range";
    case CounterSource::kGpm:
      return "nvml.gpm";
    case CounterSource::kNone:
      return "none";
  }
  return "none";
}

std::vector<std::string> DefaultCounters() {
  return {"dram__bytes.sum",
          "dram__bytes_read.sum",
          "dram__bytes_write.sum",
          "lts__t_bytes.sum",
          "sm__inst_executed_pipe_tensor.sum",
          "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
          "sm__cycles_active.avg",
          "sm__cycles_active.max",
          "gpu__time_duration.sum"};
}

CounterReading ReadCounters(const CounterRequest& request, const std::function<void()>& run) {
  const std::function<void()> guarded = Guarded(run);
  std::string why;
  try {
    for (const auto source : {FromRangeProfiler, FromGpm}) {
      try {
        CounterReading reading = source(request, guarded);
        reading.why = why;
        return reading;
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kUnavailable) throw;
        why += (why.empty() ? "" : "; ") + std::string(error.what());
      }
    }
  } catch (const RunFailed& failed) {
    std::rethrow_exception(failed.error);
  }
  return {CounterSource::kNone, {}, why};
}

}  // namespace dbsp::runtime
