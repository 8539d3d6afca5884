// SPDX-License-Identifier: Apache-2.0
// Device memory that a trial takes, from its configuration alone: suites stay below it, and a trial
// that does not fit says it before it allocates. Pure.
#pragma once

#include <cstdint>

#include "core/records.h"

namespace dbsp::profiler {

/// Q, K, V and O in bf16, log-sum-exp, and the lists with their order.
[[nodiscard]] std::int64_t DeviceBytes(const AttentionConfig& config);
/// One set of buffers of a pack or merge; short ones are measured over several sets.
[[nodiscard]] std::int64_t DeviceBytes(const LocalConfig& config);

/// Heads that lie side by side in the tensor which a pack is taken from.
inline constexpr std::int64_t kPackHeads = 8;
/// Tokens of that tensor, whole blocks, for bf16.
[[nodiscard]] std::int64_t PackTokens(const LocalConfig& config);

}  // namespace dbsp::profiler
