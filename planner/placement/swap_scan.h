// SPDX-License-Identifier: Apache-2.0
// The innermost loop of the search on cells: what every possible exchange partner of one item would
// do, several partners an instruction.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbsp::planner {

/// Two ring parts p and q exchange one item each: a, which p gives up, is fixed; b is any of q's.
/// Cells are floats, exact up to 2^24.
struct SwapScan {
  std::size_t ring = 1;
  const float* p_without = nullptr;  ///< [ring step] p's cells without a
  const float* q_with = nullptr;  ///< [ring step] q's cells with a
  const float* weight = nullptr;  ///< [k][pitch]: b's weight in cell k
  const std::int32_t* home = nullptr;  ///< [b] part that is b's home
  std::size_t pitch = 0;
  std::size_t p = 0;
  std::size_t q = 0;
  std::size_t count = 0;  ///< partners b; a multiple of kScanLanes, the arrays reaching as far
  float price = 0;  ///< added where q is b's home, taken off where p is
};
inline constexpr std::size_t kScanLanes = 8;

/// score[b] = sum over ring steps t of the busiest of others[t], p_without[t] + w[(p + t) % R][b]
/// and q_with[t] - w[(q + t) % R][b]; plus the price. shape others[ring], score[count]
void ScanBarrier(const SwapScan& scan, const float* others, float* score);

/// score[b] = sum over t of the squares of p_without[t] + w[(p + t) % R][b] and q_with[t] - w[(q +
/// t) % R][b]; plus the price. shape score[count]
void ScanSquares(const SwapScan& scan, float* score);

/// First b of the least score. requires count a positive multiple of kScanLanes
std::size_t LeastScore(const float* score, std::size_t count);

}  // namespace dbsp::planner
