// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_bytes.h"

#include "core/bf16.h"

namespace dbsp::profiler {
namespace {

constexpr std::int64_t kF32 = 4;
constexpr std::int64_t kInt = 4;

}  // namespace

std::int64_t DeviceBytes(const AttentionConfig& c) {
  const std::int64_t tiles = std::int64_t{c.heads} * c.q_blocks;
  const std::int64_t queries = tiles * c.block.q;
  const std::int64_t keys = std::int64_t{c.heads} * c.k_blocks * c.block.k;
  return 2 * (queries + keys) * c.head_dim * kBf16Bytes + queries * kF32 +
         (2 * tiles + 1 + c.active_blocks) * kInt;
}

std::int64_t PackTokens(const LocalConfig& c) {
  const std::int64_t block = std::int64_t{c.block.q} * c.head_dim * kBf16Bytes;
  return (c.amount / (block * kPackHeads) + 1) * c.block.q;
}

std::int64_t DeviceBytes(const LocalConfig& c) {
  const std::int64_t row = std::int64_t{c.head_dim} * kBf16Bytes;
  if (c.op == "pack") return 2 * PackTokens(c) * kPackHeads * row;
  // A part in bf16 and the sum in fp32, each with its log-sum-exp.
  return c.amount * (row + std::int64_t{c.head_dim} * kF32 + 2 * kF32);
}

}  // namespace dbsp::profiler
