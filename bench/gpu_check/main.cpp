// SPDX-License-Identifier: Apache-2.0
// gpu_check: is what the GPU kernels compute right, and how fast are they, on the device at hand.
#include <cstdio>
#include <map>

#include "bench/gpu_check/context.h"
#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {

std::int64_t Context::RemainingNs() const { return deadline_ns - runtime::SteadyNs(); }

bool RunsHere(const kernels::gpu::Variant& variant, const Context& context) {
  try {
    kernels::gpu::CheckArch(variant, context.device.arch);
    return true;
  } catch (const Error&) {
    return false;  // Another device's kernel; `gpu_check list` names them all.
  }
}

std::vector<const kernels::gpu::Variant*> UsableVariants(const Context& context) {
  std::vector<const kernels::gpu::Variant*> usable;
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    if (std::string(variant.name).find(context.options.filter) == std::string::npos) continue;
    if (RunsHere(variant, context)) usable.push_back(&variant);
  }
  return usable;
}

namespace {

void PrintVariants() {
  std::vector<std::vector<std::string>> rows{
      {"kernel", "from", "query block", "key block", "tile", "threads", "shared bytes"}};
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    rows.push_back({variant.name,
                    fmt::format("{}.{}", variant.min_arch / 10, variant.min_arch % 10),
                    fmt::format("{}", variant.q_block),
                    fmt::format("{}", variant.k_block),
                    fmt::format("{}x{}", variant.tile_m, variant.tile_n),
                    fmt::format("{}", variant.threads),
                    fmt::format("{}", variant.shared_bytes)});
  }
  std::printf("%s", TableText(rows).c_str());
}

std::string Version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

void PrintDevice(const runtime::CudaDeviceFacts& device) {
  std::printf(
      "%s: compute capability %d.%d, %d multiprocessors, %.1f GiB, CUDA driver %s, runtime %s\n",
      device.name.c_str(),
      device.arch / 10,
      device.arch % 10,
      device.sm_count,
      static_cast<double>(device.memory_bytes) / (1024.0 * 1024.0 * 1024.0),
      Version(device.driver_version).c_str(),
      Version(device.runtime_version).c_str());
}

void WriteDevice(Context& context, const std::string& part) {
  const runtime::CudaDeviceFacts& device = context.device;
  context.results.Write(JsonLine()
                            .Add("part", "device")
                            .Add("for", part)
                            .Add("name", device.name)
                            .Add("arch", device.arch)
                            .Add("sm_count", device.sm_count)
                            .Add("memory_bytes", static_cast<std::int64_t>(device.memory_bytes))
                            .Add("l2_bytes", static_cast<std::int64_t>(device.l2_bytes))
                            .Add("sm_clock_khz", device.sm_clock_khz)
                            .Add("driver", Version(device.driver_version))
                            .Add("runtime", Version(device.runtime_version))
                            .Add("seed", static_cast<std::int64_t>(context.options.seed)));
}

/// Exit codes: 0, 1 something is wrong, kCutOff.
constexpr int kCutOff = 124;  // as timeout(1), which ends what does not end by itself

int RunPart(const std::string& part, const Options& options) {
  static const std::map<std::string, bool (*)(Context&)> kParts = {{"correct", CheckAttention},
                                                                   {"small", CheckAttentionSmall},
                                                                   {"speed", MeasureSpeed},
                                                                   {"curve", MeasureCurve},
                                                                   {"repeat", MeasureRepeats},
                                                                   {"serve", ServePeers}};
  const runtime::CudaDeviceFacts device = runtime::OpenCudaDevice(options.device);
  Context context{options,
                  device,
                  profiler::DeviceTimer(device),
                  Results(options.out, part),
                  runtime::SteadyNs() + options.budget_s * 1'000'000'000};
  WriteDevice(context, part);
  if (!kParts.at(part)(context)) return 1;
  if (context.cut_off) std::printf("%s: the time was up before all of it was done\n", part.c_str());
  return context.cut_off ? kCutOff : 0;
}

/// The kernels need no device to be listed; the device's absence is still the exit code.
int List(const Options& options) {
  PrintVariants();
  std::fflush(stdout);
  PrintDevice(runtime::OpenCudaDevice(options.device));
  return 0;
}

int Run(const std::vector<std::string>& arguments) {
  const Options options = ParseOptions(arguments);
  if (options.help) {
    std::printf("%s", HelpText());
    return 0;
  }
  int result = 0;
  for (const std::string& part : options.parts) {
    const int one = part == "list" ? List(options) : RunPart(part, options);
    if (result != 1 && one != 0) result = one;  // what is wrong outweighs what was cut off
  }
  return result;
}

}  // namespace
}  // namespace dbsp::gpu_check

int main(int argc, char** argv) {
  try {
    return dbsp::gpu_check::Run({argv + 1, argv + argc});
  } catch (const dbsp::Error& error) {
    const bool absent = error.code() == dbsp::ErrorCode::kUnavailable;
    std::fprintf(stderr, "gpu_check: %s%s\n", absent ? "unavailable: " : "error: ", error.what());
    return dbsp::ExitCode(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_check: internal: %s\n", error.what());
    return 4;
  }
}
