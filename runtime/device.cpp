// SPDX-License-Identifier: Apache-2.0
#include "runtime/device.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "build_config.h"
#include "core/cli.h"
#include "core/error.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cupti/cupti_library.h"
#include "runtime/host.h"
#include "runtime/nccl/nccl_library.h"
#include "runtime/nvml/gpu_facts.h"
#include "runtime/nvml/nvml_library.h"

namespace dbsp::runtime {
namespace {

/// Adds the versions of the installed vendor libraries. An absent library adds nothing. Without a
/// driver nothing can use the other libraries, so they are not searched.
void AddVendorFacts(std::map<std::string, std::string>& extra) {
  const auto add = [&](const char* name, const std::optional<std::string>& version) {
    if (version) extra[name] = *version;
  };
  const std::optional<std::string> driver = CudaDriver::InstalledVersion();
  add("cuda_driver", driver);
  if (driver) {
    add("nvml_driver", NvmlLibrary::InstalledVersion());
    add("nccl_runtime", NcclLibrary::InstalledVersion());
    add("cupti_runtime", CuptiLibrary::InstalledVersion());
  }
  add("cuda_header", CudaDriver::HeaderVersion());
  add("nccl_header", NcclLibrary::HeaderVersion());
  add("cupti_header", CuptiLibrary::HeaderVersion());
  // NCCL reads its algorithm, protocol and channels from these, so measurements depend on them.
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const std::size_t equals = text.find('=');
    if (!text.starts_with("NCCL_") || equals == std::string_view::npos) continue;
    extra[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
}

/// Adds the GPU's properties and its links to the other visible GPUs. Without NVML it adds NVML's
/// error text instead, so that a reader sees why clocks and limits are missing.
void AddGpuFacts(const CudaDriver& driver, int index, Provenance& facts) {
  facts.device_name = driver.device_name(index);
  facts.device_uuid = driver.device_uuid(index);
  facts.extra["gpu_pci"] = driver.device_pci(index);
  facts.extra["gpu_index"] = fmt::format("{}", index);
  std::vector<std::string> pcis;
  for (int i = 0; i < driver.device_count(); ++i) pcis.push_back(driver.device_pci(i));
  try {
    facts.extra.merge(GpuFacts(pcis[index]));
    facts.extra.merge(GpuLinks(pcis));
  } catch (const Error& error) {
    facts.extra["nvml"] = error.what();
  }
}

}  // namespace

DeviceSpec ParseDevice(const std::string& text) {
  if (text == "cpu") return {DeviceKind::kCpu, 0};
  if (text == "cuda") return {DeviceKind::kCuda, 0};
  constexpr std::string_view kPrefix = "cuda:";
  if (text.starts_with(kPrefix)) {
    int index = -1;
    const char* begin = text.data() + kPrefix.size();
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, index);
    if (error == std::errc() && stop == end && index >= 0 && *begin != '-') {
      return {DeviceKind::kCuda, index};
    }
  }
  Fail(ErrorCode::kInvalidArgument,
       "--device '{}': expected cpu, cuda or cuda:N with N counted from 0",
       text);
}

Provenance CollectProvenance(const DeviceSpec& device, int argc, const char* const* argv) {
  Provenance facts;
  facts.device_kind = device.kind == DeviceKind::kCpu ? "cpu" : "cuda";
  facts.host = HostName();
  facts.cores = UsableCores();
  facts.memory_bytes = MemoryBytes();
  facts.compiler = DBSP_COMPILER;
  facts.build_type = DBSP_BUILD_TYPE;
  facts.git_commit = BuildCommit();
  facts.git_dirty = BuildDirty();
  facts.version = DBSP_VERSION;
  facts.argv.assign(argv, argv + argc);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  facts.started_utc = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
  facts.extra["cpu"] = CpuModel();
  facts.extra["governor"] = CpuGovernor().value_or("not exposed by this system");
  facts.extra["kernel"] = KernelRelease();
  if (std::string_view(DBSP_SANITIZE) != "") facts.extra["sanitizer"] = DBSP_SANITIZE;
  AddVendorFacts(facts.extra);
  if (device.kind == DeviceKind::kCpu) {
    facts.device_name = facts.extra["cpu"];
  } else {
    AddGpuFacts(CudaDriver::Load(), device.index, facts);
  }
  return facts;
}

std::optional<std::string> WarningOf(const Provenance& machine) {
  const auto mig = machine.extra.find("gpu_mig");
  if (mig == machine.extra.end() || !mig->second.starts_with("on")) return std::nullopt;
  return fmt::format(
      "warning: MIG is on: {} is a part of a GPU and shares links and clocks with the other parts; "
      "times are of this part only, and NCCL and counters may refuse it",
      machine.device_name);
}

}  // namespace dbsp::runtime
