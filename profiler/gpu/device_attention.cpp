// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/bf16.h"
#include "core/error.h"
#include "profiler/checked_rows.h"

namespace dbsp::profiler {
namespace {

using kernels::gpu::DeviceLists;
using kernels::gpu::TensorView;
using kernels::gpu::Variant;
using runtime::CudaBuffer;
using runtime::CudaStream;

/// Twice gpu_check's limit for whole tensors, because the error of only three rows varies more.
constexpr double kMostDeviceError = 1e-2;
constexpr double kMostDeviceLseError = 1e-3;

std::int64_t Queries(const AttentionConfig& c) { return std::int64_t{c.q_blocks} * c.block.q; }
std::int64_t Keys(const AttentionConfig& c) { return std::int64_t{c.k_blocks} * c.block.k; }

CudaBuffer Tensor(const AttentionConfig& c, std::int64_t tokens, const char* what) {
  return {static_cast<std::size_t>(c.heads * tokens * c.head_dim) * sizeof(std::uint16_t), what};
}

const Variant& Checked(const AttentionConfig& c, const Variant& variant) {
  const bool fits = c.dtype == DType::kBf16 && c.head_dim == variant.head_dim &&
                    c.block == BlockSize{variant.q_block, variant.k_block};
  if (!fits) {
    Fail(ErrorCode::kInvalidArgument,
         "{} takes bf16, head_dim {} and {}x{} blocks; the configuration has {}, {} and {}x{}",
         variant.name,
         variant.head_dim,
         variant.q_block,
         variant.k_block,
         NameOf(c.dtype),
         c.head_dim,
         c.block.q,
         c.block.k);
  }
  return variant;
}

DeviceLists OnDevice(const Variant& variant,
                     const AttentionConfig& c,
                     const BlockLists& lists,
                     const CudaStream& stream) {
  if (lists.begin.back() > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorCode::kInternal, "lists of {} entries: the limit is 2^31 - 1", lists.begin.back());
  }
  const std::vector<std::int32_t> begin(lists.begin.begin(), lists.begin.end());
  return {variant, c.q_blocks, begin, lists.list, stream};
}

double Dot(std::span<const std::uint16_t> a, std::span<const std::uint16_t> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(FromBf16(a[i])) * static_cast<double>(FromBf16(b[i]));
  }
  return sum;
}

}  // namespace

DeviceAttention::DeviceAttention(const AttentionConfig& config,
                                 const Variant& variant,
                                 DeviceValues& values,
                                 const CudaStream& stream)
    : config_(config),
      variant_(&Checked(config, variant)),
      values_(&values),
      stream_(&stream),
      lists_(MakeLists(config)),
      q_(Tensor(config, Queries(config), "queries")),
      k_(Tensor(config, Keys(config), "keys")),
      v_(Tensor(config, Keys(config), "values")),
      o_(Tensor(config, Queries(config), "outputs")),
      lse_(static_cast<std::size_t>(config.heads * Queries(config)) * sizeof(float), "log-sum-exp"),
      on_device_(OnDevice(variant, config, lists_, stream)) {
  int set = 0;
  for (const CudaBuffer* buffer : {&q_, &k_, &v_}) {
    values.Fill(*buffer, config.head_dim, set++, stream);
  }
  o_.Fill(0xFF, stream);
  lse_.Fill(0xFF, stream);
  const auto view = [&](const CudaBuffer& buffer, std::int64_t tokens) {
    const std::int64_t head = tokens * config.head_dim;
    return TensorView{buffer.data(), head * config.heads, head, config.head_dim};
  };
  kernels::gpu::AttentionCall call;
  call.shape = {.batch = 1,
                .heads = config.heads,
                .q_tokens = static_cast<int>(Queries(config)),
                .k_tokens = static_cast<int>(Keys(config)),
                .head_dim = config.head_dim,
                .scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim))};
  call.q = view(q_, Queries(config));
  call.k = view(k_, Keys(config));
  call.v = view(v_, Keys(config));
  call.o = view(o_, Queries(config));
  call.lse = lse_.As<float>();
  call_ = on_device_.Over(call, stream);
}

std::int64_t DeviceAttention::KeysOf(std::int64_t tile) const {
  const auto at = static_cast<std::size_t>(tile);
  return (lists_.begin[at + 1] - lists_.begin[at]) * config_.block.k;
}

DeviceAttention::Row DeviceAttention::Read(std::int64_t tile) const {
  Row row;
  row.tile = tile;
  // A different row of each tile, so that rows of all warps are read.
  row.query = tile * config_.block.q + tile * 37 % config_.block.q;
  const auto dim = static_cast<std::size_t>(config_.head_dim);
  std::vector<std::uint16_t> o(dim);
  float lse = 0;
  const auto at = static_cast<std::size_t>(row.query);
  o_.Download(o.data(), 2 * dim, *stream_, 2 * dim * at);
  lse_.Download(&lse, sizeof(lse), *stream_, sizeof(lse) * at);
  row.lse = lse;
  for (const std::uint16_t bits : o) row.o.push_back(FromBf16(bits));
  return row;
}

std::optional<std::string> DeviceAttention::RowProblem(const Row& row) const {
  const auto all = [&](auto good) { return std::all_of(row.o.begin(), row.o.end(), good); };
  const bool right = KeysOf(row.tile) == 0
                         ? row.lse == -std::numeric_limits<double>::infinity() &&
                               all([](float x) { return x == 0; })
                         : std::isfinite(row.lse) && all([](float x) { return std::isfinite(x); });
  if (right) return std::nullopt;
  return fmt::format("head {}, query {}: {} with {} keys has log-sum-exp {} and output {} ...",
                     row.tile / config_.q_blocks,
                     row.query % Queries(config_),
                     variant_->name,
                     KeysOf(row.tile),
                     row.lse,
                     row.o.front());
}

std::optional<std::string> DeviceAttention::ReferenceProblem(const std::vector<Row>& rows) const {
  double error = 0;
  double norm = 0;
  double lse_error = 0;
  const auto dim = static_cast<std::size_t>(config_.head_dim);
  for (const Row& row : rows) {
    const auto query = values_->Row(config_.head_dim, 0, row.query);
    const std::int64_t first_key = row.tile / config_.q_blocks * Keys(config_);
    const auto begin = static_cast<std::size_t>(lists_.begin[row.tile]);
    std::vector<double> o(dim, 0.0);
    double sum =
        0;  // Scores of normal values with up to 128 elements are far below the overflow of exp.
    for (std::int64_t i = 0; i < KeysOf(row.tile); ++i) {
      const int entry = lists_.list[begin + static_cast<std::size_t>(i / config_.block.k)];
      const std::int64_t key =
          first_key + std::int64_t{entry} * config_.block.k + i % config_.block.k;
      const double weight = std::exp(static_cast<double>(call_.shape.scale) *
                                     Dot(query, values_->Row(config_.head_dim, 1, key)));
      const auto value = values_->Row(config_.head_dim, 2, key);
      for (std::size_t d = 0; d < dim; ++d) {
        o[d] += weight * static_cast<double>(FromBf16(value[d]));
      }
      sum += weight;
    }
    lse_error = std::max(lse_error, std::abs(row.lse - std::log(sum)));
    for (std::size_t d = 0; d < dim; ++d) {
      const double apart = static_cast<double>(row.o[d]) - o[d] / sum;
      error += apart * apart;
      norm += o[d] / sum * (o[d] / sum);
    }
  }
  if (rows.empty()) return std::nullopt;
  const double relative = std::sqrt(error / norm);
  if (relative <= kMostDeviceError && lse_error <= kMostDeviceLseError) return std::nullopt;
  return fmt::format(
      "{}: the relative error of {} rows against fp64 is {:.2e} (limit {:.0e}), that of their "
      "log-sum-exp {:.2e} (limit {:.0e})",
      variant_->name,
      rows.size(),
      relative,
      kMostDeviceError,
      lse_error,
      kMostDeviceLseError);
}

std::optional<std::string> DeviceAttention::Problem() const {
  const std::int64_t tiles = std::int64_t{config_.heads} * config_.q_blocks;
  const std::int64_t reads = std::min(tiles, kReadRows);
  std::vector<Row> compared;
  std::int64_t keys = 0;
  for (std::int64_t i = 0; i < reads; ++i) {
    Row row = Read(i * tiles / reads);
    if (auto problem = RowProblem(row)) return problem;
    const std::int64_t mine = KeysOf(row.tile);
    const bool spread = i % std::max<std::int64_t>(reads / 4, 1) == 0;
    if (mine == 0 || !spread || compared.size() == kReferenceRows) continue;
    if (keys + mine > kReferenceKeys && !compared.empty()) continue;
    keys += mine;
    compared.push_back(std::move(row));
  }
  return ReferenceProblem(compared);
}

}  // namespace dbsp::profiler
