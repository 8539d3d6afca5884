// SPDX-License-Identifier: Apache-2.0
// bfloat16 on the host: the upper half of a float.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace dbsp {

inline constexpr std::int64_t kBf16Bytes = 2;

[[nodiscard]] inline float FromBf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// The nearest bf16, ties to even. Every NaN becomes 0x7FFF.
[[nodiscard]] inline std::uint16_t ToBf16(float value) {
  if (std::isnan(value)) return 0x7FFF;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

}  // namespace dbsp
