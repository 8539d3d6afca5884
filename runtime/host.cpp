// SPDX-License-Identifier: Apache-2.0
#include "runtime/host.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace dbsp::runtime {
namespace {

std::optional<std::string> ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Trimmed(const std::string& text) {
  const char* blanks = " \t\r\n";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

utsname SystemNames() {
  utsname names{};
  uname(&names);  // fails only for an invalid pointer
  return names;
}

int FirstUsableCore() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) return core;
    }
  }
  return 0;
}

}  // namespace

std::optional<std::string> FieldOf(const std::string& text, const std::string& key) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(at, end - at);
    const auto colon = line.find(':');
    if (colon != std::string::npos && Trimmed(line.substr(0, colon)) == key) {
      return Trimmed(line.substr(colon + 1));
    }
    at = end + 1;
  }
  return std::nullopt;
}

std::string HostName() { return SystemNames().nodename; }
std::string HostId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  if (id.empty()) id = HostName();
  std::error_code absent;
  const auto network = std::filesystem::read_symlink("/proc/self/ns/net", absent);
  return absent ? id : id + " " + network.string();
}
std::string KernelRelease() { return SystemNames().release; }

std::string CpuModel() {
  const std::string text = ReadText("/proc/cpuinfo").value_or("");
  for (const char* key : {"model name", "Model", "cpu model"}) {
    const auto value = FieldOf(text, key);
    if (value && !value->empty()) return *value;
  }
  return SystemNames().machine;
}

int UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  const long online = sysconf(_SC_NPROCESSORS_ONLN);  // more cores than cpu_set_t holds
  return online > 0 ? static_cast<int>(online) : 1;
}

std::int64_t MemoryBytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::int64_t>(pages) * page : 0;
}

std::optional<std::string> CpuGovernor() {
  const auto text = ReadText(
      fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor", FirstUsableCore()));
  if (!text || Trimmed(*text).empty()) return std::nullopt;
  return Trimmed(*text);
}

}  // namespace dbsp::runtime
