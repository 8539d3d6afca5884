// SPDX-License-Identifier: Apache-2.0
// Prices of a layer's volumes, and the prediction that a plan stores.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <span>
#include <utility>

#include "core/error.h"
#include "planner/timeline/timeline.h"

namespace dbsp::planner {
namespace {

/// Durations at the three ends of their intervals, by Bound.
using AllDurations = std::array<LayerDurations, 3>;
constexpr std::array kBounds = {Bound::kExpected, Bound::kLow, Bound::kHigh};

std::size_t IndexOf(Bound bound) { return static_cast<std::size_t>(bound); }

std::array<double, 3> EndsOf(const Estimate& estimate) {
  return {estimate.ns, estimate.low_ns, estimate.high_ns};
}

std::array<double, 3> EndsOf(const SlowdownEstimate& factor) {
  return {factor.value, factor.low, factor.high};
}

using Grid = std::vector<std::vector<double>>;

/// Appends a row of zeros to the same grid of all durations.
void AppendRow(AllDurations& out, Grid LayerDurations::*grid, std::size_t ranks) {
  for (LayerDurations& durations : out) (durations.*grid).emplace_back(ranks, 0.0);
}

/// Sets an entry of the last row of the same grid of all durations.
void SetLast(AllDurations& out,
             Grid LayerDurations::*grid,
             std::size_t rank,
             const Estimate& estimate) {
  const std::array<double, 3> ends = EndsOf(estimate);
  for (const Bound bound : kBounds) {
    (out[IndexOf(bound)].*grid).back()[rank] = ends[IndexOf(bound)];
  }
}

/// Most bytes that a rank sends or receives on its node, and to or from other nodes.
struct NodeBytes {
  std::int64_t inside = 0;
  std::int64_t between = 0;
};

NodeBytes BusiestOf(const TrafficMatrix& traffic, std::span<const int> ranks, int ranks_per_node) {
  NodeBytes most;
  for (const int rank : ranks) {
    NodeBytes sent;
    NodeBytes received;
    for (const int other : ranks) {
      if (other == rank) continue;
      const bool inside = other / ranks_per_node == rank / ranks_per_node;
      (inside ? sent.inside : sent.between) += traffic.At(rank, other);
      (inside ? received.inside : received.between) += traffic.At(other, rank);
    }
    most.inside = std::max({most.inside, sent.inside, received.inside});
    most.between = std::max({most.between, sent.between, received.between});
  }
  return most;
}

/// Exchange time of one round. All ranks of a component take as long as its busiest rank.
void PriceRound(const TrafficMatrix& traffic,
                const std::vector<int>& component,
                const Costs& costs,
                AllDurations& out) {
  const std::size_t count = component.size();
  std::vector<std::size_t> begin(count + 1, 0);  // [component] first entry in `members`
  for (const int c : component) ++begin[static_cast<std::size_t>(c) + 1];
  for (std::size_t c = 0; c < count; ++c) begin[c + 1] += begin[c];
  std::vector<int> members(count);
  std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
  for (std::size_t r = 0; r < count; ++r) {
    members[next[component[r]]++] = static_cast<int>(r);
  }
  AppendRow(out, &LayerDurations::exchange, count);
  for (std::size_t c = 0; c < count; ++c) {
    const std::span<const int> ranks(members.begin() + static_cast<std::ptrdiff_t>(begin[c]),
                                     begin[c + 1] - begin[c]);
    std::int64_t busiest = 0;
    for (const int rank : ranks) {
      busiest = std::max({busiest, traffic.Sent(rank), traffic.Received(rank)});
    }
    if (busiest == 0) continue;
    Estimate estimate;
    if (const int node = costs.ranks_per_node();
        node > 0 && ranks.front() / node != ranks.back() / node) {
      const NodeBytes most = BusiestOf(traffic, ranks, node);
      estimate = costs.AllToAllOfNodes(ranks, most.inside, most.between);
    } else {
      estimate = costs.AllToAll(ranks, busiest);
    }
    for (const int rank : ranks) {
      SetLast(out, &LayerDurations::exchange, static_cast<std::size_t>(rank), estimate);
    }
  }
}

/// Slowdowns of exchanges and hops that overlap attention: in layers with head chunks and in rings.
/// Leaves them empty if nothing slows down.
class SlowdownPricer {
 public:
  SlowdownPricer(const LayerVolumes& work, const Costs& costs) : work_(work), costs_(costs) {}

  void AddTo(LayerDurations& out, Bound bound) {
    const OverlapSlowdown none;
    const auto ranks = static_cast<std::size_t>(work_.ranks);
    bool loses = false;
    if (work_.chunks > 1) {
      for (const std::vector<int>& component : work_.component) {
        std::vector<int> members(ranks, 0);
        for (const int c : component) ++members[c];
        std::vector<OverlapSlowdown> round(ranks);
        for (std::size_t r = 0; r < ranks; ++r) {
          const int size = members[component[r]];
          if (size > 1) round[r] = Price(Traffic::kAllToAll, size, bound);
          loses = loses || round[r] != none;
        }
        out.exchange_slowdown.push_back(std::move(round));
      }
      if (!loses) out.exchange_slowdown.clear();
      return;
    }
    if (work_.steps == 1) return;
    out.hop_slowdown.resize(ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (work_.ring_next[r] < 0) continue;
      const auto members = work_.RingOf(static_cast<int>(r)).size();
      out.hop_slowdown[r] = Price(Traffic::kHop, static_cast<int>(members), bound);
      loses = loses || out.hop_slowdown[r] != none;
    }
    if (!loses) out.hop_slowdown.clear();
  }

 private:
  OverlapSlowdown Price(Traffic traffic, int members, Bound bound) {
    const auto [found, fresh] = known_.try_emplace({traffic, members});
    if (fresh) found->second = costs_.Slowdown(traffic, members);
    return {EndsOf(found->second.attention)[IndexOf(bound)],
            EndsOf(found->second.exchange)[IndexOf(bound)]};
  }

  const LayerVolumes& work_;
  const Costs& costs_;
  /// Few different arguments occur many times.
  std::map<std::pair<Traffic, int>, OverlapSlowdownEstimate> known_;
};

/// PriceLayer at all bounds. The cost model is asked once for every duration.
AllDurations PriceAll(const LayerVolumes& work, const Costs& costs) {
  AllDurations out;
  const auto ranks = static_cast<std::size_t>(work.ranks);
  for (std::size_t round = 0; round < work.rounds.size(); ++round) {
    const TrafficMatrix& traffic = work.rounds[round];
    AppendRow(out, &LayerDurations::pack, ranks);
    AppendRow(out, &LayerDurations::unpack, ranks);
    for (int r = 0; r < work.ranks; ++r) {
      const auto rank = static_cast<std::size_t>(r);
      const std::int64_t packed = traffic.Packed(r);
      const std::int64_t unpacked = traffic.Unpacked(r);
      if (packed > 0) SetLast(out, &LayerDurations::pack, rank, costs.Copy(packed));
      if (unpacked > 0) SetLast(out, &LayerDurations::unpack, rank, costs.Copy(unpacked));
    }
    PriceRound(traffic, work.component[round], costs, out);
  }
  for (std::size_t t = 0; t < work.attention.size(); ++t) {
    AppendRow(out, &LayerDurations::attention, ranks);
    AppendRow(out, &LayerDurations::merge, ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      const AttentionWork& part = work.attention[t][r];
      const std::int64_t rows = work.merge_rows[t][r];
      if (part.active_blocks > 0) {
        SetLast(out, &LayerDurations::attention, r, costs.Attention(part));
      }
      if (rows > 0) SetLast(out, &LayerDurations::merge, r, costs.Merge(rows, part.head_dim));
    }
  }
  for (const auto& hop : work.hop_bytes) {
    AppendRow(out, &LayerDurations::hop, ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (hop[r] == 0) continue;
      SetLast(out, &LayerDurations::hop, r, costs.Hop(work.RingOf(static_cast<int>(r)), hop[r]));
    }
  }
  SlowdownPricer slowdowns(work, costs);
  for (const Bound bound : kBounds) slowdowns.AddTo(out[IndexOf(bound)], bound);
  return out;
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
double LowerBound(const LayerVolumes& work, const LayerDurations& durations, const Costs& costs) {
  double parts = 0;
  for (const std::vector<double>& step : durations.attention) {
    for (const double ns : step) parts += ns;
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

/// A prediction without its segments.
Prediction Totals(const LayerVolumes& work,
                  const AttentionShape& shape,
                  DType dtype,
                  const Costs& costs,
                  const AllDurations& durations,
                  std::int64_t total_ns) {
  const LayerDurations& expected = durations[IndexOf(Bound::kExpected)];
  Prediction out;
  out.total_ns = total_ns;
  const auto makespan = [&](Bound bound) {
    return Makespan(work, durations[IndexOf(bound)], RingSync::kNeighbour);
  };
  out.low_ns = std::min(out.total_ns, makespan(Bound::kLow));
  out.high_ns = std::max(out.total_ns, makespan(Bound::kHigh));
  out.compute_ns =
      std::min<std::int64_t>(out.total_ns, std::llround(SlowestCompute(expected, work.ranks)));
  out.exchange_ns = out.total_ns - out.compute_ns;
  const double bound = LowerBound(work, expected, costs);
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

}  // namespace

LayerDurations PriceLayer(const LayerVolumes& work, const Costs& costs, Bound bound) {
  return std::move(PriceAll(work, costs)[IndexOf(bound)]);
}

Prediction Predict(const LayerVolumes& work,
                   const AttentionShape& shape,
                   DType dtype,
                   const Costs& costs) {
  const AllDurations durations = PriceAll(work, costs);
  const LayerDurations& expected = durations[IndexOf(Bound::kExpected)];
  Timeline timeline = Simulate(work, expected, RingSync::kNeighbour);
  Prediction out = Totals(work, shape, dtype, costs, durations, timeline.makespan_ns);
  out.segments = std::move(timeline.segments);
  for (Segment& segment : out.segments) {
    if (segment.kind != SegmentKind::kAttention) continue;
    const std::int64_t alone = std::llround(expected.attention[segment.index][segment.rank]);
    // Start and end are rounded, so one nanosecond of difference means nothing.
    if (alone + 1 < segment.duration_ns) segment.alone_ns = alone;
  }
  return out;
}

Prediction PredictTotals(const LayerVolumes& work,
                         const AttentionShape& shape,
                         DType dtype,
                         const Costs& costs) {
  const AllDurations durations = PriceAll(work, costs);
  const std::int64_t total_ns =
      Makespan(work, durations[IndexOf(Bound::kExpected)], RingSync::kNeighbour);
  return Totals(work, shape, dtype, costs, durations, total_ns);
}

}  // namespace dbsp::planner
