// SPDX-License-Identifier: Apache-2.0
// Measures attention and local work on a CUDA device.
//
// Attention is timed cold ("cuda.events.cold"): in a replay the K and V of a call have just come
// from other ranks and are more than the second-level cache holds, and the previous call's are of
// no use. Packs and merges are timed batched ("cuda.events.batched") over sets of buffers that take
// turns: they are short, so one by one the event's half microsecond would count, and small ones
// find in the cache what was just received or computed, as in a replay; large ones do not.
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
  DeviceLimits limits = {};  ///< budget_ns is the trial's own
  std::span<const kernels::gpu::Variant> kernels = kernels::gpu::Variants();
  /// Of the device, "0000:17:00.0", to ask NVML why its clock is low; OpenBench fills it in.
  std::string pci = {};
  bool counters = false;  ///< whoever runs trials is to ask for Count() too
};

/// Limits under which a suite of a hundred trials takes about a minute: nvbench's criteria of noise
/// and clocks with a tenth of a second of samples ("quick"), or three tenths.
[[nodiscard]] DeviceLimits LimitsOf(const std::string& suite);

/// How DeviceBench times a configuration, for Trial::method.
[[nodiscard]] const char* DeviceMethod(const TrialConfig& config);

/// threads  one thread, on which the device is current
class DeviceBench {
 public:
  /// errors  Error{kUnavailable}: no memory for the buffer that clears the cache
  explicit DeviceBench(const runtime::CudaDeviceFacts& device, DeviceBenchOptions options = {});

  [[nodiscard]] const runtime::CudaDeviceFacts& device() const { return device_; }
  [[nodiscard]] bool counters() const { return options_.counters; }

  /// stop_reason "interrupted" when `interrupted` said so: then there is nothing to store.
  /// errors  WrongResult when the results are not what they should be; Error{kNotFound} for an
  ///         unknown kernel, Error{kInvalidArgument} for one that does not take the configuration;
  ///         Error{kUnavailable} when the device does not run the kernel,
  ///         or has too little memory, naming what is needed; Error{kMeasurement} as DeviceTimer
  [[nodiscard]] Measurement Measure(const AttentionConfig& config,
                                    const MeasureLimits& limits,
                                    const std::function<bool()>& interrupted);
  [[nodiscard]] Measurement Measure(const LocalConfig& config,
                                    const MeasureLimits& limits,
                                    const std::function<bool()>& interrupted);

  /// Hardware counters of one launch, in a pass of its own: a measured time is never of a counted
  /// run. Source "none" with the reason where they cannot be had.
  /// errors  as Measure
  [[nodiscard]] CounterRecord Count(const AttentionConfig& config);

 private:
  [[nodiscard]] const kernels::gpu::Variant& Find(const std::string& kernel) const;
  void RequireMemory(std::int64_t bytes, const char* what) const;
  [[nodiscard]] Measurement Sample(const std::function<DeviceReading()>& sample,
                                   const MeasureLimits& limits,
                                   const std::function<bool()>& interrupted) const;
  [[nodiscard]] std::string SlowWords(const DeviceMeasurement& measured) const;

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
