// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu/cpu_attention.h"

#include <algorithm>
#include <random>
#include <span>

namespace dbsp::profiler {

std::size_t CopiesFor(std::size_t bytes) {
  constexpr std::size_t kColdBytes = 64U << 20U;
  constexpr std::size_t kMostCopies = 8;
  return std::clamp<std::size_t>(kColdBytes / std::max<std::size_t>(bytes, 1), 1, kMostCopies);
}

std::vector<float> Values(std::size_t count, std::uint64_t seed) {
  // A prime number of values is drawn and then repeated, because drawing millions would take longer
  // than measuring.
  constexpr std::size_t kDrawn = 65'521;
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::uniform_real_distribution<float> draw(-1.0F, 1.0F);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = i < kDrawn ? draw(random) : values[i - kDrawn];
  return values;
}

CpuAttention::CpuAttention(const AttentionConfig& c)
    : config_(c),
      variant_(&kernels::FindCpuAttention(c.kernel)),
      lists_(MakeLists(c)),
      q_tokens_(static_cast<std::size_t>(c.q_blocks), c.block.q),
      k_tokens_(static_cast<std::size_t>(c.k_blocks), c.block.k) {
  const auto dim = static_cast<std::size_t>(c.head_dim);
  const auto q_rows = static_cast<std::size_t>(c.heads) * c.q_blocks * c.block.q;
  const auto k_rows = static_cast<std::size_t>(c.heads) * c.k_blocks * c.block.k;
  const Buffers buffers{Values(q_rows * dim, c.seed),
                        Values(k_rows * dim, c.seed + 1),
                        Values(k_rows * dim, c.seed + 2),
                        std::vector<float>(q_rows * dim),
                        std::vector<float>(q_rows)};
  buffers_.assign(CopiesFor((2 * q_rows + 2 * k_rows) * dim * sizeof(float)), buffers);
  const auto rows = static_cast<std::size_t>(c.q_blocks);
  for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head) {
    for (std::size_t i = 0; i <= rows; ++i) {
      begins_.push_back(lists_.begin[head * rows + i] - lists_.begin[head * rows]);
    }
  }
}

void CpuAttention::Run() {
  const AttentionConfig& c = config_;
  Buffers& b = buffers_[calls_++ % buffers_.size()];
  const auto rows = static_cast<std::size_t>(c.q_blocks);
  const auto q_floats = rows * c.block.q * c.head_dim;
  const auto k_floats = static_cast<std::size_t>(c.k_blocks) * c.block.k * c.head_dim;
  for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head) {
    kernels::AttentionArgs args;
    args.head_dim = c.head_dim;
    args.block = c.block;
    args.scale = 0.125F;
    args.q_blocks = c.q_blocks;
    args.k_blocks = c.k_blocks;
    args.q = b.q.data() + head * q_floats;
    args.k = b.k.data() + head * k_floats;
    args.v = b.v.data() + head * k_floats;
    args.q_tokens = q_tokens_;
    args.k_tokens = k_tokens_;
    args.list_begin = std::span(begins_).subspan(head * (rows + 1), rows + 1);
    args.list = std::span(lists_.list)
                    .subspan(static_cast<std::size_t>(lists_.begin[head * rows]),
                             static_cast<std::size_t>(lists_.begin[(head + 1) * rows] -
                                                      lists_.begin[head * rows]));
    args.o = b.o.data() + head * q_floats;
    args.lse = b.lse.data() + head * rows * c.block.q;
    variant_->run(args);
  }
}

}  // namespace dbsp::profiler
