// SPDX-License-Identifier: Apache-2.0
// Device memory of a trial, computed from its configuration. Suites use it to limit their calls,
// and a trial that does not fit fails before it allocates. Pure.
#pragma once

#include <cstdint>

#include "core/records.h"

namespace dbsp::profiler {

/// Q, K, V and O in bf16, the log-sum-exp, and the block lists with their order.
[[nodiscard]] std::int64_t DeviceBytes(const AttentionConfig& config);
/// One set of buffers of a pack or merge. Short ones are measured with several sets.
[[nodiscard]] std::int64_t DeviceBytes(const LocalConfig& config);

/// Number of heads in a pack's source tensor.
inline constexpr std::int64_t kPackHeads = 8;
/// Number of tokens in that tensor, a multiple of the block size.
[[nodiscard]] std::int64_t PackTokens(const LocalConfig& config);

}  // namespace dbsp::profiler
