// SPDX-License-Identifier: Apache-2.0
// Hardware counters of a run: which were asked for, what gave them, and what was refused before.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// From the most to the least that can be had; a reading always says which.
enum class CounterSource : std::uint8_t {
  kRangeProfiler,  ///< CUPTI: exact counts of the run alone
  kGpm,  ///< NVML: shares of peak over the time of the run, of everything on the device
  kNone,
};
[[nodiscard]] const char* NameOf(CounterSource source);  ///< "cupti.range", "nvml.gpm", "none"

struct CounterReading {
  CounterSource source = CounterSource::kNone;
  std::map<std::string, double> values;  ///< by metric name, in the metric's own unit
  std::string why;  ///< what the better sources said, one line; "" when the best one worked
};

/// DRAM bytes, L2 bytes, tensor instructions, share of the tensor pipe, SM cycles and time: all in
/// one pass on the chips of compute capability 8.0 and 9.0, so a run need not be repeated.
[[nodiscard]] std::vector<std::string> DefaultCounters();

struct CounterRequest {
  std::vector<std::string> metrics = DefaultCounters();
  int device = 0;  ///< as the CUDA driver counts; its context is current
  std::string cupti_library = "libcupti.so.13";
  std::string cuda_library = "libcuda.so.1";
  std::string nvml_library = "libnvidia-ml.so.1";
};

/// Counters of `run`, from the best source that this machine allows; a refusal is words in the
/// reading and never an error.
/// run     launches the work and waits for the device; called once per pass, and once more for
///         every source that failed in the middle
/// errors  whatever run throws; Error{kInvalidArgument} for a metric that the chip does not have
[[nodiscard]] CounterReading ReadCounters(const CounterRequest& request,
                                          const std::function<void()>& run);

}  // namespace dbsp::runtime
