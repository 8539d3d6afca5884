// SPDX-License-Identifier: Apache-2.0
// Transposes with the best instruction set of this machine.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "planner/workload/bit_transpose.cpp"
#include <hwy/foreach_target.h>
// foreach_target includes this file once per target and has to come first.
#include <hwy/highway.h>

#include "planner/workload/bit_transpose.h"

HWY_BEFORE_NAMESPACE();
namespace dbsp::planner {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Swaps the off-diagonal quarters of every 2 * kWidth x 2 * kWidth square on the diagonal of such
/// squares. `mask` has kWidth ones, kWidth zeros, and so on.
template <int kWidth>
HWY_ATTR void SwapQuarters(std::uint64_t* block, std::uint64_t mask) {
  const hn::CappedTag<std::uint64_t, (kWidth < 8 ? kWidth : 8)> d;
  const auto keep = hn::Set(d, mask);
  for (int begin = 0; begin < 64; begin += 2 * kWidth) {
    for (int i = begin; i < begin + kWidth; i += static_cast<int>(hn::Lanes(d))) {
      const auto low = hn::LoadU(d, block + i);
      const auto high = hn::LoadU(d, block + i + kWidth);
      const auto changed = hn::And(hn::Xor(hn::ShiftRight<kWidth>(low), high), keep);
      hn::StoreU(hn::Xor(low, hn::ShiftLeft<kWidth>(changed)), d, block + i);
      hn::StoreU(hn::Xor(high, changed), d, block + i + kWidth);
    }
  }
}

void Transpose(std::uint64_t* block) {
  SwapQuarters<32>(block, 0x00000000FFFFFFFFULL);
  SwapQuarters<16>(block, 0x0000FFFF0000FFFFULL);
  SwapQuarters<8>(block, 0x00FF00FF00FF00FFULL);
  SwapQuarters<4>(block, 0x0F0F0F0F0F0F0F0FULL);
  SwapQuarters<2>(block, 0x3333333333333333ULL);
  SwapQuarters<1>(block, 0x5555555555555555ULL);
}

}  // namespace HWY_NAMESPACE
}  // namespace dbsp::planner
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace dbsp::planner {
namespace {

HWY_EXPORT(Transpose);

}  // namespace

void TransposeBits(std::uint64_t* block) { HWY_DYNAMIC_DISPATCH(Transpose)(block); }

}  // namespace dbsp::planner
#endif  // HWY_ONCE
