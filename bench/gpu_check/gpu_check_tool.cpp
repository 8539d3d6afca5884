// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/gpu_check_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bench/gpu_check/context.h"
#include "core/cli.h"
#include "core/error.h"
#include "core/output.h"
#include "core/stop_signals.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {
namespace {

std::string VariantsText() {
  std::vector<std::vector<std::string>> rows{
      {"kernel", "from", "query block", "key block", "tile", "threads", "shared bytes"}};
  for (const kernels::gpu::Variant& variant : kernels::gpu::AllVariants()) {
    rows.push_back({variant.name,
                    fmt::format("{}.{}", variant.min_arch / 10, variant.min_arch % 10),
                    fmt::format("{}", variant.q_block),
                    fmt::format("{}", variant.k_block),
                    fmt::format("{}x{}", variant.tile_m, variant.tile_n),
                    fmt::format("{}", variant.threads),
                    fmt::format("{}", variant.shared_bytes)});
  }
  return TableText(rows);
}

/// "13.0" for 13000, as the CUDA driver and runtime number their versions.
std::string CudaVersion(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string DeviceText(const runtime::CudaDeviceFacts& device) {
  return fmt::format(
      "{}: compute capability {}.{}, {} multiprocessors, {:.1f} GiB, CUDA driver {}, runtime {}\n",
      device.name,
      device.arch / 10,
      device.arch % 10,
      device.sm_count,
      static_cast<double>(device.memory_bytes) / (1024.0 * 1024.0 * 1024.0),
      CudaVersion(device.driver_version),
      CudaVersion(device.runtime_version));
}

/// The first line that every part writes.
Json DeviceLine(const std::string& part, const Context& context) {
  const runtime::CudaDeviceFacts& device = context.device;
  return {{"part", "device"},
          {"for", part},
          {"name", device.name},
          {"arch", device.arch},
          {"sm_count", device.sm_count},
          {"memory_bytes", device.memory_bytes},
          {"l2_bytes", device.l2_bytes},
          {"sm_clock_khz", device.sm_clock_khz},
          {"driver", CudaVersion(device.driver_version)},
          {"runtime", CudaVersion(device.runtime_version)},
          {"seed", context.options.seed}};
}

/// errors  Error{kUnavailable} "unavailable: ..." with the reason
runtime::CudaDeviceFacts OpenDevice(const Options& options) {
  try {
    return runtime::OpenCudaDevice(options.device);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) throw;
    Fail(ErrorCode::kUnavailable, "unavailable: {}", error.what());
  }
}

/// Prints the kernels even where there is no device; a missing device still fails the part.
int ListKernels(const Options& options) {
  WriteStdout(VariantsText());
  WriteStdout(DeviceText(OpenDevice(options)));
  return 0;
}

/// The exact names for --filter =NAME, in the order in which they are worth checking.
int PrintNames(const Options& options) {
  const runtime::CudaDeviceFacts device = OpenDevice(options);
  std::vector<std::string> names;
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    if (kernels::gpu::RunsOn(variant, device.arch)) names.emplace_back(variant.name);
  }
  names.insert(names.end(), CheckNames().begin(), CheckNames().end());
  for (const std::string& name : names) {
    if (FilterMatches(options, name)) WriteStdout(name + "\n");
  }
  return 0;
}

int RunPart(const std::string& part, const Options& options) {
  static const std::map<std::string, bool (*)(Context&)> kParts = {{"correct", CheckAttention},
                                                                   {"small", CheckAttentionSmall},
                                                                   {"speed", MeasureSpeed},
                                                                   {"curve", MeasureCurve},
                                                                   {"repeat", MeasureRepeats},
                                                                   {"serve", ServePeers}};
  if (part == "list") return ListKernels(options);
  if (part == "names") return PrintNames(options);
  const runtime::CudaDeviceFacts device = OpenDevice(options);
  Context context{options,
                  device,
                  profiler::DeviceTimer(device),
                  Results(options.out, part),
                  runtime::SteadyNs() + options.budget_s * 1'000'000'000};
  context.results.Write(DeviceLine(part, context));
  if (!kParts.at(part)(context)) return 1;
  if (!context.cut_off) return 0;
  WriteStdout(fmt::format("{}: the budget ended before the part was done\n", part));
  return kExitCutOff;
}

/// One file for each part, checked before the first part runs.
std::vector<OutputPath> ResultFiles(const Options& options) {
  std::vector<OutputPath> files;
  for (const std::string& part : std::set(options.parts.begin(), options.parts.end())) {
    if (part == "list" || part == "names") continue;
    files.push_back(
        {"--out", std::filesystem::path(options.out) / (part + ".jsonl"), FileUse::kFile, true});
  }
  return files;
}

/// Runs every part, also after a wrong one. A wrong result outweighs a part that was cut off.
int RunParts(const Options& options) {
  CheckParts(options);
  ApplySelection(options);
  if (const std::string note = kernels::gpu::SkippedKernelsNote(); !note.empty()) Progress(note);
  const OpenOutputs open = CheckOutputs(ResultFiles(options), {});
  SayKept("finished results are kept");
  int exit_code = 0;
  for (const std::string& part : options.parts) {
    const int part_code = RunPart(part, options);
    if (exit_code != 1 && part_code != 0) exit_code = part_code;
  }
  return exit_code;
}

}  // namespace

int GpuCheckMain(int argc, const char* const* argv) {
  CLI::App app("Compares the results of this build's GPU kernels with fp64 and times the kernels",
               "gpu_check");
  Options options;
  AddOptions(app, options);
  return RunTool(app, argc, argv, [&] { return RunParts(options); });
}

}  // namespace dbsp::gpu_check
