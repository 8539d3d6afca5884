// SPDX-License-Identifier: Apache-2.0
// Hardware counters of a run, from the best source that the machine allows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// Sources of counters, best first. Every reading names its source.
enum class CounterSource : std::uint8_t {
  kRangeProfiler,  ///< CUPTI: exact counts of the run only
  kGpm,  ///< NVML: percent of peak during the run, of all work on the device
  kNone,
};
[[nodiscard]] const char* NameOf(CounterSource source);  ///< "cupti.range", "nvml.gpm", "none"

struct CounterReading {
  CounterSource source = CounterSource::kNone;
  std::map<std::string, double> values;  ///< by metric name, in the metric's unit
  std::string why;  ///< one line: why better sources failed; "" when the best one worked
};

/// DRAM bytes, L2 bytes, tensor instructions, use of the tensor pipe, SM cycles and time. Chips of
/// compute capability 8.0 and 9.0 count all of them in one pass, so that a run is not repeated.
[[nodiscard]] std::vector<std::string> DefaultCounters();

struct CounterRequest {
  std::vector<std::string> metrics = DefaultCounters();
  int device = 0;  ///< number in the CUDA driver's order; its context is current
  std::string cupti_library = "libcupti.so.13";
  std::string cuda_library = "libcuda.so.1";
  std::string nvml_library = "libnvidia-ml.so.1";
};

/// Counters of `run`, from the best source that works. A source that fails is reported in the
/// reading and is no error. run     launches the work and waits for the device; called once per
/// pass, and again for every
///         source that failed during the run
/// errors  errors of `run`; Error{kInvalidArgument} for a metric that the chip does not have
[[nodiscard]] CounterReading ReadCounters(const CounterRequest& request,
                                          const std::function<void()>& run);

}  // namespace dbsp::runtime
