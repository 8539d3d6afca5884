// SPDX-License-Identifier: Apache-2.0
#include "replay/input_data.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/bf16.h"
#include "core/parallel_for.h"

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

void FillRow(const InputKey& key,
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
  state = Absorb(state, static_cast<std::uint64_t>(key.pass));
  state = Absorb(state, static_cast<std::uint64_t>(head));
  const std::int64_t stands = key.order ? key.order->TokenAt(token) : token;
  state = Absorb(state, static_cast<std::uint64_t>(stands));
  for (float& value : out) {
    state += kGolden;
    value = (static_cast<float>(Mix(state) >> 40) + 0.5F) * kTo2Sqrt3 - kSqrt3;
  }
  if (key.dtype == DType::kF32) return;
  for (float& value : out) value = FromBf16(ToBf16(value));
}

void FillTokens(const InputKey& key,
                planner::Tensor tensor,
                const AttentionShape& shape,
                std::int64_t first_token,
                int threads,
                std::span<std::uint16_t> out) {
  constexpr std::int64_t kPiece = 64;  // tokens
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const std::int64_t row = static_cast<std::int64_t>(shape.heads) * shape.head_dim;
  const std::int64_t tokens = std::ssize(out) / row;
  const auto pieces = static_cast<int>((tokens + kPiece - 1) / kPiece);
  ParallelFor(pieces, threads, [&](int piece) {
    std::vector<float> values(dim);
    const std::int64_t begin = piece * kPiece;
    std::uint16_t* to = out.data() + begin * row;
    for (std::int64_t token = begin; token < std::min(begin + kPiece, tokens); ++token) {
      for (int head = 0; head < shape.heads; ++head) {
        FillRow(key, tensor, head, first_token + token, values);
        for (const float value : values) *to++ = ToBf16(value);
      }
    }
  });
}

}  // namespace dbsp::replay
