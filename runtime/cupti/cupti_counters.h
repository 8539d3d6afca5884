// SPDX-License-Identifier: Apache-2.0
// CUPTI's Range Profiler. The host half plans which metrics a chip can count and in how many
// passes, and needs no GPU; the device half counts. Without cupti.h at build time both answer that
// they were not built.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// Metrics that are counted together.
struct CounterPlan {
  std::string chip;  ///< "GH100"
  std::vector<std::string> metrics;
  /// What the driver said the device at hand can count; empty for the chip as such.
  std::vector<std::uint8_t> availability;
  std::vector<std::uint8_t> config_image;
  int passes = 0;  ///< times the work is run
};

/// threads  const members are safe concurrently
class CounterHost {
 public:
  /// errors  Error{kUnavailable} as CuptiLibrary::Load; also where libnvperf_host.so, which CUPTI
  ///         opens itself, is missing
  static CounterHost Load(const std::string& library = "libcupti.so.13");
  ~CounterHost();
  CounterHost(CounterHost&&) noexcept;
  CounterHost& operator=(CounterHost&&) noexcept;

  /// Chips this library knows: "GA100", "GH100", ...
  [[nodiscard]] std::vector<std::string> Chips() const;
  /// Base names of a chip's counters, ratios and throughputs, sorted: "dram__bytes", ...
  /// errors  Error{kInvalidArgument} for a chip that Chips() does not have
  [[nodiscard]] std::vector<std::string> Metrics(const std::string& chip) const;
  /// errors  Error{kInvalidArgument} for an unknown chip, for no metrics, and for one that the chip
  ///         or the device cannot count, naming it
  [[nodiscard]] CounterPlan Plan(const std::string& chip,
                                 const std::vector<std::string>& metrics,
                                 std::vector<std::uint8_t> availability = {}) const;
  /// Values of the plan's metrics, in its order, in range `range` of decoded counter data.
  [[nodiscard]] std::vector<double> Evaluate(const CounterPlan& plan,
                                             std::span<const std::uint8_t> counter_data,
                                             std::size_t range) const;

 private:
  struct Api;
  explicit CounterHost(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

/// Counts on the device of the calling thread's CUDA context, until it is destroyed. Other CUPTI
/// sessions of this process must have ended.
class RangeProfiler {
 public:
  /// errors  Error{kUnavailable}: no CUPTI, driver or context; counters that only administrators
  ///         may read, with what to do; another profiler; Error{kInvalidArgument} as
  ///         CounterHost::Plan
  static RangeProfiler Start(const std::vector<std::string>& metrics,
                             const std::string& cupti_library = "libcupti.so.13",
                             const std::string& cuda_library = "libcuda.so.1");
  ~RangeProfiler();
  RangeProfiler(RangeProfiler&&) noexcept;
  RangeProfiler& operator=(RangeProfiler&&) = delete;

  [[nodiscard]] const CounterPlan& plan() const;
  /// Runs `run`, which launches and synchronises, as one range, plan().passes times over.
  /// errors  Error{kUnavailable} with CUPTI's own words, also when a range's counts were dropped;
  ///         whatever run throws
  [[nodiscard]] std::map<std::string, double> Measure(const std::function<void()>& run);

 private:
  struct Impl;
  explicit RangeProfiler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbsp::runtime
