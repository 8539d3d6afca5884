// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_local.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/bf16.h"
#include "core/error.h"
#include "kernels/gpu/memory.h"
#include "profiler/gpu/device_bytes.h"

namespace dbsp::profiler {
namespace {

using kernels::CopyItem;
using runtime::CudaBuffer;
using runtime::CudaStream;

/// Item i is block i % token_blocks of head i / token_blocks.
std::vector<CopyItem> PackItems(const LocalConfig& c) {
  const std::int64_t block = std::int64_t{c.block.q} * c.head_dim;  // elements
  const std::int64_t whole = c.amount / kBf16Bytes / c.head_dim * c.head_dim;
  const std::int64_t token_blocks = PackTokens(c) / c.block.q;
  std::vector<CopyItem> items;
  for (std::int64_t at = 0; at < whole; at += block) {
    const std::int64_t head = at / block / token_blocks;
    const std::int64_t first = at / block % token_blocks * c.block.q;
    items.push_back({(first * kPackHeads + head) * c.head_dim,
                     at,
                     static_cast<int>(std::min(block, whole - at) / c.head_dim)});
  }
  return items;
}

class Pack : public DeviceLocal {
 public:
  Pack(const LocalConfig& config, int sets, DeviceValues& values, const CudaStream& stream)
      : config_(config),
        values_(values),
        stream_(stream),
        items_(PackItems(config)),
        on_device_(
            runtime::ToDevice(std::span<const CopyItem>(items_), "the items of a pack", stream)) {
    kernels::gpu::CheckItems(items_, config.block.q);
    const auto bytes =
        static_cast<std::size_t>(PackTokens(config) * kPackHeads * config.head_dim * kBf16Bytes);
    for (int set = 0; set < sets; ++set) {
      from_.emplace_back(bytes, "the source of a pack");
      values.Fill(from_.back(), config.head_dim, 0, stream);
      to_.emplace_back(bytes, "the target of a pack");
      to_.back().Fill(0xFF, stream);
    }
  }

  [[nodiscard]] int sets() const override { return static_cast<int>(from_.size()); }

  void Launch(int set) const override {
    kernels::gpu::CopyCall call{.lists = 1, .head_dim = config_.head_dim, .stream = stream_.get()};
    call.list[0] = {.from = from_[set].data(),
                    .from_stride = kPackHeads * config_.head_dim,
                    .to = to_[set].data(),
                    .to_stride = config_.head_dim,
                    .items = on_device_.As<CopyItem>(),
                    .item_count = static_cast<std::int64_t>(items_.size()),
                    .max_tokens = config_.block.q};
    LaunchCopy(call);
  }

  /// Checks the last row of up to 16 items of every set.
  [[nodiscard]] std::optional<std::string> Problem() const override {
    const std::size_t reads = std::min<std::size_t>(items_.size(), 16);
    std::vector<std::uint16_t> row(config_.head_dim);
    for (const CudaBuffer& to : to_) {
      for (std::size_t i = 0; i < reads; ++i) {
        const CopyItem& item = items_[i * items_.size() / reads];
        const std::int64_t last = item.tokens - 1;
        const std::int64_t at = item.to + last * config_.head_dim;
        to.Download(row.data(),
                    row.size() * kBf16Bytes,
                    stream_,
                    static_cast<std::size_t>(at * kBf16Bytes));
        const std::int64_t from = item.from / config_.head_dim + last * kPackHeads;
        if (!std::ranges::equal(row, values_.Row(config_.head_dim, 0, from))) {
          return fmt::format("pack: row {} of the target has wrong values", at / config_.head_dim);
        }
      }
    }
    return std::nullopt;
  }

 private:
  LocalConfig config_;
  DeviceValues& values_;
  const CudaStream& stream_;
  std::vector<CopyItem> items_;
  CudaBuffer on_device_;
  std::vector<CudaBuffer> from_, to_;
};

class Merge : public DeviceLocal {
 public:
  Merge(const LocalConfig& config, int sets, DeviceValues& values, const CudaStream& stream)
      : config_(config), stream_(stream) {
    const auto rows = static_cast<std::size_t>(config.amount);
    const std::size_t elements = rows * static_cast<std::size_t>(config.head_dim);
    for (int set = 0; set < sets; ++set) {
      part_.emplace_back(elements * kBf16Bytes, "a part to merge");
      values.Fill(part_.back(), config.head_dim, 0, stream);
      sum_.emplace_back(elements * sizeof(float), "the sum of merges");
      part_lse_.emplace_back(rows * sizeof(float), "log-sum-exp of a part");
      sum_lse_.emplace_back(rows * sizeof(float), "log-sum-exp of the sum");
      // Equal weights: log-sum-exp 0 for part and sum, and a sum of 0.
      for (const auto* buffers : {&sum_, &part_lse_, &sum_lse_}) buffers->back().Fill(0, stream);
    }
  }

  [[nodiscard]] int sets() const override { return static_cast<int>(part_.size()); }

  void Launch(int set) const override {
    const auto i = static_cast<std::size_t>(set);
    const std::int64_t all = config_.amount * config_.head_dim;
    kernels::gpu::MergeCall call{.tokens = static_cast<int>(config_.amount),
                                 .head_dim = config_.head_dim};
    call.part[0] = {{part_[i].data(), all, all, config_.head_dim}, part_lse_[i].As<float>()};
    call.parts = 1;
    call.sum = sum_[i].As<float>();
    call.sum_lse = sum_lse_[i].As<float>();
    call.read_sum = true;
    call.stream = stream_.get();
    LaunchMerge(call);
  }

  /// After n merges of weight 1 into a weight of 1 the log-sum-exp is ln(n + 1) in every row.
  [[nodiscard]] std::optional<std::string> Problem() const override {
    for (std::size_t set = 0; set < sum_.size(); ++set) {
      float first = 0;
      for (const std::int64_t row : {std::int64_t{0}, config_.amount / 2, config_.amount - 1}) {
        float lse = 0;
        float o = 0;
        const auto at = static_cast<std::size_t>(row);
        sum_lse_[set].Download(&lse, sizeof(lse), stream_, at * sizeof(lse));
        sum_[set].Download(
            &o, sizeof(o), stream_, at * static_cast<std::size_t>(config_.head_dim) * sizeof(o));
        if (row == 0) first = lse;
        if (!(lse > 0) || !std::isfinite(lse) || lse != first || !std::isfinite(o)) {
          return fmt::format(
              "merge: row {} has log-sum-exp {} and sum {}, but row 0 has log-sum-exp {}",
              row,
              lse,
              o,
              first);
        }
      }
    }
    return std::nullopt;
  }

 private:
  LocalConfig config_;
  const CudaStream& stream_;
  std::vector<CudaBuffer> part_, sum_, part_lse_, sum_lse_;
};

}  // namespace

std::unique_ptr<DeviceLocal> MakeDeviceLocal(const LocalConfig& config,
                                             int sets,
                                             DeviceValues& values,
                                             const CudaStream& stream) {
  const bool known = config.op == "pack" || config.op == "merge";
  const std::int64_t row = config.op == "pack" ? config.head_dim * kBf16Bytes : 1;
  constexpr std::int64_t kMostRows = std::numeric_limits<std::int32_t>::max();
  if (!known || (config.head_dim != 64 && config.head_dim != 128) || config.amount < row ||
      config.amount / row > kMostRows) {
    Fail(ErrorCode::kInvalidArgument,
         "{} {} with head_dim {}: expected a pack or a merge of 1 to 2^31 - 1 rows with head_dim "
         "64 or "
         "128",
         config.op,
         config.amount,
         config.head_dim);
  }
  if (config.op == "pack") return std::make_unique<Pack>(config, sets, values, stream);
  return std::make_unique<Merge>(config, sets, values, stream);
}

}  // namespace dbsp::profiler
