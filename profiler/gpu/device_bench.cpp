// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "profiler/gpu/device_attention.h"
#include "profiler/gpu/device_bytes.h"
#include "profiler/gpu/device_local.h"
#include "runtime/clock.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cupti/counters.h"
#include "runtime/nvml/gpu_facts.h"

namespace dbsp::profiler {
namespace {

using kernels::gpu::Variant;

/// Least time of a batch: four hundred times the resolution of an event.
constexpr double kBatchNs = 200'000;
constexpr int kMostLaunches = 256;
constexpr int kMostSets = 8;
constexpr double kBytesPerGb = 1e9;

void Join(std::string& text, const std::string& more) {
  if (!text.empty() && !more.empty()) text += "; ";
  text += more;
}

}  // namespace

DeviceLimits LimitsOf(const std::string& suite) {
  const bool quick = suite == "quick";
  DeviceLimits limits;
  limits.min_time_ns = quick ? 100'000'000 : 300'000'000;
  limits.max_time_ns = quick ? 1'000'000'000 : 3'000'000'000;
  return limits;
}

const char* DeviceMethod(const TrialConfig& config) {
  return std::holds_alternative<AttentionConfig>(config) ? "cuda.events.cold"
                                                         : "cuda.events.batched";
}

DeviceBench::DeviceBench(const runtime::CudaDeviceFacts& device, DeviceBenchOptions options)
    : device_(device), options_(std::move(options)), timer_(device) {}

const Variant& DeviceBench::Find(const std::string& kernel) const {
  for (const Variant& variant : options_.kernels) {
    if (kernel == variant.name) {
      kernels::gpu::CheckArch(variant, device_.arch);
      return variant;
    }
  }
  const std::vector<std::string> skipped = kernels::gpu::SkippedKernels();
  if (std::ranges::find(skipped, kernel) != skipped.end()) {
    return kernels::gpu::VariantNamed(kernel);  // throws the error for a kernel that is left out
  }
  Fail(ErrorCode::kNotFound,
       "there is no GPU kernel '{}'; 'gpu_check list' prints all kernels",
       kernel);
}

void DeviceBench::RequireMemory(std::int64_t bytes, const char* what) const {
  const std::size_t free = runtime::CudaMemory().free;
  if (static_cast<std::size_t>(bytes) <= free) return;
  Fail(ErrorCode::kUnavailable,
       "{} need {:.3f} GB of device memory, but {:.3f} GB are free; use a smaller shape or a "
       "device without other programs",
       what,
       static_cast<double>(bytes) / kBytesPerGb,
       static_cast<double>(free) / kBytesPerGb);
}

std::string DeviceBench::SlowSamplesText(const DeviceMeasurement& measured) const {
  if (measured.slow_ns.empty() && measured.slow_kept == 0) return "";
  const std::string clock = fmt::format("clock below {:.0f}% of {} MHz",
                                        100 * options_.limits.min_clock_ratio,
                                        device_.sm_clock_khz / 1000);
  std::string words;
  if (!measured.slow_ns.empty()) {
    words = fmt::format("{} samples discarded: {}", measured.slow_ns.size(), clock);
  }
  if (measured.slow_kept > 0) {
    Join(words, fmt::format("{} samples kept although the {}", measured.slow_kept, clock));
  }
  if (options_.pci.empty()) return words;
  try {
    const auto facts = runtime::GpuFacts(options_.pci);
    const auto events = facts.find("gpu_clock_events");
    if (events != facts.end()) words += fmt::format("; reasons from NVML: {}", events->second);
  } catch (const Error& error) {
    words += fmt::format("; the reason is unknown: {}", error.what());
  }
  return words;
}

Measurement DeviceBench::Sample(const std::function<DeviceReading()>& sample,
                                const MeasureLimits& limits,
                                const std::function<bool()>& interrupted) const {
  DeviceLimits mine = options_.limits;
  mine.budget_ns = std::max<std::int64_t>(
      0, std::min(limits.budget_ns, limits.deadline_ns - runtime::SteadyNs()));
  const DeviceMeasurement series =
      MeasureInTurns(mine, {{"trial", sample}}, runtime::SteadyNs, interrupted).front();
  if (series.stop_reason == "interrupted") return {.stop_reason = series.stop_reason};
  Measurement result{.warmups = 1,
                     .discarded = static_cast<std::int64_t>(series.slow_ns.size()),
                     .stop_reason = series.stop_reason,
                     .detail = SlowSamplesText(series)};
  for (const double ns : series.samples_ns) {
    result.samples_ns.push_back(std::max<std::int64_t>(std::llround(ns), 1));
  }
  return result;
}

Measurement DeviceBench::Measure(const AttentionConfig& config,
                                 const MeasureLimits& limits,
                                 const std::function<bool()>& interrupted) {
  const Variant& variant = Find(config.kernel);
  RequireMemory(DeviceBytes(config), "Q, K, V, O and lists");
  const DeviceAttention attention(config, variant, values_, timer_.stream());
  const DeviceWork work = [&](void*) { attention.Launch(); };
  timer_.WarmUp(work, variant.name);
  Measurement measured =
      Sample([&] { return timer_.Cold(work, variant.name); }, limits, interrupted);
  if (measured.stop_reason == "interrupted") return measured;
  if (const auto problem = attention.Problem()) throw WrongResult(*problem);
  return measured;
}

Measurement DeviceBench::Measure(const LocalConfig& config,
                                 const MeasureLimits& limits,
                                 const std::function<bool()>& interrupted) {
  const std::int64_t bytes = std::max<std::int64_t>(DeviceBytes(config), 1);
  RequireMemory(bytes, "the buffers");
  const auto wanted = 2 * static_cast<std::int64_t>(device_.l2_bytes) / bytes;
  const int sets = static_cast<int>(std::clamp<std::int64_t>(wanted, 1, kMostSets));
  const auto local = MakeDeviceLocal(config, sets, values_, timer_.stream());
  int launches = 0;
  const DeviceWork work = [&](void*) { local->Launch(launches++ % local->sets()); };
  for (int set = 0; set < sets; ++set) timer_.WarmUp(work, config.op.c_str());
  const double once = std::max(timer_.Batched(work, sets, config.op.c_str()).duration_ns, 1.0);
  const int rounds = static_cast<int>(
      std::clamp(std::ceil(kBatchNs / (once * sets)), 1.0, double{kMostLaunches} / sets));
  const int count = rounds * sets;
  Measurement measured =
      Sample([&] { return timer_.Batched(work, count, config.op.c_str()); }, limits, interrupted);
  if (measured.stop_reason == "interrupted") return measured;
  measured.warmups = 2 * sets;
  Join(measured.detail,
       fmt::format("each sample is the mean of {} launches over {} sets of buffers", count, sets));
  if (const auto problem = local->Problem()) throw WrongResult(*problem);
  return measured;
}

CounterRecord DeviceBench::Count(const AttentionConfig& config) {
  const Variant& variant = Find(config.kernel);
  RequireMemory(DeviceBytes(config), "Q, K, V, O and lists");
  const DeviceAttention attention(config, variant, values_, timer_.stream());
  const DeviceWork work = [&](void*) { attention.Launch(); };
  timer_.WarmUp(work, variant.name);
  runtime::CounterReading reading = runtime::ReadCounters({.device = device_.index}, [&] {
    attention.Launch();
    timer_.stream().Synchronize(variant.name);
  });
  CounterRecord record{runtime::NameOf(reading.source), std::move(reading.why), {}};
  // A metric without a finite value, such as a ratio to zero cycles, is left out.
  for (const auto& [name, value] : reading.values) {
    if (std::isfinite(value)) record.values.emplace(name, value);
  }
  return record;
}

std::shared_ptr<DeviceBench> OpenBench(const runtime::DeviceSpec& device,
                                       DeviceBenchOptions options) {
  try {
    const runtime::CudaDeviceFacts facts = runtime::OpenCudaDevice(device.index);
    options.pci = runtime::CudaDriver::Load().device_pci(device.index);
    return std::make_shared<DeviceBench>(facts, std::move(options));
  } catch (const Error& error) {
    const std::string index = device.index == 0 ? "" : fmt::format(":{}", device.index);
    Fail(error.code(), "--device cuda{}: unavailable: {}", index, error.what());
  }
}

}  // namespace dbsp::profiler
