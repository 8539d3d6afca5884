// SPDX-License-Identifier: Apache-2.0
// Seeded numbers that are the same on every machine and in every release. Masks from a seed are
// part of a workload's identity, so distributions of the standard library, which may change, are
// not used.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace dbsp::planner {

/// SplitMix64 (Steele, Lea, Flood 2014): one 64-bit state, full period.
class Prng {
 public:
  explicit Prng(std::uint64_t state) : state_(state) {}
  /// A separate stream for every list of parts.
  Prng(std::initializer_list<std::uint64_t> parts) : state_(0) {
    for (const std::uint64_t part : parts) state_ = Mix(state_ + kStep + Mix(part + kStep));
  }
  std::uint64_t Next() { return Mix(state_ += kStep); }
  /// Uniform in [0, bound). requires 1 <= bound < 2^32; bias below bound / 2^32
  std::uint64_t Below(std::uint64_t bound) { return ((Next() >> 32) * bound) >> 32; }
  /// Uniform in [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

 private:
  static constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15ULL;
  static std::uint64_t Mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

}  // namespace dbsp::planner
