// SPDX-License-Identifier: Apache-2.0
#include "tuner/cluster_costs.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/error.h"
#include "core/suggest.h"
#include "core/units.h"
#include "tuner/curve.h"

namespace dbsp::tuner {
namespace {

using planner::Estimate;

constexpr int kGpusPerNode = 8;

// Sources, one per column.
// peak_tflops    NVIDIA H100, H200 and A100 data sheets, SXM, dense bf16: 989, 989, 312.
// hbm_gb_per_s   the same: 3.35, 4.8, 2.04 TB/s.
// link_gb_per_s  370 of the 450 GB/s an H100 has one way (NCCL maintainers, nccl-tests issues 212
//                and 326); 240 of 300 on A100 (nccl-tests issue 149). H200 has H100's links.
// multiprocessors  the data sheets: 132, 132, 108.
// attention      MagiAttention pull request 322, H100, d 128, 12.5% density: 598-624 TFLOP/s at
//                128-blocks, 0.92 of dense; d 64: FlashAttention-3's 497 at 16k times that 0.92.
//                H200: the same tensor cores (cuDNN 9.19 reaches 691-702 dense, as FA3 on H100).
//                A100: FlashAttention-2 (Dao 2023) reaches 73% of peak forward, times 0.92; d 64
//                in FA3's ratio of its FA2 column, 324 / 370.
const std::array<GpuFigures, 3> kGpus{{
    {"h200", 989, 4800, 370, 132, 610, 457},
    {"h100", 989, 3350, 370, 132, 610, 457},
    {"a100", 312, 2040, 240, 108, 210, 184},
}};

// Overheads. A launch takes a few microseconds from the queue to the first instruction. NCCL's
// send/receive of small messages on one node takes 10 to 20 us. Copies reach about 0.8 of the
// memory peak. Sparse kernels reach 80-90% of their rate with 8-20 blocks per row and 92-97% from
// 50 blocks on, which corresponds to two more blocks per row.
constexpr double kLaunchNs = 4000;
constexpr double kExchangeLatencyNs = 15000;
constexpr double kCopyEfficiency = 0.8;
constexpr double kBlockTimesPerRow = 2;
// VSA's 64 x 64 blocks reach 0.85 of dense where 128-blocks reach 0.92.
constexpr double kSmallBlockFactor = 0.85 / 0.92;
constexpr int kFullBlock = 128;

// Half widths of the intervals: published rates of similar kernels differ by a quarter, those of
// collectives by more.
constexpr double kComputeHalf = 0.25;
constexpr double kExchangeHalf = 0.30;

// No figures on attention that overlaps with an exchange are published for these GPUs. Assumption:
// at worst NCCL's kernels occupy 32 multiprocessors, and an exchange slows down by its interval.
constexpr int kMaxNcclSms = 32;

/// GB/s are bytes per nanosecond.
double NsOf(double bytes, double gb_per_s) { return bytes / gb_per_s; }

}  // namespace

Cluster ParseCluster(std::string_view text) {
  std::vector<std::string> known;
  for (const GpuFigures& gpu : kGpus) known.push_back(gpu.name + "x8");
  const std::size_t cross = text.rfind('x');
  const std::string_view name = text.substr(0, std::min(cross, text.size()));
  const std::string_view digits =
      cross == std::string_view::npos ? std::string_view() : text.substr(cross + 1);
  int count = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  const bool number =
      !digits.empty() && parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  const auto gpu = std::find_if(
      kGpus.begin(), kGpus.end(), [&](const GpuFigures& figures) { return figures.name == name; });
  if (gpu == kGpus.end() || !number) {
    throw Error(ErrorCode::kInvalidArgument,
                "--cluster: " + UnknownName("cluster", text, known) +
                    "; a cluster is NAMExCOUNT with COUNT from 1 to 8");
  }
  if (count < 1 || count > kGpusPerNode) {
    Fail(ErrorCode::kInvalidArgument,
         "--cluster {}: {} GPUs, expected 1 to {}: one node is modelled, the network between nodes "
         "is not",
         text,
         count,
         kGpusPerNode);
  }
  return {std::string(text), *gpu, count};
}

ClusterCosts::ClusterCosts(Cluster cluster) : cluster_(std::move(cluster)) {}

Estimate ClusterCosts::Attention(const planner::AttentionWork& work) const {
  if (work.active_blocks <= 0) return {};
  const GpuFigures& gpu = cluster_.gpu;
  double tflops = work.head_dim <= 64 ? gpu.attention_tflops_d64 : gpu.attention_tflops_d128;
  if (std::min(work.block.q, work.block.k) < kFullBlock) tflops *= kSmallBlockFactor;
  // Tensor cores compute whole blocks, so a short block at the end takes as long as a full one.
  const double block_flops =
      AttentionFlops(static_cast<std::int64_t>(work.block.q) * work.block.k, work.head_dim);
  const auto rows = static_cast<double>(work.active_rows);
  const double blocks = static_cast<double>(work.active_blocks) + kBlockTimesPerRow * rows;
  const double busy = std::min(1.0, rows / gpu.multiprocessors);
  const double compute = blocks * block_flops / (tflops * 1e3) / busy;
  // Q read and O written once, K and V at least once per head.
  const double bytes =
      2.0 * work.head_dim *
      (2.0 * rows * work.block.q + 2.0 * static_cast<double>(work.active_blocks) /
                                       std::max(rows, 1.0) * work.block.k * work.heads);
  return WithInterval(kLaunchNs + std::max(compute, NsOf(bytes, gpu.hbm_gb_per_s)), kComputeHalf);
}

Estimate ClusterCosts::Copy(std::int64_t bytes) const {
  if (bytes <= 0) return {};
  const double traffic = 2.0 * static_cast<double>(bytes);  // read and written
  return WithInterval(kLaunchNs + NsOf(traffic, cluster_.gpu.hbm_gb_per_s * kCopyEfficiency),
                      kComputeHalf);
}

Estimate ClusterCosts::Merge(std::int64_t rows, int head_dim) const {
  if (rows <= 0) return {};
  // Two fp32 partial results read, one written, each with its LSE.
  const double traffic = 3.0 * 4.0 * static_cast<double>(rows) * (head_dim + 1);
  return WithInterval(kLaunchNs + NsOf(traffic, cluster_.gpu.hbm_gb_per_s * kCopyEfficiency),
                      kComputeHalf);
}

Estimate ClusterCosts::AllToAll(std::span<const int> ranks, std::int64_t max_rank_bytes) const {
  if (max_rank_bytes <= 0 || ranks.size() < 2) return {};
  return WithInterval(
      kExchangeLatencyNs + NsOf(static_cast<double>(max_rank_bytes), cluster_.gpu.link_gb_per_s),
      kExchangeHalf);
}

Estimate ClusterCosts::Hop(std::span<const int> ring, std::int64_t bytes) const {
  return AllToAll(ring, bytes);
}

planner::OverlapSlowdownEstimate ClusterCosts::Slowdown(planner::Traffic /*traffic*/,
                                                        int ranks) const {
  if (ranks < 2) return {};
  const double sms = cluster_.gpu.multiprocessors;
  return {{1, 1, sms / (sms - kMaxNcclSms)}, {1, 1, 1 + kExchangeHalf}};
}

double ClusterCosts::BandwidthBoundNs(std::int64_t bytes) const {
  return bytes > 0 ? NsOf(static_cast<double>(bytes), cluster_.gpu.link_gb_per_s) : 0;
}

std::vector<std::string> ClusterCosts::Remarks() const {
  const GpuFigures& gpu = cluster_.gpu;
  return {fmt::format(
      "analytic costs of {}: bf16, {:.0f} TFLOP/s peak, attention at {:.0f} (d 128), {:.2f} TB/s "
      "memory, {:.0f} GB/s links; nothing was measured: intervals of +-{:.0f}% (compute) and "
      "+-{:.0f}% (exchange) are assumed, and attention and exchanges that overlap are assumed not "
      "to slow each other down, at worst attention by {:.0f}% and exchanges by {:.0f}%",
      cluster_.name,
      gpu.peak_tflops,
      gpu.attention_tflops_d128,
      gpu.hbm_gb_per_s / 1e3,
      gpu.link_gb_per_s,
      100 * kComputeHalf,
      100 * kExchangeHalf,
      100 * (Slowdown(planner::Traffic::kHop, 2).attention.high - 1),
      100 * kExchangeHalf)};
}

std::string ClusterCosts::ExchangeRemark() const {
  return fmt::format(
      "exchanges are those of {}: {:.0f} GB/s links, published and not measured; an interval of "
      "+-{:.0f}% is assumed, and no slowdown by overlap, at worst {:.0f}% of attention and {:.0f}% "
      "of exchanges; all other costs come from the database",
      cluster_.name,
      cluster_.gpu.link_gb_per_s,
      100 * kExchangeHalf,
      100 * (Slowdown(planner::Traffic::kHop, 2).attention.high - 1),
      100 * kExchangeHalf);
}

}  // namespace dbsp::tuner
