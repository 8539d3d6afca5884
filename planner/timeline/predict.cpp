// SPDX-License-Identifier: Apache-2.0
// Prices of a layer's volumes, and the prediction that a plan stores.
#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <utility>

#include "core/error.h"
#include "planner/timeline/timeline.h"

namespace dbsp::planner {
namespace {

double At(Bound bound, double low, double expected, double high) {
  switch (bound) {
    case Bound::kLow:
      return low;
    case Bound::kHigh:
      return high;
    case Bound::kExpected:
      break;
  }
  return expected;
}

double Pick(const Estimate& estimate, Bound bound) {
  return At(bound, estimate.low_ns, estimate.ns, estimate.high_ns);
}

OverlapSlowdown Pick(const OverlapSlowdownEstimate& slowdown, Bound bound) {
  const auto pick = [bound](const SlowdownEstimate& f) {
    return At(bound, f.low, f.value, f.high);
  };
  return {pick(slowdown.attention), pick(slowdown.exchange)};
}

/// [rank] exchange time of one round. All ranks of a component take as long as its busiest rank.
std::vector<double> PriceRound(const TrafficMatrix& traffic,
                               const std::vector<int>& component,
                               const Costs& costs,
                               Bound bound) {
  const std::size_t count = component.size();
  std::vector<std::size_t> begin(count + 1, 0);  // [component] first entry in `members`
  for (const int c : component) ++begin[static_cast<std::size_t>(c) + 1];
  for (std::size_t c = 0; c < count; ++c) begin[c + 1] += begin[c];
  std::vector<int> members(count);
  std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
  for (std::size_t r = 0; r < count; ++r) {
    members[next[component[r]]++] = static_cast<int>(r);
  }
  std::vector<double> price(count, 0.0);
  for (std::size_t c = 0; c < count; ++c) {
    const std::span<const int> ranks(members.begin() + static_cast<std::ptrdiff_t>(begin[c]),
                                     begin[c + 1] - begin[c]);
    std::int64_t busiest = 0;
    for (const int rank : ranks) {
      busiest = std::max({busiest, traffic.Sent(rank), traffic.Received(rank)});
    }
    if (busiest == 0) continue;
    const double ns = Pick(costs.AllToAll(ranks, busiest), bound);
    for (const int rank : ranks) price[rank] = ns;
  }
  return price;
}

/// Slowdowns of exchanges and hops that overlap attention: in layers with head chunks and in rings.
/// Leaves them empty if nothing slows down.
void AddSlowdowns(const LayerVolumes& work, const Costs& costs, Bound bound, LayerDurations& out) {
  const OverlapSlowdown none;
  const auto ranks = static_cast<std::size_t>(work.ranks);
  std::map<std::pair<Traffic, int>, OverlapSlowdown>
      known;  // few different arguments occur many times
  const auto price = [&](Traffic traffic, int members) {
    const auto [found, fresh] = known.try_emplace({traffic, members});
    if (fresh) found->second = Pick(costs.Slowdown(traffic, members), bound);
    return found->second;
  };
  bool loses = false;
  if (work.chunks > 1) {
    for (const std::vector<int>& component : work.component) {
      std::vector<int> members(ranks, 0);
      for (const int c : component) ++members[c];
      std::vector<OverlapSlowdown> round(ranks);
      for (std::size_t r = 0; r < ranks; ++r) {
        const int size = members[component[r]];
        if (size > 1) round[r] = price(Traffic::kAllToAll, size);
        loses = loses || round[r] != none;
      }
      out.exchange_slowdown.push_back(std::move(round));
    }
    if (!loses) out.exchange_slowdown.clear();
    return;
  }
  if (work.steps == 1) return;
  out.hop_slowdown.resize(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    if (work.ring_next[r] < 0) continue;
    const auto members = work.RingOf(static_cast<int>(r)).size();
    out.hop_slowdown[r] = price(Traffic::kHop, static_cast<int>(members));
    loses = loses || out.hop_slowdown[r] != none;
  }
  if (!loses) out.hop_slowdown.clear();
}

}  // namespace

BarrierLoad BarrierLoadOf(const LayerVolumes& work) {
  double barrier = 0;
  double total = 0;
  std::vector<bool> seen(work.ranks, false);
  for (int first = 0; first < work.ranks; ++first) {
    if (seen[first]) continue;
    const std::vector<int> ring = work.RingOf(first);
    for (const int rank : ring) seen[rank] = true;
    double time = 0;
    for (const auto& step : work.attention) {
      std::int64_t slowest = 0;
      for (const int rank : ring) {
        slowest = std::max(slowest, step[rank].active_blocks);
        total += static_cast<double>(step[rank].active_blocks);
      }
      time += static_cast<double>(slowest);
    }
    barrier = std::max(barrier, time);
  }
  return {barrier, total / work.ranks};
}

namespace {

/// Lower bound on the time of any placement under these costs. docs/planner.md derives it.
double LowerBound(const LayerVolumes& work, const Costs& costs) {
  double parts = 0;
  for (const auto& step : work.attention) {
    for (const AttentionWork& part : step) {
      if (part.active_blocks > 0) parts += costs.Attention(part).ns;
    }
  }
  const double whole = work.whole.active_blocks > 0 ? costs.Attention(work.whole).ns : 0.0;
  const double compute = std::min(whole, parts) / work.ranks;
  const std::int64_t bytes = work.must_move_bytes / work.ranks;
  const double moved = bytes > 0 ? costs.BandwidthBoundNs(bytes) : 0.0;
  return std::max(compute, moved);
}

double SlowestCompute(const LayerDurations& durations, int ranks) {
  double slowest = 0;
  for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r) {
    double busy = 0;
    for (std::size_t t = 0; t < durations.attention.size(); ++t) {
      busy += durations.attention[t][r] + durations.merge[t][r];
    }
    slowest = std::max(slowest, busy);
  }
  return slowest;
}

/// Active blocks that every rank computes in all its attention steps.
std::vector<std::int64_t> ActiveBlocksPerRank(const LayerVolumes& work) {
  std::vector<std::int64_t> blocks(work.ranks, 0);
  for (const auto& step : work.attention) {
    for (std::size_t rank = 0; rank < step.size(); ++rank) blocks[rank] += step[rank].active_blocks;
  }
  return blocks;
}

}  // namespace

LayerDurations PriceLayer(const LayerVolumes& work, const Costs& costs, Bound bound) {
  LayerDurations out;
  const auto ranks = static_cast<std::size_t>(work.ranks);
  const auto copy = [&](std::int64_t bytes) {
    return bytes > 0 ? Pick(costs.Copy(bytes), bound) : 0.0;
  };
  for (std::size_t round = 0; round < work.rounds.size(); ++round) {
    const TrafficMatrix& traffic = work.rounds[round];
    out.pack.emplace_back();
    out.unpack.emplace_back();
    for (int r = 0; r < work.ranks; ++r) {
      out.pack.back().push_back(copy(traffic.Packed(r)));
      out.unpack.back().push_back(copy(traffic.Unpacked(r)));
    }
    out.exchange.push_back(PriceRound(traffic, work.component[round], costs, bound));
  }
  for (std::size_t t = 0; t < work.attention.size(); ++t) {
    out.attention.emplace_back(ranks, 0.0);
    out.merge.emplace_back(ranks, 0.0);
    for (std::size_t r = 0; r < ranks; ++r) {
      const AttentionWork& part = work.attention[t][r];
      const std::int64_t rows = work.merge_rows[t][r];
      if (part.active_blocks > 0) out.attention[t][r] = Pick(costs.Attention(part), bound);
      if (rows > 0) out.merge[t][r] = Pick(costs.Merge(rows, part.head_dim), bound);
    }
  }
  for (const auto& hop : work.hop_bytes) {
    out.hop.emplace_back(ranks, 0.0);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (hop[r] == 0) continue;
      out.hop.back()[r] = Pick(costs.Hop(work.RingOf(static_cast<int>(r)), hop[r]), bound);
    }
  }
  AddSlowdowns(work, costs, bound, out);
  return out;
}

Prediction Predict(const LayerVolumes& work,
                   const AttentionShape& shape,
                   DType dtype,
                   const Costs& costs) {
  const LayerDurations expected = PriceLayer(work, costs, Bound::kExpected);
  Timeline timeline = Simulate(work, expected, RingSync::kNeighbour);
  Prediction out;
  out.total_ns = timeline.makespan_ns;
  out.segments = std::move(timeline.segments);
  for (Segment& segment : out.segments) {
    if (segment.kind != SegmentKind::kAttention) continue;
    const std::int64_t alone = std::llround(expected.attention[segment.index][segment.rank]);
    // Start and end are rounded, so one nanosecond of difference means nothing.
    if (alone + 1 < segment.duration_ns) segment.alone_ns = alone;
  }
  const auto makespan = [&](Bound bound) {
    return Simulate(work, PriceLayer(work, costs, bound), RingSync::kNeighbour).makespan_ns;
  };
  out.low_ns = std::min(out.total_ns, makespan(Bound::kLow));
  out.high_ns = std::max(out.total_ns, makespan(Bound::kHigh));
  out.compute_ns =
      std::min<std::int64_t>(out.total_ns, std::llround(SlowestCompute(expected, work.ranks)));
  out.exchange_ns = out.total_ns - out.compute_ns;
  const double bound = LowerBound(work, costs);
  if (!std::isfinite(bound) || bound < 0) {
    Fail(ErrorCode::kInvalidArgument, "costs give a lower bound of {} ns", bound);
  }
  out.lower_bound_ns = static_cast<std::int64_t>(std::floor(bound));
  const BarrierLoad load = BarrierLoadOf(work);
  out.rho_barrier = load.mean > 0 ? load.barrier / load.mean : 1.0;
  out.rho_timeline = out.lower_bound_ns > 0 ? static_cast<double>(out.total_ns) /
                                                  static_cast<double>(out.lower_bound_ns)
                                            : 1.0;
  out.bytes_per_rank = work.MaxBytesSent();
  out.active_blocks = ActiveBlocksPerRank(work);
  const double all =
      4.0 * static_cast<double>(shape.tokens) * shape.heads * shape.head_dim * BytesOf(dtype);
  out.moved_fraction = all > 0 ? static_cast<double>(work.TotalBytesSent()) / all : 0.0;
  return out;
}

}  // namespace dbsp::planner
