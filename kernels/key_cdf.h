// SPDX-License-Identifier: Apache-2.0
// Arithmetic of the top-CDF selection, shared by the CPU and the GPU list builders.
//
// Probabilities are converted to integer weights, so that sums do not depend on the order of
// additions. The cut is the largest weight w for which the weights >= w sum to at least the target.
// It is found digit by digit without a sort.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define DBSP_HOST_DEVICE __host__ __device__
#else
#define DBSP_HOST_DEVICE
#endif

namespace dbsp::kernels {

constexpr int kCdfBits = 29;  ///< bits of a weight; the most probable key has weight 2^29
constexpr int kCdfDigitBits = 5;
constexpr int kCdfBins = 1 << kCdfDigitBits;
constexpr int kCdfDigits = 6;  ///< ceil((kCdfBits + 1) / kCdfDigitBits)

/// Weight of a key whose probability is `ratio` (0..1) times the largest one. Below 2^-29 the
/// weight is 0 and the key is never kept; 2^18 such keys hold less than 2^-11 of the mass.
DBSP_HOST_DEVICE constexpr std::uint32_t CdfWeight(float ratio) {
  return static_cast<std::uint32_t>(ratio * static_cast<float>(1U << kCdfBits));
}

/// Sum that the kept weights must reach: at least 1, at most `total`.
DBSP_HOST_DEVICE constexpr std::uint64_t CdfTarget(std::uint64_t total, float tau) {
  if (tau >= 1.0F) return total;
  const auto target =
      static_cast<std::uint64_t>(static_cast<double>(tau) * static_cast<double>(total));
  return target < 1 ? 1 : target;
}

/// Digit `digit` of a weight; digit 0 is the lowest.
DBSP_HOST_DEVICE constexpr int CdfDigit(std::uint32_t weight, int digit) {
  return static_cast<int>(weight >> (digit * kCdfDigitBits)) & (kCdfBins - 1);
}

/// True when all digits of `weight` above `digit` equal those of `cut`.
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

/// The largest digit at which the sum of the weights reaches `target`; 0 when no digit does, which
/// happens only for a target of 0.
/// sums   sums[i * stride] is the sum of the weights with the cut's prefix and digit i
/// above  sum of the weights with a larger prefix
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
