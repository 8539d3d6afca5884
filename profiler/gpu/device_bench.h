// SPDX-License-Identifier: Apache-2.0
// Measures attention and local work on a CUDA device.
//
// Attention is timed with a cold L2 cache ("cuda.events.cold"), because in a replay the K and V of
// a call were just received and are larger than the cache. Packs and merges are timed in batches
// ("cuda.events.batched"), because they are short and a single one would be close to an event's
// resolution of half a microsecond. A batch uses several sets of buffers in turn, so that small
// buffers are in the cache and large ones are not, as in a replay.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/counter_record.h"
#include "core/records.h"
#include "kernels/gpu/gpu_variants.h"
#include "profiler/gpu/device_measure.h"
#include "profiler/gpu/device_timer.h"
#include "profiler/gpu/device_values.h"
#include "profiler/measure.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/device.h"

namespace dbsp::profiler {

struct DeviceBenchOptions {
  DeviceLimits limits = {};  ///< budget_ns is not used; every trial has its own
  std::span<const kernels::gpu::Variant> kernels = kernels::gpu::Variants();
  /// PCI address "0000:17:00.0", to ask NVML why the clock is low. OpenBench() sets it.
  std::string pci = {};
  bool counters = false;  ///< whether callers should also call Count()
};

/// nvbench's criteria for noise and clocks, with 0.1 s of samples per trial for the suite "quick"
/// and 0.3 s for others. A quick suite of a hundred trials takes about a minute.
[[nodiscard]] DeviceLimits LimitsOf(const std::string& suite);

/// Name of the method by which DeviceBench times a configuration, for Trial::method.
[[nodiscard]] const char* DeviceMethod(const TrialConfig& config);

/// threads  one thread, on which the device is current
class DeviceBench {
 public:
  /// errors  Error{kUnavailable}: no memory for the buffer that clears the cache
  explicit DeviceBench(const runtime::CudaDeviceFacts& device, DeviceBenchOptions options = {});

  [[nodiscard]] const runtime::CudaDeviceFacts& device() const { return device_; }
  [[nodiscard]] bool counters() const { return options_.counters; }

  /// stop_reason is "interrupted" after an interrupt; there are then no samples.
  /// errors  WrongResult when a result is wrong; Error{kNotFound} for an
  ///         unknown kernel, Error{kInvalidArgument} for one that does not take the configuration;
  ///         Error{kUnavailable} when the device does not run the kernel,
  ///         or has too little memory, naming what is needed; Error{kMeasurement} as DeviceTimer
  [[nodiscard]] Measurement Measure(const AttentionConfig& config,
                                    const MeasureLimits& limits,
                                    const std::function<bool()>& interrupted);
  [[nodiscard]] Measurement Measure(const LocalConfig& config,
                                    const MeasureLimits& limits,
                                    const std::function<bool()>& interrupted);

  /// Hardware counters of one separate launch, which is never a timed one. Source "none" with the
  /// reason when no counters are available.
  /// errors  as Measure
  [[nodiscard]] CounterRecord Count(const AttentionConfig& config);

 private:
  [[nodiscard]] const kernels::gpu::Variant& Find(const std::string& kernel) const;
  void RequireMemory(std::int64_t bytes, const char* what) const;
  [[nodiscard]] Measurement Sample(const std::function<DeviceReading()>& sample,
                                   const MeasureLimits& limits,
                                   const std::function<bool()>& interrupted) const;
  [[nodiscard]] std::string SlowSamplesText(const DeviceMeasurement& measured) const;

  runtime::CudaDeviceFacts device_;
  DeviceBenchOptions options_;
  DeviceTimer timer_;
  DeviceValues values_;
};

/// The device, opened and made current for this thread.
/// errors  Error{kUnavailable} "--device cuda: unavailable: ..." with the reason
[[nodiscard]] std::shared_ptr<DeviceBench> OpenBench(const runtime::DeviceSpec& device,
                                                     DeviceBenchOptions options);

}  // namespace dbsp::profiler
