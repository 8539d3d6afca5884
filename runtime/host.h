// SPDX-License-Identifier: Apache-2.0
// Facts about the machine this process runs on (Linux).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dbsp::runtime {

[[nodiscard]] std::string HostName();
/// The processor's name as the kernel gives it, else the architecture.
[[nodiscard]] std::string CpuModel();
/// Cores this process may run on (its affinity), at least 1.
[[nodiscard]] int UsableCores();
/// Main memory of the machine in bytes, 0 when the kernel does not tell.
[[nodiscard]] std::int64_t MemoryBytes();
/// Frequency governor of the first usable core; nothing where the kernel exposes none.
[[nodiscard]] std::optional<std::string> CpuGovernor();
[[nodiscard]] std::string KernelRelease();

/// Value of the first "key : value" line of a /proc/cpuinfo-like text.
[[nodiscard]] std::optional<std::string> FieldOf(const std::string& text, const std::string& key);

}  // namespace dbsp::runtime
