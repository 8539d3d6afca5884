// SPDX-License-Identifier: Apache-2.0
#include "tuner/cluster_costs.h"

#include <algorithm>

#include "core/units.h"
#include "tuner/curve.h"

namespace dbsp::tuner {
namespace {

using planner::Estimate;

// A launch takes a few microseconds from the queue to the first instruction. Sparse kernels reach
// 80-90% of their rate with 8-20 blocks per row and 92-97% from 50 blocks on, which corresponds to
// two more blocks per row.
constexpr double kLaunchNs = 4000;
// Merges read and write in order. db-SP's layer timings on A800 give 0.82.
constexpr double kMergeEfficiency = 0.8;
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

double CopyRate(const ClusterFigures& gpu) { return gpu.memory_gb_per_s * gpu.copy_efficiency; }

}  // namespace

ClusterCosts::ClusterCosts(Cluster cluster) : cluster_(std::move(cluster)) {}

Estimate ClusterCosts::Attention(const planner::AttentionWork& work) const {
  if (work.active_blocks <= 0) return {};
  const ClusterFigures& gpu = cluster_.figures;
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
  return WithInterval(kLaunchNs + std::max(compute, NsOf(bytes, gpu.memory_gb_per_s)),
                      kComputeHalf);
}

Estimate ClusterCosts::Copy(std::int64_t bytes) const {
  if (bytes <= 0) return {};
  const double traffic = 2.0 * static_cast<double>(bytes);  // read and written
  return WithInterval(kLaunchNs + NsOf(traffic, CopyRate(cluster_.figures)), kComputeHalf);
}

Estimate ClusterCosts::Merge(std::int64_t rows, int head_dim) const {
  if (rows <= 0) return {};
  // Two fp32 partial results read, one written, each with its LSE.
  const double traffic = 3.0 * 4.0 * static_cast<double>(rows) * (head_dim + 1);
  return WithInterval(
      kLaunchNs + NsOf(traffic, kMergeEfficiency * cluster_.figures.memory_gb_per_s), kComputeHalf);
}

Estimate ClusterCosts::AllToAll(std::span<const int> ranks, std::int64_t max_rank_bytes) const {
  if (max_rank_bytes <= 0 || ranks.size() < 2) return {};
  // Bytes to other nodes are most for the node with the fewest of the ranks.
  std::size_t fewest = ranks.size();
  std::size_t most = 0;
  for (std::size_t begin = 0; begin < ranks.size();) {
    std::size_t end = begin;
    while (end < ranks.size() && NodeOf(ranks[end]) == NodeOf(ranks[begin])) ++end;
    fewest = std::min(fewest, end - begin);
    most = std::max(most, end - begin);
    begin = end;
  }
  if (fewest == ranks.size()) return AllToAllOfNodes(ranks, max_rank_bytes, 0);
  const auto others = static_cast<double>(ranks.size() - 1);
  const double share = static_cast<double>(max_rank_bytes) / others;
  return AllToAllOfNodes(
      ranks,
      static_cast<std::int64_t>(share * static_cast<double>(most - 1)),
      static_cast<std::int64_t>(share * static_cast<double>(ranks.size() - fewest)));
}

Estimate ClusterCosts::AllToAllOfNodes(std::span<const int> ranks,
                                       std::int64_t inside_bytes,
                                       std::int64_t between_bytes) const {
  if (ranks.size() < 2) return {};
  const ClusterFigures& gpu = cluster_.figures;
  double ns = 0;
  if (inside_bytes > 0) {
    ns =
        kNsPerUs * gpu.link_latency_us + NsOf(static_cast<double>(inside_bytes), gpu.link_gb_per_s);
  }
  if (between_bytes > 0) {
    ns = std::max(ns,
                  kNsPerUs * gpu.network_latency_us +
                      NsOf(static_cast<double>(between_bytes), gpu.network_gb_per_s));
  }
  return ns > 0 ? WithInterval(ns, kExchangeHalf) : Estimate{};
}

Estimate ClusterCosts::Hop(std::span<const int> ring, std::int64_t bytes) const {
  if (bytes <= 0 || ring.size() < 2) return {};
  const ClusterFigures& gpu = cluster_.figures;
  const bool inside = NodeOf(ring[0]) == NodeOf(ring[1]);
  return WithInterval(
      kNsPerUs * (inside ? gpu.link_latency_us : gpu.network_latency_us) +
          NsOf(static_cast<double>(bytes), inside ? gpu.hop_gb_per_s : gpu.network_gb_per_s),
      kExchangeHalf);
}

planner::OverlapSlowdownEstimate ClusterCosts::Slowdown(planner::Traffic /*traffic*/,
                                                        int ranks) const {
  if (ranks < 2) return {};
  const double sms = cluster_.figures.multiprocessors;
  return {{1, 1, sms / std::max(1.0, sms - kMaxNcclSms)}, {1, 1, 1 + kExchangeHalf}};
}

double ClusterCosts::BandwidthBoundNs(std::int64_t bytes) const {
  const ClusterFigures& gpu = cluster_.figures;
  const double inside = std::max(gpu.link_gb_per_s, gpu.hop_gb_per_s);
  const double rate = inside + (cluster_.nodes > 1 ? gpu.network_gb_per_s : 0);
  return bytes > 0 ? NsOf(static_cast<double>(bytes), rate) : 0;
}

std::string ClusterCosts::LinkText() const {
  const ClusterFigures& gpu = cluster_.figures;
  std::string text = fmt::format("{:.0f} GB/s links", gpu.link_gb_per_s);
  if (cluster_.nodes > 1) {
    text += fmt::format(" inside {} nodes of {} GPUs, {:.0f} GB/s of network per GPU between them",
                        cluster_.nodes,
                        cluster_.gpus_per_node,
                        gpu.network_gb_per_s);
  }
  return text;
}

std::vector<std::string> ClusterCosts::Remarks() const {
  const ClusterFigures& gpu = cluster_.figures;
  return {fmt::format(
      "analytic costs of {}: bf16, {:.0f} TFLOP/s peak, attention at {:.0f} (d 128), {:.2f} TB/s "
      "memory, {}; nothing was measured: intervals of +-{:.0f}% (compute) and "
      "+-{:.0f}% (exchange) are assumed, and attention and exchanges that overlap are assumed not "
      "to slow each other down, at worst attention by {:.0f}% and exchanges by {:.0f}%",
      cluster_.name,
      gpu.peak_tflops,
      gpu.attention_tflops_d128,
      gpu.memory_gb_per_s / 1e3,
      LinkText(),
      100 * kComputeHalf,
      100 * kExchangeHalf,
      100 * (Slowdown(planner::Traffic::kHop, 2).attention.high - 1),
      100 * kExchangeHalf)};
}

std::string ClusterCosts::ExchangeRemark() const {
  return fmt::format(
      "exchanges are those of {}: {}, published and not measured; an interval of "
      "+-{:.0f}% is assumed, and no slowdown by overlap, at worst {:.0f}% of attention and {:.0f}% "
      "of exchanges; all other costs come from the database",
      cluster_.name,
      LinkText(),
      100 * kExchangeHalf,
      100 * (Slowdown(planner::Traffic::kHop, 2).attention.high - 1),
      100 * kExchangeHalf);
}

}  // namespace dbsp::tuner
