// SPDX-License-Identifier: Apache-2.0
#include "replay/fill.h"

#include "replay/bf16.h"

namespace dbsp::replay {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;

std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

std::uint64_t Absorb(std::uint64_t state, std::uint64_t word) {
  return Mix(state + kGolden + word * 0xD6E8FEB86659FD93U);
}

}  // namespace

void FillRow(const FillKey& key,
             planner::Tensor tensor,
             int head,
             std::int64_t token,
             std::span<float> out) {
  constexpr float kSqrt3 = 1.7320508F;
  constexpr float kTo2Sqrt3 = 2.0F * kSqrt3 / 16777216.0F;  // 24 bits: exact in a float
  std::uint64_t state = Mix(key.seed + kGolden);
  state = Absorb(state, static_cast<std::uint64_t>(tensor));
  state = Absorb(state, static_cast<std::uint64_t>(key.step));
  state = Absorb(state, static_cast<std::uint64_t>(key.layer));
  state = Absorb(state, static_cast<std::uint64_t>(head));
  state = Absorb(state, static_cast<std::uint64_t>(token));
  for (float& value : out) {
    state += kGolden;
    value = (static_cast<float>(Mix(state) >> 40) + 0.5F) * kTo2Sqrt3 - kSqrt3;
  }
  if (key.dtype == DType::kF32) return;
  for (float& value : out) value = FromBf16(ToBf16(value));
}

}  // namespace dbsp::replay
