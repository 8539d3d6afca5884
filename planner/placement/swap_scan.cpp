// SPDX-License-Identifier: Apache-2.0
// Scores exchange partners with the best instruction set of this machine. Every score is computed
// in the same order and without fused multiply-add, so that all instruction sets give equal bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "planner/placement/swap_scan.cpp"
#include <hwy/foreach_target.h>
// foreach_target includes this file once per target and has to come first.
#include <hwy/highway.h>

#include "planner/placement/swap_scan.h"

HWY_BEFORE_NAMESPACE();
namespace dbsp::planner {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kScanLanes>;

/// Score of each partner: the sum over ring steps t of term(t, p's cell, q's cell), and the price.
template <typename Term>
HWY_ATTR void Scan(const SwapScan& scan, float* score, const Term& term) {
  const Floats d;
  const hn::RebindToSigned<Floats> ints;
  const auto p_home = hn::Set(ints, static_cast<std::int32_t>(scan.p));
  const auto q_home = hn::Set(ints, static_cast<std::int32_t>(scan.q));
  const auto price = hn::Set(d, scan.price);
  const std::size_t span = scan.ring * scan.pitch;
  for (std::size_t b = 0; b < scan.count; b += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    const float* const end = scan.weight + span + b;
    const float* to_p = scan.weight + scan.p * scan.pitch + b;
    const float* from_q = scan.weight + scan.q * scan.pitch + b;
    for (std::size_t t = 0; t < scan.ring; ++t) {
      const auto p_cell = hn::Add(hn::Set(d, scan.p_without[t]), hn::LoadU(d, to_p));
      const auto q_cell = hn::Sub(hn::Set(d, scan.q_with[t]), hn::LoadU(d, from_q));
      sum = hn::Add(sum, term(t, p_cell, q_cell));
      to_p += scan.pitch;
      from_q += scan.pitch;
      to_p -= to_p == end ? span : 0;
      from_q -= from_q == end ? span : 0;
    }
    if (scan.price > 0) {
      const auto home = hn::LoadU(ints, scan.home + b);
      // A true lane is -1: 1 if q is the home, -1 if p is.
      const auto away = hn::Sub(hn::VecFromMask(ints, hn::Eq(home, p_home)),
                                hn::VecFromMask(ints, hn::Eq(home, q_home)));
      sum = hn::Add(sum, hn::Mul(price, hn::ConvertTo(d, away)));
    }
    hn::StoreU(sum, d, score + b);
  }
}

void BarrierScores(const SwapScan& scan, const float* others, float* score) {
  using V = hn::Vec<Floats>;
  Scan(scan, score, [others](std::size_t t, V p_cell, V q_cell) HWY_ATTR {
    return hn::Max(hn::Max(p_cell, q_cell), hn::Set(Floats(), others[t]));
  });
}

void SquareScores(const SwapScan& scan, float* score) {
  using V = hn::Vec<Floats>;
  Scan(scan, score, [](std::size_t, V p_cell, V q_cell) HWY_ATTR {
    return hn::Add(hn::Mul(p_cell, p_cell), hn::Mul(q_cell, q_cell));
  });
}

std::size_t IndexOfLeast(const float* score, std::size_t count) {
  const Floats d;
  auto lanes = hn::LoadU(d, score);
  for (std::size_t b = hn::Lanes(d); b < count; b += hn::Lanes(d)) {
    lanes = hn::Min(lanes, hn::LoadU(d, score + b));
  }
  const auto least = hn::MinOfLanes(d, lanes);
  std::size_t b = 0;
  while (hn::AllFalse(d, hn::Eq(least, hn::LoadU(d, score + b)))) b += hn::Lanes(d);
  while (score[b] != hn::GetLane(least)) ++b;
  return b;
}

}  // namespace HWY_NAMESPACE
}  // namespace dbsp::planner
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace dbsp::planner {
namespace {

HWY_EXPORT(BarrierScores);
HWY_EXPORT(SquareScores);
HWY_EXPORT(IndexOfLeast);

}  // namespace

void ScanBarrier(const SwapScan& scan, const float* others, float* score) {
  HWY_DYNAMIC_DISPATCH(BarrierScores)(scan, others, score);
}

void ScanSquares(const SwapScan& scan, float* score) {
  HWY_DYNAMIC_DISPATCH(SquareScores)(scan, score);
}

std::size_t LeastScore(const float* score, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(IndexOfLeast)(score, count);
}

}  // namespace dbsp::planner
#endif  // HWY_ONCE
