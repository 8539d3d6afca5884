// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu/cpu_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>

#include "profiler/checked_rows.h"

namespace dbsp::profiler {
namespace {

/// Twice the limit of kernel tests for whole tensors (docs/kernels.md), because the error of only
/// three rows varies more; dbsp-replay's limit as well.
constexpr double kMostRelativeError = 1e-5;
constexpr double kMostLseError = 1e-5;
constexpr float kScale = 0.125F;

}  // namespace

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
                        std::vector<float>(q_rows * dim, std::nanf("")),
                        std::vector<float>(q_rows, std::nanf(""))};
  buffers_.assign(CopiesFor((2 * q_rows + 2 * k_rows) * dim * sizeof(float)), buffers);
  const auto rows = static_cast<std::size_t>(c.q_blocks);
  for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head) {
    for (std::size_t i = 0; i <= rows; ++i) {
      begins_.push_back(lists_.begin[head * rows + i] - lists_.begin[head * rows]);
    }
  }
  if (variant_->plugin == nullptr) return;
  kernels::AttentionArgs args = ArgsOf(0, 0);
  args.list_begin = lists_.begin;
  args.list = lists_.list;
  prepared_ = std::make_unique<const kernels::PluginCall>(*variant_->plugin, args, c.heads);
}

kernels::AttentionArgs CpuAttention::ArgsOf(std::size_t head, std::size_t set) const {
  const AttentionConfig& c = config_;
  const Buffers& b = buffers_[set];
  const auto rows = static_cast<std::size_t>(c.q_blocks);
  const std::size_t q_floats = rows * c.block.q * c.head_dim;
  const std::size_t k_floats = static_cast<std::size_t>(c.k_blocks) * c.block.k * c.head_dim;
  kernels::AttentionArgs args;
  args.head_dim = c.head_dim;
  args.block = c.block;
  args.scale = kScale;
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
  return args;
}

void CpuAttention::Run() {
  const AttentionConfig& c = config_;
  const std::size_t set = calls_++ % buffers_.size();
  Buffers& b = buffers_[set];
  if (prepared_) {
    prepared_->Launch(b.q.data(), b.k.data(), b.v.data(), b.o.data(), b.lse.data());
    return;
  }
  const auto q_rows = static_cast<std::size_t>(c.q_blocks) * c.block.q;
  for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head) {
    kernels::AttentionArgs args = ArgsOf(head, set);
    args.o = b.o.data() + head * q_rows * c.head_dim;
    args.lse = b.lse.data() + head * q_rows;
    variant_->run(args);
  }
}

std::optional<std::int64_t> CpuAttention::prepare_ns() const {
  if (!prepared_) return std::nullopt;
  return prepared_->prepare_ns();
}

CpuAttention::RowError CpuAttention::ErrorOf(std::size_t tile, std::size_t row) const {
  const AttentionConfig& c = config_;
  const Buffers& b = buffers_.front();
  const auto dim = static_cast<std::size_t>(c.head_dim);
  const std::size_t k_rows = static_cast<std::size_t>(c.k_blocks) * c.block.k;
  const std::size_t first_key = tile / static_cast<std::size_t>(c.q_blocks) * k_rows;
  const auto dot = [&](const float* x, const float* y) {
    double sum = 0;
    for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(x[d]) * y[d];
    return sum;
  };
  std::vector<double> o(dim);
  double sum = 0;  // scores of values below 1 are far below the overflow of exp
  for (auto i = lists_.begin[tile]; i < lists_.begin[tile + 1]; ++i) {
    const auto first =
        static_cast<std::size_t>(lists_.list[static_cast<std::size_t>(i)]) * c.block.k;
    for (std::size_t key = first; key < first + c.block.k; ++key) {
      const std::size_t at = (first_key + key) * dim;
      const double weight = std::exp(double{kScale} * dot(&b.q[row * dim], &b.k[at]));
      for (std::size_t d = 0; d < dim; ++d) o[d] += weight * b.v[at + d];
      sum += weight;
    }
  }
  RowError error;
  for (std::size_t d = 0; d < dim; ++d) {
    const double exact = o[d] / sum;
    error.squares += (b.o[row * dim + d] - exact) * (b.o[row * dim + d] - exact);
    error.norm += exact * exact;
  }
  error.lse = std::abs(b.lse[row] - std::log(sum));
  return error;
}

std::optional<std::string> CpuAttention::Problem() const {
  const AttentionConfig& c = config_;
  const Buffers& b = buffers_.front();
  const auto dim = static_cast<std::size_t>(c.head_dim);
  const auto q_block = static_cast<std::size_t>(c.block.q);
  const bool has_lse = variant_->plugin == nullptr || variant_->plugin->Has(DBSP_KERNEL_LSE);
  const double declared = variant_->plugin == nullptr ? 0 : variant_->plugin->max_relative_error;
  const std::size_t tiles = static_cast<std::size_t>(c.heads) * c.q_blocks;
  const std::size_t reads = std::min(tiles, std::size_t{kReadRows});
  std::vector<std::size_t> with_keys;
  for (std::size_t i = 0; i < reads; ++i) {
    const std::size_t tile = i * tiles / reads;
    const std::size_t row = tile * q_block + tile * 37 % q_block;  // another row of each tile
    const std::span<const float> o(&b.o[row * dim], dim);
    const std::int64_t mine = (lists_.begin[tile + 1] - lists_.begin[tile]) * c.block.k;
    const bool lse_right =
        !has_lse || (mine == 0 ? b.lse[row] == -std::numeric_limits<float>::infinity()
                               : std::isfinite(b.lse[row]));
    const bool o_right =
        std::ranges::all_of(o, [&](float x) { return mine == 0 ? x == 0 : std::isfinite(x); });
    if (!lse_right || !o_right) {
      return fmt::format("head {}, query {}: {} with {} keys has log-sum-exp {} and output {} ...",
                         tile / c.q_blocks,
                         row % (static_cast<std::size_t>(c.q_blocks) * q_block),
                         variant_->name,
                         mine,
                         has_lse ? fmt::format("{}", b.lse[row]) : "none",
                         o.front());
    }
    if (mine > 0) with_keys.push_back(tile);
  }
  RowError sum;
  std::size_t compared = 0;
  std::int64_t keys = 0;
  const std::size_t chosen = std::min(with_keys.size(), kReferenceRows);
  for (std::size_t i = 0; i < chosen; ++i) {
    const std::size_t tile = with_keys[i * with_keys.size() / chosen];
    const std::int64_t mine = (lists_.begin[tile + 1] - lists_.begin[tile]) * c.block.k;
    if (keys + mine > kReferenceKeys && compared > 0) continue;
    keys += mine;
    ++compared;
    const RowError error = ErrorOf(tile, tile * q_block + tile * 37 % q_block);
    sum.squares += error.squares;
    sum.norm += error.norm;
    if (has_lse) sum.lse = std::max(sum.lse, error.lse);
  }
  const double relative = sum.norm > 0 ? std::sqrt(sum.squares / sum.norm) : 0;
  const double most = std::max(kMostRelativeError, declared);
  const double most_lse = std::max(kMostLseError, declared);
  if (relative <= most && sum.lse <= most_lse) return std::nullopt;
  return fmt::format(
      "{}: the relative error of {} rows against fp64 is {:.2e} (limit {:.0e}{}), that of their "
      "log-sum-exp {:.2e} (limit {:.0e})",
      variant_->name,
      compared,
      relative,
      most,
      declared > kMostRelativeError ? ", as the kernel declares" : "",
      sum.lse,
      most_lse);
}

}  // namespace dbsp::profiler
