// SPDX-License-Identifier: Apache-2.0
// bf16 on the host: the upper half of an fp32.
#pragma once

#include <bit>
#include <cstdint>

namespace dbsp::replay {

/// Rounds to nearest, ties to even. requires a finite value
[[nodiscard]] constexpr std::uint16_t ToBf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

[[nodiscard]] constexpr float FromBf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

}  // namespace dbsp::replay
