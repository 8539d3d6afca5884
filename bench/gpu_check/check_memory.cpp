// SPDX-License-Identifier: Apache-2.0
// Compares merges with fp64, and block copies and token layouts with plain loops on the host.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "bench/gpu_check/case_report.h"
#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/context.h"
#include "bench/gpu_check/device_case.h"
#include "core/bf16.h"
#include "core/error.h"
#include "kernels/gpu/memory.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::gpu_check {
namespace {

using kernels::CopyItem;
using kernels::gpu::TensorView;
using planner::Prng;
using runtime::CudaBuffer;
using runtime::ToDevice;

constexpr std::uint16_t kPoison = 0xFFFF;

/// A bf16 tensor [batch][heads][tokens][head_dim] in one of the layouts, in host memory.
struct HostTensor {
  Strides strides;
  int batch = 1;
  int heads = 1;
  int tokens = 1;
  int head_dim = 128;
  std::vector<std::uint16_t> values;

  HostTensor(Layout layout, int b, int h, int t, int d)
      : strides(StridesOf(layout, b, h, t, d)),
        batch(b),
        heads(h),
        tokens(t),
        head_dim(d),
        values(static_cast<std::size_t>(strides.total), kPoison) {}

  [[nodiscard]] std::uint16_t* Row(int b, int h, int t) {
    return values.data() + b * strides.batch + h * strides.head + t * strides.token;
  }
  template <typename F>
  void ForRows(const F& visit) {
    for (int b = 0; b < batch; ++b) {
      for (int h = 0; h < heads; ++h) {
        for (int t = 0; t < tokens; ++t) visit(b, h, t);
      }
    }
  }
  void FillRandom(Prng& prng) {
    ForRows([&](int b, int h, int t) {
      std::uint16_t* row = Row(b, h, t);
      for (int d = 0; d < head_dim; ++d) {
        row[d] = ToBf16(static_cast<float>(4.0 * prng.Uniform() - 2.0));
      }
    });
  }
  [[nodiscard]] CudaBuffer Upload(const Context& context) const {
    return ToDevice(std::span<const std::uint16_t>(values), "a tensor", context.stream());
  }
  [[nodiscard]] TensorView View(const CudaBuffer& buffer) const {
    return {buffer.data(), strides.batch, strides.head, strides.token};
  }
  void Download(const CudaBuffer& buffer, const Context& context) {
    buffer.Download(values.data(), buffer.bytes(), context.stream());
  }
  /// The rows without the gaps between them, [batch][heads][tokens][head_dim].
  [[nodiscard]] std::vector<std::uint16_t> Packed() {
    std::vector<std::uint16_t> rows;
    ForRows([&](int b, int h, int t) {
      rows.insert(rows.end(), Row(b, h, t), Row(b, h, t) + head_dim);
    });
    return rows;
  }
};

struct Part {
  HostTensor o;
  std::vector<float> lse;
};

/// The merge in fp64: l = ln(sum of e^l_i), o = sum of e^(l_i - l) o_i.
Reference Merged(std::vector<Part>& parts) {
  Reference merged;
  std::vector<std::vector<std::uint16_t>> rows;
  for (Part& part : parts) rows.push_back(part.o.Packed());
  const auto dim = static_cast<std::size_t>(parts.front().o.head_dim);
  for (std::size_t row = 0; row < parts.front().lse.size(); ++row) {
    double highest = -std::numeric_limits<double>::infinity();
    for (const Part& part : parts) highest = std::max<double>(highest, part.lse[row]);
    double sum = 0.0;
    for (const Part& part : parts) {
      if (std::isfinite(highest)) sum += std::exp(static_cast<double>(part.lse[row]) - highest);
    }
    merged.lse.push_back(highest + std::log(sum));
    for (std::size_t d = 0; d < dim; ++d) {
      double value = 0.0;
      for (std::size_t i = 0; i < parts.size() && std::isfinite(highest); ++i) {
        const double weight = std::exp(static_cast<double>(parts[i].lse[row]) - merged.lse[row]);
        if (weight > 0.0) value += weight * static_cast<double>(FromBf16(rows[i][row * dim + d]));
      }
      merged.o.push_back(value);
    }
  }
  return merged;
}

/// Merges `count` parts with one launch, or with in_hops one part per launch into the fp32
/// accumulator.
Verdict CheckMergeOnce(
    int count, bool in_hops, Layout layout, int head_dim, Prng& prng, Context& context) {
  const int batch = 1 + static_cast<int>(prng.Below(2));
  const int heads = 1 + static_cast<int>(prng.Below(3));
  const int tokens = 1 + static_cast<int>(prng.Below(700));
  const auto rows = static_cast<std::size_t>(batch) * heads * static_cast<std::size_t>(tokens);
  std::vector<Part> parts;
  std::vector<CudaBuffer> buffers;
  kernels::gpu::MergeCall call{
      .batch = batch, .heads = heads, .tokens = tokens, .head_dim = head_dim};
  call.stream = context.stream().get();
  std::vector<kernels::gpu::Partial> on_device;
  for (int i = 0; i < count; ++i) {
    Part part{HostTensor(layout, batch, heads, tokens, head_dim), std::vector<float>(rows)};
    part.o.FillRandom(prng);
    for (float& lse : part.lse) {
      lse = prng.Below(4) == 0 ? -INFINITY : static_cast<float>(20.0 * prng.Uniform() - 10.0);
    }
    buffers.push_back(part.o.Upload(context));
    const TensorView view = part.o.View(buffers.back());
    buffers.push_back(ToDevice(std::span<const float>(part.lse), "log-sum-exp", context.stream()));
    on_device.push_back({view, buffers.back().As<float>()});
    parts.push_back(std::move(part));
  }
  HostTensor out(layout, batch, heads, tokens, head_dim);
  const CudaBuffer o = out.Upload(context);
  std::vector<float> lse(rows, std::numeric_limits<float>::quiet_NaN());
  const CudaBuffer lse_buffer =
      ToDevice(std::span<const float>(lse), "log-sum-exp", context.stream());
  const CudaBuffer sum(4 * rows * static_cast<std::size_t>(head_dim), "the accumulator");
  const CudaBuffer sum_lse(4 * rows, "the accumulator's log-sum-exp");
  sum.Fill(0xFF, context.stream());
  sum_lse.Fill(0xFF, context.stream());
  if (in_hops) {
    call.sum = sum.As<float>();
    call.sum_lse = sum_lse.As<float>();
    for (int i = 0; i < count; ++i) {
      call.part[0] = on_device[i];
      call.parts = 1;
      call.read_sum = i > 0;
      LaunchMerge(call);
    }
    call.parts = 0;
    call.read_sum = true;
  } else {
    std::copy(on_device.begin(), on_device.end(), call.part.begin());
    call.parts = count;
  }
  call.o = out.View(o);
  call.lse = lse_buffer.As<float>();
  LaunchMerge(call);
  context.stream().Synchronize("merge");
  out.Download(o, context);
  lse_buffer.Download(lse.data(), 4 * rows, context.stream());
  const Reference reference = Merged(parts);
  return Compare(out.Packed(), lse, reference.o, reference.lse, head_dim);
}

/// Copies blocks of three tensors from [token][heads][head_dim] into block memory. The result must
/// equal the host's copy.
bool CheckCopyOnce(int head_dim, Prng& prng, Context& context) {
  const int heads = 1 + static_cast<int>(prng.Below(4));
  const int tokens = 1 + static_cast<int>(prng.Below(900));
  const int block = prng.Below(2) == 0 ? 64 : 128;
  const int blocks = (tokens + block - 1) / block;
  std::vector<CopyItem> items;
  for (int h = 0; h < heads; ++h) {
    for (int b = 0; b < blocks; ++b) {
      if (prng.Below(3) == 0) continue;  // Nothing is copied, so the block keeps its poison.
      items.push_back({std::int64_t{b} * block * heads * head_dim + std::int64_t{h} * head_dim,
                       (std::int64_t{h} * blocks + b) * block * head_dim,
                       std::min(block, tokens - b * block)});
    }
  }
  kernels::gpu::CheckItems(items, block);
  const CudaBuffer device_items =
      ToDevice(std::span<const CopyItem>(items), "items", context.stream());
  const std::vector<std::uint16_t> poison(
      static_cast<std::size_t>(heads) * blocks * block * head_dim, kPoison);
  kernels::gpu::CopyCall call{.head_dim = head_dim, .stream = context.stream().get()};
  call.lists = 3;
  std::vector<HostTensor> from;
  std::vector<CudaBuffer> buffers;
  for (std::size_t i = 0; i < 3; ++i) {
    from.emplace_back(Layout::kTokensFirst, 1, heads, tokens, head_dim);
    from.back().FillRandom(prng);
    buffers.push_back(from.back().Upload(context));
    call.list[i].from = buffers.back().data();
    buffers.push_back(ToDevice(std::span<const std::uint16_t>(poison), "blocks", context.stream()));
    call.list[i].to = buffers.back().data();
    call.list[i].from_stride = std::int64_t{heads} * head_dim;
    call.list[i].to_stride = head_dim;
    call.list[i].items = device_items.As<CopyItem>();
    call.list[i].item_count = static_cast<std::int64_t>(items.size());
    call.list[i].max_tokens = block;
  }
  LaunchCopy(call);
  context.stream().Synchronize("copies of blocks");
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<std::uint16_t> expected = poison;
    for (const CopyItem& item : items) {
      for (int t = 0; t < item.tokens; ++t) {
        const auto* row = from[i].values.data() + item.from + std::int64_t{t} * heads * head_dim;
        std::copy(row, row + head_dim, expected.begin() + item.to + std::int64_t{t} * head_dim);
      }
    }
    std::vector<std::uint16_t> written(expected.size());
    buffers[2 * i + 1].Download(written.data(), 2 * written.size(), context.stream());
    if (written != expected) return false;
  }
  return true;
}

bool CheckPermuteOnce(Layout layout, int head_dim, Prng& prng, Context& context) {
  const int heads = 1 + static_cast<int>(prng.Below(3));
  const int tokens = 1 + static_cast<int>(prng.Below(900));
  constexpr int kBlock = 64;
  std::vector<int> order((tokens + kBlock - 1) / kBlock);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[prng.Below(i)]);
  const std::vector<std::int32_t> source = kernels::gpu::TokenSources(order, kBlock, tokens);
  const CudaBuffer device_source =
      ToDevice(std::span<const std::int32_t>(source), "a layout", context.stream());
  HostTensor from(layout, 2, heads, tokens, head_dim);
  from.FillRandom(prng);
  HostTensor there(layout, 2, heads, tokens, head_dim);
  HostTensor back(layout, 2, heads, tokens, head_dim);
  const CudaBuffer from_buffer = from.Upload(context);
  const CudaBuffer there_buffer = there.Upload(context);
  const CudaBuffer back_buffer = back.Upload(context);
  kernels::gpu::PermuteCall call{
      .batch = 2, .heads = heads, .tokens = tokens, .head_dim = head_dim};
  call.from = from.View(from_buffer);
  call.to = there.View(there_buffer);
  call.source = device_source.As<std::int32_t>();
  call.stream = context.stream().get();
  LaunchPermute(call);
  call.from = there.View(there_buffer);
  call.to = back.View(back_buffer);
  call.undo = true;
  LaunchPermute(call);
  context.stream().Synchronize("token layouts");
  there.Download(there_buffer, context);
  back.Download(back_buffer, context);
  bool moved = true;
  there.ForRows([&](int b, int h, int t) {
    const std::uint16_t* expected = from.Row(b, h, source[t]);
    moved = moved && std::equal(expected, expected + head_dim, there.Row(b, h, t));
  });
  return moved && back.values == from.values;
}

}  // namespace

bool CheckMemory(const char* part, int cases, Context& context) {
  if (!context.FilterMatches("memory")) return true;
  CaseReport report(part, "merge, copies, layouts", context);
  const auto exact = [](bool ok) {
    return std::pair(ok, std::string(ok ? "equal" : "differs from the host's copy"));
  };
  for (int index = 0; index < cases && report.HasTime(); ++index) {
    Prng prng{context.options.seed, static_cast<std::uint64_t>(index), 77};
    const auto layout = static_cast<Layout>(index % 3);
    const int head_dim = index % 2 == 0 ? 128 : 64;
    for (const bool in_hops : {false, true}) {
      report.Run(in_hops ? "merge.hops" : "merge", index, [&] {
        const int count = 2 + static_cast<int>(prng.Below(4));
        const Verdict verdict = CheckMergeOnce(count, in_hops, layout, head_dim, prng, context);
        return std::pair(verdict.IsRight(), verdict.Text());
      });
    }
    report.Run("copy", index, [&] { return exact(CheckCopyOnce(head_dim, prng, context)); });
    report.Run(
        "permute", index, [&] { return exact(CheckPermuteOnce(layout, head_dim, prng, context)); });
  }
  return report.Finish();
}

}  // namespace dbsp::gpu_check
