// SPDX-License-Identifier: Apache-2.0
// The innermost loop of RingAxisPartition: scores of all exchange partners of one item, several
// partners per instruction.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbsp::planner {

/// Parts p and q of a ring exchange one item each. Item a leaves p and is fixed; item b leaves q
/// and is any item of q. Cells are floats, exact up to 2^24.
struct SwapScan {
  std::size_t ring = 1;
  const float* p_without = nullptr;  ///< [ring step] cells of p without a
  const float* q_with = nullptr;  ///< [ring step] cells of q with a
  const float* weight = nullptr;  ///< [k][pitch] weight of b in cell k
  const std::int32_t* home = nullptr;  ///< [b] home part of b
  std::size_t pitch = 0;
  std::size_t p = 0;
  std::size_t q = 0;
  std::size_t count = 0;  ///< items b, rounded up to a multiple of kScanLanes; arrays reach as far
  float price = 0;  ///< added if q is the home of b, subtracted if p is
};
inline constexpr std::size_t kScanLanes = 16;

/// score[b] = price + sum over ring steps t of the largest of others[t],
/// p_without[t] + w[(p + t) % R][b] and q_with[t] - w[(q + t) % R][b].
/// shape others[ring], score[count]
void ScanBarrier(const SwapScan& scan, const float* others, float* score);

/// score[b] = price + sum over ring steps t of the squares of p_without[t] + w[(p + t) % R][b] and
/// q_with[t] - w[(q + t) % R][b]. shape score[count]
void ScanSquares(const SwapScan& scan, float* score);

/// Index of the first least score. requires scores that are numbers, count a positive multiple of
/// kScanLanes
std::size_t LeastScore(const float* score, std::size_t count);

}  // namespace dbsp::planner
