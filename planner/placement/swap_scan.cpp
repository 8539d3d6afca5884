// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/swap_scan.h"

#include <algorithm>

namespace dbsp::planner {
namespace {

// Each loop is compiled twice, for the baseline and for AVX2, without ifuncs (popcount.cpp says
// why). `[[gnu::always_inline]]` makes each copy take its caller's instruction set.

[[gnu::always_inline]] inline void AddPrice(const SwapScan& scan, float* __restrict score) {
  if (scan.price <= 0) return;
  const auto p = static_cast<std::int32_t>(scan.p);
  const auto q = static_cast<std::int32_t>(scan.q);
  for (std::size_t b = 0; b < scan.count; ++b) {
    const std::int32_t away = (scan.home[b] == q ? 1 : 0) - (scan.home[b] == p ? 1 : 0);
    score[b] += scan.price * static_cast<float>(away);
  }
}

[[gnu::always_inline]] inline void Barrier(const SwapScan& scan,
                                           const float* others,
                                           float* __restrict score) {
  std::fill_n(score, scan.count, 0.0F);
  for (std::size_t t = 0; t < scan.ring; ++t) {
    const float* to_p = scan.weight + (scan.p + t) % scan.ring * scan.pitch;
    const float* from_q = scan.weight + (scan.q + t) % scan.ring * scan.pitch;
    const float rest = others[t];
    const float p = scan.p_without[t];
    const float q = scan.q_with[t];
    for (std::size_t b = 0; b < scan.count; ++b) {
      const float p_cell = p + to_p[b];
      const float q_cell = q - from_q[b];
      const float both = p_cell > q_cell ? p_cell : q_cell;
      score[b] += both > rest ? both : rest;
    }
  }
  AddPrice(scan, score);
}

[[gnu::always_inline]] inline void Squares(const SwapScan& scan, float* __restrict score) {
  std::fill_n(score, scan.count, 0.0F);
  for (std::size_t t = 0; t < scan.ring; ++t) {
    const float* to_p = scan.weight + (scan.p + t) % scan.ring * scan.pitch;
    const float* from_q = scan.weight + (scan.q + t) % scan.ring * scan.pitch;
    const float p = scan.p_without[t];
    const float q = scan.q_with[t];
    for (std::size_t b = 0; b < scan.count; ++b) {
      const float p_cell = p + to_p[b];
      const float q_cell = q - from_q[b];
      score[b] += p_cell * p_cell + q_cell * q_cell;
    }
  }
  AddPrice(scan, score);
}

void BarrierPlain(const SwapScan& scan, const float* others, float* score) {
  Barrier(scan, others, score);
}
void SquaresPlain(const SwapScan& scan, float* score) { Squares(scan, score); }

#if defined(__x86_64__)
[[gnu::target("avx2")]] void BarrierAvx2(const SwapScan& scan, const float* others, float* score) {
  Barrier(scan, others, score);
}
[[gnu::target("avx2")]] void SquaresAvx2(const SwapScan& scan, float* score) {
  Squares(scan, score);
}
bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

}  // namespace

void ScanBarrier(const SwapScan& scan, const float* others, float* score) {
#if defined(__x86_64__)
  if (HasAvx2()) return BarrierAvx2(scan, others, score);
#endif
  BarrierPlain(scan, others, score);
}

void ScanSquares(const SwapScan& scan, float* score) {
#if defined(__x86_64__)
  if (HasAvx2()) return SquaresAvx2(scan, score);
#endif
  SquaresPlain(scan, score);
}

std::size_t LeastScore(const float* score, std::size_t count) {
  float least[kScanLanes];
  std::copy_n(score, kScanLanes, least);
  for (std::size_t b = kScanLanes; b < count; b += kScanLanes) {
    for (std::size_t lane = 0; lane < kScanLanes; ++lane) {
      least[lane] = score[b + lane] < least[lane] ? score[b + lane] : least[lane];
    }
  }
  const float best = *std::min_element(least, least + kScanLanes);
  return static_cast<std::size_t>(std::find(score, score + count, best) - score);
}

}  // namespace dbsp::planner
