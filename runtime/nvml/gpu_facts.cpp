// SPDX-License-Identifier: Apache-2.0
#include "runtime/nvml/gpu_facts.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "runtime/nvml/nvml_api.h"

namespace dbsp::runtime {
namespace {

using internal::NvmlApi;
using internal::NvmlDevice;
using internal::NvmlPciInfo;
using Facts = std::map<std::string, std::string>;

constexpr int kMostLinks =
    36;  // NVML_NVLINK_MAX_LINKS is 18 on Hopper; a higher number is an error result
constexpr unsigned kSmClock = 1;  // NVML_CLOCK_SM
constexpr unsigned kMemoryClock = 2;  // NVML_CLOCK_MEM
constexpr int kEnabled = 1;  // NVML_FEATURE_ENABLED

class Gpu {
 public:
  Gpu(const NvmlApi& nvml, const std::string& pci) : nvml_(nvml), pci_(pci) {
    nvml_.Check(nvml_.device_by_pci(pci.c_str(), &device_), "nvmlDeviceGetHandleByPciBusId_v2");
  }

  [[nodiscard]] NvmlDevice get() const { return device_; }
  [[nodiscard]] const std::string& pci() const { return pci_; }

  /// The value that NVML's function `call` returns for this device; nothing when the driver does
  /// not have the function or the device does not have the value.
  template <typename Value, typename... Args>
  [[nodiscard]] std::optional<Value> Ask(const char* call, Args... args) const {
    auto* function = nvml_.library.TryGet<int(NvmlDevice, Args..., Value*)>(call);
    Value value{};
    if (function == nullptr || function(device_, args..., &value) != 0) return std::nullopt;
    return value;
  }

  /// "on" or "off", with the mode after a reboot if it differs: "on, off after reboot".
  [[nodiscard]] std::optional<std::string> Mode(const char* call) const {
    auto* function = nvml_.library.TryGet<int(NvmlDevice, int*, int*)>(call);
    int now = 0;
    int pending = 0;
    if (function == nullptr || function(device_, &now, &pending) != 0) return std::nullopt;
    const auto word = [](int mode) { return mode == kEnabled ? "on" : "off"; };
    if (now == pending) return word(now);
    return fmt::format("{}, {} after reboot", word(now), word(pending));
  }

  [[nodiscard]] std::optional<std::string> Text(const char* call) const {
    auto* function = nvml_.library.TryGet<int(NvmlDevice, char*, unsigned)>(call);
    char text[128] = {};
    if (function == nullptr || function(device_, text, sizeof(text) - 1) != 0) return std::nullopt;
    return text;
  }

  [[nodiscard]] bool LinkIsActive(unsigned link) const {
    return Ask<int>("nvmlDeviceGetNvLinkState", link) == kEnabled;
  }

  /// Number of active links; with `other`, of those that end at it.
  [[nodiscard]] std::optional<int> ActiveLinks(const Gpu* other = nullptr) const {
    if (!Ask<int>("nvmlDeviceGetNvLinkState", 0U)) return std::nullopt;
    int links = 0;
    for (unsigned link = 0; link < kMostLinks; ++link) {
      if (!LinkIsActive(link)) continue;
      if (other == nullptr || EndsAt(link, *other)) ++links;
    }
    return links;
  }

 private:
  [[nodiscard]] bool EndsAt(unsigned link, const Gpu& other) const {
    const auto far = Ask<NvmlPciInfo>("nvmlDeviceGetNvLinkRemotePciInfo_v2", link);
    const auto near = other.Ask<NvmlPciInfo>("nvmlDeviceGetPciInfo_v3");
    return far && near && far->domain == near->domain && far->bus == near->bus &&
           far->device == near->device;
  }

  const NvmlApi& nvml_;
  std::string pci_;
  NvmlDevice device_ = nullptr;
};

/// Text of nvmlClocksEventReasons.
std::string ClockEvents(unsigned long long reasons) {
  static constexpr std::pair<unsigned long long, const char*> kReasons[] = {
      {0x1, "idle"},
      {0x2, "application clocks"},
      {0x4, "power cap"},
      {0x8, "hardware slowdown"},
      {0x10, "sync boost"},
      {0x20, "thermal slowdown"},
      {0x40, "hardware thermal slowdown"},
      {0x80, "power brake"},
      {0x100, "display clocks"}};
  std::string text;
  for (const auto& [bit, words] : kReasons) {
    if ((reasons & bit) != 0) text += (text.empty() ? "" : ", ") + std::string(words);
  }
  return text.empty() ? "none" : text;
}

/// Text of nvmlGpuP2PStatus_t.
const char* P2pStatus(int status) {
  switch (status) {
    case 0:
      return "ok";
    case 1:
      return "chipset not supported";
    case 2:
      return "device not supported";
    case 3:
      return "not through this topology";
    case 4:
      return "disabled";
    case 5:
      return "not supported";
    default:
      return "unknown";
  }
}

template <typename Value>
void Put(Facts& facts, const char* name, const std::optional<Value>& value) {
  if (value) facts[name] = fmt::format("{}", *value);
}

std::optional<double> Watts(const std::optional<unsigned>& milliwatts) {
  if (!milliwatts) return std::nullopt;
  return *milliwatts / 1000.0;
}

std::string LinkText(const Gpu& a, const Gpu& b) {
  std::string text;
  constexpr std::pair<int, const char*> kCapabilities[] = {
      {0, "read"}, {1, "write"}, {2, "nvlink"}};  // nvmlGpuP2PCapsIndex_t
  for (const auto& [index, name] : kCapabilities) {
    const auto status = a.Ask<int>("nvmlDeviceGetP2PStatus", b.get(), index);
    if (status) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, P2pStatus(*status));
  }
  if (const auto links = a.ActiveLinks(&b)) {
    text += fmt::format("{}{} direct links", text.empty() ? "" : ", ", *links);
  }
  return text;
}

}  // namespace

Facts GpuFacts(const std::string& pci, const std::string& library) {
  const NvmlApi nvml(library);
  const Gpu gpu(nvml, pci);
  Facts facts;
  Put(facts, "gpu_vbios", gpu.Text("nvmlDeviceGetVbiosVersion"));
  Put(facts, "gpu_ecc", gpu.Mode("nvmlDeviceGetEccMode"));
  Put(facts, "gpu_mig", gpu.Mode("nvmlDeviceGetMigMode"));
  const auto clock = [&](const char* name, const char* call, unsigned which) {
    Put(facts, name, gpu.Ask<unsigned>(call, which));
  };
  clock("gpu_sm_clock_mhz", "nvmlDeviceGetClockInfo", kSmClock);
  clock("gpu_memory_clock_mhz", "nvmlDeviceGetClockInfo", kMemoryClock);
  clock("gpu_sm_clock_max_mhz", "nvmlDeviceGetMaxClockInfo", kSmClock);
  clock("gpu_memory_clock_max_mhz", "nvmlDeviceGetMaxClockInfo", kMemoryClock);
  clock("gpu_sm_clock_application_mhz", "nvmlDeviceGetApplicationsClock", kSmClock);
  Put(facts, "gpu_power_limit_w", Watts(gpu.Ask<unsigned>("nvmlDeviceGetEnforcedPowerLimit")));
  Put(facts,
      "gpu_power_limit_default_w",
      Watts(gpu.Ask<unsigned>("nvmlDeviceGetPowerManagementDefaultLimit")));
  Put(facts, "gpu_temperature_c", gpu.Ask<unsigned>("nvmlDeviceGetTemperature", 0));
  auto events = gpu.Ask<unsigned long long>("nvmlDeviceGetCurrentClocksEventReasons");
  // Before driver 535 the function had this name.
  if (!events) events = gpu.Ask<unsigned long long>("nvmlDeviceGetCurrentClocksThrottleReasons");
  if (events) facts["gpu_clock_events"] = ClockEvents(*events);
  Put(facts, "gpu_nvlinks", gpu.ActiveLinks());
  return facts;
}

Facts GpuLinks(const std::vector<std::string>& pcis, const std::string& library) {
  const NvmlApi nvml(library);
  std::vector<Gpu> gpus;
  for (const std::string& pci : pcis) gpus.emplace_back(nvml, pci);
  Facts facts;
  for (std::size_t a = 0; a < gpus.size(); ++a) {
    for (std::size_t b = a + 1; b < gpus.size(); ++b) {
      const std::string text = LinkText(gpus[a], gpus[b]);
      if (!text.empty()) facts[fmt::format("gpu_link_{}_{}", a, b)] = text;
    }
  }
  return facts;
}

}  // namespace dbsp::runtime
