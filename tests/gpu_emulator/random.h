// SPDX-License-Identifier: Apache-2.0
// Random numbers of the emulator. Equal seeds give equal runs on every platform.
#pragma once

#include <cstdint>

namespace dbsp::kernels::gpu::isa::emulator {

/// source  Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64)
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  /// In 0..bound-1. The bias of the multiplication is below 2^-32 for the bounds used here.
  std::uint64_t Below(std::uint64_t bound) { return ((Next() >> 32U) * bound) >> 32U; }
  bool OneIn(int n) { return n > 0 && Below(static_cast<std::uint64_t>(n)) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace dbsp::kernels::gpu::isa::emulator
