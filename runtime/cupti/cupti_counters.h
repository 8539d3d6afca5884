// SPDX-License-Identifier: Apache-2.0
// CUPTI's Range Profiler. CounterHost finds which metrics a chip can count and in how many passes;
// it needs no GPU. RangeProfiler counts on a device. In a build without cupti.h both throw.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// A set of metrics that is counted together.
struct CounterPlan {
  std::string chip;  ///< "GH100"
  std::vector<std::string> metrics;
  /// The device's counter availability image from the driver; empty for the chip in general.
  std::vector<std::uint8_t> availability;
  std::vector<std::uint8_t> config_image;
  int passes = 0;  ///< number of runs that counting needs
};

/// threads  const members are safe concurrently
class CounterHost {
 public:
  /// errors  Error{kUnavailable} as CuptiLibrary::Load, and without libnvperf_host.so, which CUPTI
  ///         opens itself
  static CounterHost Load(const std::string& library = "libcupti.so.13");
  ~CounterHost();
  CounterHost(CounterHost&&) noexcept;
  CounterHost& operator=(CounterHost&&) noexcept;

  /// The chips that this library supports: "GA100", "GH100", ...
  [[nodiscard]] std::vector<std::string> Chips() const;
  /// Base names of a chip's counters, ratios and throughputs, sorted: "dram__bytes", ...
  /// errors  Error{kInvalidArgument} for a chip that is not in Chips()
  [[nodiscard]] std::vector<std::string> Metrics(const std::string& chip) const;
  /// errors  Error{kInvalidArgument} for an unknown chip, an empty list, or a metric that the chip
  ///         or the device cannot count; the message names it
  [[nodiscard]] CounterPlan Plan(const std::string& chip,
                                 const std::vector<std::string>& metrics,
                                 std::vector<std::uint8_t> availability = {}) const;
  /// Values of the plan's metrics, in the plan's order, from range `range` of decoded counter data.
  [[nodiscard]] std::vector<double> Evaluate(const CounterPlan& plan,
                                             std::span<const std::uint8_t> counter_data,
                                             std::size_t range) const;

 private:
  struct Api;
  explicit CounterHost(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

/// Counts on the device of the calling thread's CUDA context.
/// requires no other CUPTI session in this process
class RangeProfiler {
 public:
  /// errors  Error{kUnavailable}: no CUPTI, driver or context; counters that only administrators
  ///         may read, with the remedy; another profiler; Error{kInvalidArgument} as
  ///         CounterHost::Plan
  static RangeProfiler Start(const std::vector<std::string>& metrics,
                             const std::string& cupti_library = "libcupti.so.13",
                             const std::string& cuda_library = "libcuda.so.1");
  ~RangeProfiler();
  RangeProfiler(RangeProfiler&&) noexcept;
  RangeProfiler& operator=(RangeProfiler&&) = delete;

  [[nodiscard]] const CounterPlan& plan() const;
  /// Counts `run`, which launches and synchronises, as one range; calls it plan().passes times.
  /// errors  Error{kUnavailable} with CUPTI's error text, also when CUPTI dropped the counts;
  ///         errors of `run`
  [[nodiscard]] std::map<std::string, double> Measure(const std::function<void()>& run);

 private:
  struct Impl;
  explicit RangeProfiler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbsp::runtime
