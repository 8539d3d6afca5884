// SPDX-License-Identifier: Apache-2.0
// Unit constants. 1 GB = 1e9 bytes everywhere.
#pragma once

#include <cstdint>

namespace dbsp {

inline constexpr double kNsPerUs = 1e3;
inline constexpr double kNsPerMs = 1e6;
inline constexpr double kNsPerSecond = 1e9;
inline constexpr double kBytesPerGb = 1e9;

[[nodiscard]] constexpr double ToMs(std::int64_t ns) { return static_cast<double>(ns) / kNsPerMs; }

/// Floating-point operations of `pairs` active (query, key) pairs: a pair takes head_dim
/// multiply-adds in QK^T and in PV, of two operations each.
[[nodiscard]] constexpr double AttentionFlops(std::int64_t pairs, int head_dim) {
  return 4.0 * static_cast<double>(pairs) * head_dim;
}

}  // namespace dbsp
