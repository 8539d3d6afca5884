// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the top-CDF cut, shared by the CPU's and the GPU's builders.
//
// Probabilities become integers, so that sums do not depend on the order of additions and a cut is
// found digit by digit without a sort: the cut is the largest weight w for which the weights >= w
// sum to at least the target.
#pragma once

#include <cstdint>

#include "kernels/merge_weights.h"

namespace dbsp::kernels {

constexpr int kCdfBits = 29;  ///< of a weight; 2^29 stands for the most probable key
constexpr int kCdfDigitBits = 5;
constexpr int kCdfBins = 1 << kCdfDigitBits;
constexpr int kCdfDigits = 6;  ///< the most probable weight has a bit more than kCdfBits

/// Weight of a key whose probability is `ratio` (0..1) of the largest. Below 2^-29 of the largest a
/// key weighs nothing and no tau keeps it: 2^18 such keys hold less than 2^-11 of the mass.
DBSP_HOST_DEVICE constexpr std::uint32_t CdfWeight(float ratio) {
  return static_cast<std::uint32_t>(ratio * static_cast<float>(1U << kCdfBits));
}

/// What the kept weights have to sum to: at least 1, at most `total`.
DBSP_HOST_DEVICE constexpr std::uint64_t CdfTarget(std::uint64_t total, float tau) {
  if (tau >= 1.0F) return total;
  const auto target =
      static_cast<std::uint64_t>(static_cast<double>(tau) * static_cast<double>(total));
  return target < 1 ? 1 : target;
}

DBSP_HOST_DEVICE constexpr int CdfDigit(std::uint32_t weight, int digit) {
  return static_cast<int>(weight >> (digit * kCdfDigitBits)) & (kCdfBins - 1);
}

/// Whether the digits of `weight` above `digit` are those of `cut`.
DBSP_HOST_DEVICE constexpr bool CdfPrefixMatches(std::uint32_t weight,
                                                 std::uint32_t cut,
                                                 int digit) {
  const int shift = (digit + 1) * kCdfDigitBits;
  return shift >= 32 || (weight >> shift) == (cut >> shift);
}

/// One digit of the cut, and the sum of the weights whose prefix is above it.
struct CdfChoice {
  int digit = 0;
  std::uint64_t above = 0;
};

/// sums[i * stride] is the sum of the weights with the cut's prefix and digit i; `above` that of
/// the weights with a larger prefix. The largest digit at which the sum reaches `target`; 0 when
/// none does, which happens only where the target is 0.
DBSP_HOST_DEVICE constexpr CdfChoice ChooseCdfDigit(const std::uint64_t* sums,
                                                    int stride,
                                                    std::uint64_t above,
                                                    std::uint64_t target) {
  for (int i = kCdfBins - 1; i > 0; --i) {
    const std::uint64_t with = above + sums[i * stride];
    if (with >= target) return {i, above};
    above = with;
  }
  return {0, above};
}

}  // namespace dbsp::kernels
