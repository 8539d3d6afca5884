// SPDX-License-Identifier: Apache-2.0
// Exchanges of floats in tests: communicators take bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::testing {

/// `floats` is a vector or an array of float.
template <typename Floats>
std::span<const std::byte> Sent(const Floats& floats) {
  return std::as_bytes(std::span(floats));
}
template <typename Floats>
std::span<std::byte> Received(Floats& floats) {
  return std::as_writable_bytes(std::span(floats));
}

/// Counts or offsets of floats, in bytes.
inline std::vector<std::int64_t> InBytes(std::vector<std::int64_t> floats) {
  for (std::int64_t& count : floats) count *= static_cast<std::int64_t>(sizeof(float));
  return floats;
}

}  // namespace dbsp::testing
