// SPDX-License-Identifier: Apache-2.0
// Times merges, packing, unpacking and token layouts in turns with a plain device copy. Memory
// bandwidth bounds all of them, and the copy shows the bandwidth that the memory has.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bench/gpu_check/context.h"
#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/device_data.h"
#include "core/cli.h"
#include "core/error.h"
#include "core/statistics.h"
#include "kernels/gpu/memory.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {
namespace {

using kernels::CopyItem;
using kernels::gpu::TensorView;
using runtime::CudaBuffer;

constexpr int kDim = 128;
constexpr int kBlock = 128;

/// Wan 2.1 14B at 720p.
struct Size {
  int tokens = 75600;
  int heads = 40;
  [[nodiscard]] std::int64_t rows() const { return std::int64_t{tokens} * heads; }
  [[nodiscard]] std::int64_t elements() const { return rows() * kDim; }
};
constexpr Size kSmoke{.tokens = 300, .heads = 2};

/// Expected part of the copy's bandwidth; docs/gpu.md, What is checked.
constexpr double kExpectedOfCopy = 0.85;

struct Candidate {
  std::string name;
  double bytes = 0.0;  ///< bytes read plus bytes written
  profiler::DeviceWork work;
};

TensorView HeadsFirst(const CudaBuffer& buffer, const Size& size) {
  return {buffer.data(), size.elements(), std::int64_t{size.tokens} * kDim, kDim};
}

/// One item per (head, block). pack = true copies from [token][heads][head_dim] to block memory,
/// false copies back.
std::vector<CopyItem> CopyItems(const Size& size, bool pack) {
  std::vector<CopyItem> items;
  for (int h = 0; h < size.heads; ++h) {
    for (int first = 0; first < size.tokens; first += kBlock) {
      const std::int64_t home = (std::int64_t{first} * size.heads + h) * kDim;
      const std::int64_t block = (std::int64_t{h} * size.tokens + first) * kDim;
      const int tokens = std::min(kBlock, size.tokens - first);
      items.push_back(pack ? CopyItem{home, block, tokens} : CopyItem{block, home, tokens});
    }
  }
  return items;
}

class Work {
 public:
  Work(const Size& size, const Context& context) : size_(size) {
    const std::vector<CopyItem> pack = CopyItems(size, true);
    const std::vector<CopyItem> unpack = CopyItems(size, false);
    pack_ = runtime::ToDevice(std::span<const CopyItem>(pack), "items", context.stream());
    unpack_ = runtime::ToDevice(std::span<const CopyItem>(unpack), "items", context.stream());
    item_count_ = static_cast<std::int64_t>(pack.size());
    for (int i = 0; i < 6; ++i) {
      tensors_.emplace_back(2 * static_cast<std::size_t>(size_.elements()), "tensors");
      FillNormal(HeadsFirst(tensors_.back(), size_),
                 1,
                 size_.heads,
                 size_.tokens,
                 kDim,
                 40 + static_cast<std::uint64_t>(i),
                 context.stream().get());
    }
    for (int i = 0; i < 4; ++i) {
      lse_.emplace_back(4 * static_cast<std::size_t>(size_.rows()), "log-sum-exp");
      lse_.back().Fill(0, context.stream());  // LSE 0 everywhere: parts of equal weight
    }
    sum_ = CudaBuffer(4 * static_cast<std::size_t>(size_.elements()), "the accumulator");
    sum_.Fill(0, context.stream());
    std::vector<int> order((size_.tokens + kBlock - 1) / kBlock);
    std::iota(order.rbegin(), order.rend(), 0);
    const auto source = kernels::gpu::TokenSources(order, kBlock, size_.tokens);
    source_ =
        runtime::ToDevice(std::span<const std::int32_t>(source), "a layout", context.stream());
  }

  [[nodiscard]] std::vector<Candidate> Candidates(const runtime::CudaStream& on) const {
    const double tensor = 2.0 * static_cast<double>(size_.elements());
    const double lse = 4.0 * static_cast<double>(size_.rows());
    return {
        {"device copy",
         6 * tensor,
         [this, &on](void*) {
           for (std::size_t i = 0; i < 3; ++i) tensors_[3 + i].CopyFrom(tensors_[i], on);
         }},
        {"merge of 2",
         3 * tensor + 3 * lse,
         [this](void* stream) { LaunchMerge(MergeOf2(stream)); }},
        {"merge into fp32",
         5 * tensor + 3 * lse,
         [this](void* stream) { LaunchMerge(MergeHop(stream)); }},
        {"pack Q, K, V", 6 * tensor, [this](void* stream) { LaunchCopy(Copies(3, true, stream)); }},
        {"unpack O", 2 * tensor, [this](void* stream) { LaunchCopy(Copies(1, false, stream)); }},
        {"token layout", 2 * tensor, [this](void* stream) { LaunchPermute(Permuted(stream)); }}};
  }

 private:
  [[nodiscard]] kernels::gpu::MergeCall MergeOf2(void* stream) const {
    kernels::gpu::MergeCall call{.heads = size_.heads, .tokens = size_.tokens, .head_dim = kDim};
    call.part[0] = {HeadsFirst(tensors_[0], size_), lse_[0].As<float>()};
    call.part[1] = {HeadsFirst(tensors_[1], size_), lse_[1].As<float>()};
    call.parts = 2;
    call.o = HeadsFirst(tensors_[3], size_);
    call.lse = lse_[2].As<float>();
    call.stream = stream;
    return call;
  }
  [[nodiscard]] kernels::gpu::MergeCall MergeHop(void* stream) const {
    kernels::gpu::MergeCall call{.heads = size_.heads, .tokens = size_.tokens, .head_dim = kDim};
    call.part[0] = {HeadsFirst(tensors_[0], size_), lse_[0].As<float>()};
    call.parts = 1;
    call.sum = sum_.As<float>();
    call.sum_lse = lse_[3].As<float>();
    call.read_sum = true;
    call.stream = stream;
    return call;
  }
  [[nodiscard]] kernels::gpu::CopyCall Copies(int lists, bool pack, void* stream) const {
    kernels::gpu::CopyCall call{.head_dim = kDim, .stream = stream};
    call.lists = lists;
    for (std::size_t i = 0; i < static_cast<std::size_t>(lists); ++i) {
      call.list[i].from = tensors_[i].data();
      call.list[i].to = tensors_[3 + i].data();
      call.list[i].from_stride = pack ? size_.heads * kDim : kDim;
      call.list[i].to_stride = pack ? kDim : size_.heads * kDim;
      call.list[i].items = (pack ? pack_ : unpack_).As<CopyItem>();
      call.list[i].item_count = item_count_;
      call.list[i].max_tokens = kBlock;
    }
    return call;
  }
  [[nodiscard]] kernels::gpu::PermuteCall Permuted(void* stream) const {
    kernels::gpu::PermuteCall call{.heads = size_.heads, .tokens = size_.tokens, .head_dim = kDim};
    call.from = HeadsFirst(tensors_[0], size_);
    call.to = HeadsFirst(tensors_[3], size_);
    call.source = source_.As<std::int32_t>();
    call.stream = stream;
    return call;
  }

  Size size_;
  CudaBuffer pack_;
  CudaBuffer unpack_;
  std::int64_t item_count_ = 0;
  std::vector<CudaBuffer> tensors_;
  std::vector<CudaBuffer> lse_;
  CudaBuffer sum_;
  CudaBuffer source_;
};

}  // namespace

bool MeasureMemory(Context& context) {
  if (!context.FilterMatches("memory")) return true;
  const Work work(context.options.smoke ? kSmoke : Size{}, context);
  const std::vector<Candidate> candidates = work.Candidates(context.stream());
  std::vector<profiler::DeviceCandidate> timed;
  for (const Candidate& candidate : candidates) {
    context.timer.WarmUp(candidate.work, candidate.name.c_str());
    timed.push_back({candidate.name,
                     [&] { return context.timer.Cold(candidate.work, candidate.name.c_str()); }});
  }
  profiler::DeviceLimits limits;
  limits.min_time_ns = 50'000'000;
  limits.max_time_ns = 1'000'000'000;
  limits.budget_ns = std::min<std::int64_t>(4'000'000'000, context.RemainingNs());
  const auto measured = profiler::MeasureInTurns(limits, timed, runtime::SteadyNs);
  std::vector<std::vector<std::string>> table{{"memory", "ms", "GB/s", "of copy", "expected"}};
  double copy = 0.0;
  for (std::size_t i = 0; i < measured.size(); ++i) {
    const auto time = QuartilesOf(measured[i].samples_ns);
    const double rate = candidates[i].bytes / time.median;
    if (i == 0) copy = rate;
    const double of_copy = rate / copy;
    const bool has_expectation = i > 0 && !context.options.smoke;
    context.results.Write({{"part", "speed"},
                           {"group", "memory"},
                           {"kernel", candidates[i].name},
                           {"bytes", candidates[i].bytes},
                           {"median_ns", time.median},
                           {"q1_ns", time.first},
                           {"q3_ns", time.third},
                           {"gb_per_s", rate},
                           {"of_copy", of_copy},
                           {"expected_of_copy", has_expectation ? kExpectedOfCopy : 0.0},
                           {"samples_ns", measured[i].samples_ns}});
    const bool reached = of_copy >= kExpectedOfCopy;
    if (has_expectation) context.CountSpeed(reached);
    table.push_back({candidates[i].name,
                     fmt::format("{:.3f}", time.median * 1e-6),
                     fmt::format("{:.0f}", rate),
                     fmt::format("{:.3f}", of_copy),
                     has_expectation
                         ? fmt::format(">= {:.2f}: {}", kExpectedOfCopy, reached ? "yes" : "no")
                         : ""});
  }
  WriteStdout(TableText(table));
  return true;
}

}  // namespace dbsp::gpu_check
