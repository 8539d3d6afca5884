// SPDX-License-Identifier: Apache-2.0
// Facts about the machine this process runs on (Linux).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dbsp::runtime {

[[nodiscard]] std::string HostName();
/// Identifies this running system: the kernel's boot id (or the host name without one) and the
/// network namespace, which differs between containers of one machine.
[[nodiscard]] std::string HostId();
/// The processor's name as the kernel reports it, or the architecture without one.
[[nodiscard]] std::string CpuModel();
/// Cores this process may run on (its affinity), at least 1.
[[nodiscard]] int UsableCores();
/// Main memory of the machine in bytes; 0 when the kernel does not report it.
[[nodiscard]] std::int64_t MemoryBytes();
/// Frequency governor of the first usable core; nothing when the kernel exposes none.
[[nodiscard]] std::optional<std::string> CpuGovernor();
[[nodiscard]] std::string KernelRelease();

/// Value of the first "key : value" line of a /proc/cpuinfo-like text.
[[nodiscard]] std::optional<std::string> FieldOf(const std::string& text, const std::string& key);

}  // namespace dbsp::runtime
