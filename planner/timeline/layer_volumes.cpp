// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/layer_volumes.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <numeric>

#include "core/error.h"
#include "core/matrix.h"
#include "planner/timeline/chunks.h"
#include "planner/timeline/moved_bytes.h"
#include "planner/timeline/routes.h"
#include "planner/workload/layer_counts.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {
namespace {

void Append(std::vector<TrafficMatrix>& rounds,
            const std::vector<TrafficMatrix>& more,
            bool after) {
  const auto half = static_cast<std::ptrdiff_t>(more.size() / 2);
  rounds.insert(rounds.end(),
                after ? more.begin() + half : more.begin(),
                after ? more.end() : more.begin() + half);
}

void AddTo(AttentionWork& sum, const AttentionWork& part) {
  sum.active_blocks += part.active_blocks;
  sum.active_pairs += part.active_pairs;
  sum.active_rows += part.active_rows;
  sum.rows += part.rows;
  sum.heads += part.heads;
}

/// Volumes of a layer from the volumes of its chunks, in order.
/// shape  rounds before of every chunk, then rounds after of every chunk; attention [chunk][rank]
LayerVolumes JoinVolumes(std::vector<LayerVolumes> chunks) {
  LayerVolumes work;
  work.ranks = chunks.front().ranks;
  work.chunks = work.rounds_before = work.steps = static_cast<int>(chunks.size());
  work.ring_next.assign(work.ranks, -1);
  const std::vector<std::int64_t> none(work.ranks, 0);
  work.merge_rows.assign(chunks.size(), none);
  work.hop_bytes.assign(chunks.size() - 1, none);
  work.whole = chunks.front().whole;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    if (c > 0) AddTo(work.whole, chunks[c].whole);
    work.must_move_bytes += chunks[c].must_move_bytes;
    work.attention.push_back(std::move(chunks[c].attention.front()));
  }
  for (const bool after : {false, true}) {
    for (const LayerVolumes& chunk : chunks) {
      Append(work.rounds, chunk.rounds, after);
      work.component.push_back(chunk.component[after ? 1 : 0]);
    }
  }
  return work;
}

/// [home][ring index] tokens that move between a home rank and a ring index of a group.
using Flow = Matrix<std::int64_t>;

Flow RowFlow(const AttentionShape& shape, const HeadGroup& group, const Routes& routes, int ranks) {
  const std::size_t ring = group.ranks.size();
  Flow flow(static_cast<std::size_t>(ranks), ring, 0);
  for (std::size_t i = 0; i < routes.home_q.size(); ++i) {
    const auto index = static_cast<std::size_t>(ring == 1 ? 0 : group.row_owner[i]);
    flow(routes.home_q[i], index) += shape.q_tokens(static_cast<int>(i));
  }
  return flow;
}

/// K tokens that go to each ring index before attention if no mask decides.
Flow ColumnFlow(const AttentionShape& shape,
                const HeadGroup& group,
                const Routes& routes,
                int ranks) {
  const std::size_t ring = group.ranks.size();
  Flow flow(static_cast<std::size_t>(ranks), ring, 0);
  for (std::size_t j = 0; j < routes.home_k.size(); ++j) {
    const int col = static_cast<int>(j);
    for (std::size_t index = 0; index < ring; ++index) {
      if (!GetsColumn(routes, group, index, col)) continue;
      flow(routes.home_k[j], index) += shape.k_tokens(col);
    }
  }
  return flow;
}

/// K tokens of the columns that the rows of each ring index need. `homes` splits columns by home.
Flow NeededFlow(const AttentionShape& shape,
                const CountedMask& mask,
                const RingSplit& split,
                const RingSplit& homes) {
  const auto ring = static_cast<std::size_t>(split.ring());
  const Matrix<std::uint64_t> needed = NeededColumns(mask, split);
  const auto last = static_cast<std::size_t>(mask.mask->cols() - 1);
  const std::size_t home_of_last = homes.PartOf(last);
  const std::int64_t missing = shape.block.k - shape.k_tokens(mask.mask->cols() - 1);
  Flow flow(static_cast<std::size_t>(homes.ring()), ring, 0);
  std::vector<std::int64_t> blocks(homes.parts().size());
  for (std::size_t index = 0; index < ring; ++index) {
    const auto row = needed.row(index);
    CountParts(row, homes.parts(), blocks);
    for (std::size_t home = 0; home < blocks.size(); ++home) {
      flow(home, index) = blocks[home] * shape.block.k;
    }
    if (((row[last / 64] >> (last % 64)) & 1U) != 0) flow(home_of_last, index) -= missing;
  }
  return flow;
}

/// What groups with the same row and column owners have in common.
struct GroupSplit {
  GroupSplit(const AttentionShape& shape, const HeadGroup& group, const Routes& routes, int ranks)
      : cells(shape, group.row_owner, group.col_owner, static_cast<int>(group.ranks.size())),
        row_flow(RowFlow(shape, group, routes, ranks)),
        rows(group.ranks.size(), group.ranks.size() == 1 ? shape.q_blocks() : 0),
        column_tokens(group.ranks.size(), 0) {
    if (routes.exchange != Exchange::kNeeded) {
      column_flow = ColumnFlow(shape, group, routes, ranks);
    }
    for (const int owner : group.row_owner) ++rows[owner];
    for (std::size_t j = 0; j < group.col_owner.size(); ++j) {
      column_tokens[group.col_owner[j]] += shape.k_tokens(static_cast<int>(j));
    }
  }
  RingSplit cells;
  Flow row_flow;
  Flow column_flow;  ///< empty for exchange needed
  std::vector<std::int64_t> rows;  ///< [ring index]
  std::vector<std::int64_t> column_tokens;  ///< [ring index]
};

/// Components of ranks that traffic connects, numbered in the order of their lowest ranks.
std::vector<int> Components(const TrafficMatrix& traffic) {
  std::vector<int> root(traffic.ranks);
  std::iota(root.begin(), root.end(), 0);
  const auto find = [&](int r) {
    while (root[r] != r) r = root[r];
    return r;
  };
  for (int a = 0; a < traffic.ranks; ++a) {
    for (int b = 0; b < traffic.ranks; ++b) {
      if (a == b || traffic.At(a, b) == 0) continue;
      const int first = find(a);
      const int second = find(b);
      root[std::max(first, second)] = std::min(first, second);
    }
  }
  std::vector<int> number(root.size(), -1);
  std::vector<int> component(root.size());
  int next = 0;
  for (int r = 0; r < traffic.ranks; ++r) {
    int& id = number[find(r)];
    if (id < 0) id = next++;
    component[r] = id;
  }
  return component;
}

class LayerVolumesBuilder {
 public:
  LayerVolumesBuilder(const AttentionShape& shape,
                      const LayerMasks& masks,
                      const Partition& partition,
                      const Strategy& strategy,
                      const Routes& routes,
                      DType dtype,
                      const LayerCounts& counts)
      : shape_(shape),
        masks_(masks),
        counts_(counts),
        partition_(partition),
        routes_(routes),
        token_bytes_(static_cast<std::int64_t>(shape.head_dim) * BytesOf(dtype)) {
    if (routes.exchange == Exchange::kNeeded) {
      homes_.emplace(shape, std::span<const int>(), routes.home_k, partition.ranks);
    }
    work_.ranks = partition.ranks;
    work_.steps = routes.steps;
    work_.rounds_before = routes.two_rounds ? 2 : 1;
    work_.ring_next = routes.ring_next;
    const auto ranks = static_cast<std::size_t>(partition.ranks);
    const auto steps = static_cast<std::size_t>(routes.steps);
    TrafficMatrix none{partition.ranks, std::vector<std::int64_t>(ranks * ranks, 0)};
    work_.rounds.assign(static_cast<std::size_t>(work_.rounds_before) * 2, none);
    AttentionWork idle;
    idle.kernel = strategy.kernel;
    idle.head_dim = shape.head_dim;
    idle.block = shape.block;
    work_.whole = idle;
    work_.attention.assign(steps, std::vector<AttentionWork>(ranks, idle));
    work_.merge_rows.assign(steps, std::vector<std::int64_t>(ranks, 0));
    work_.hop_bytes.assign(steps - 1, std::vector<std::int64_t>(ranks, 0));
  }

  void AddGroup(std::size_t g) {
    const HeadGroup& group = partition_.groups[g];
    if (group.heads.empty()) return;
    const int id = static_cast<int>(g);
    const auto heads = static_cast<std::int64_t>(group.heads.size());
    std::size_t same = 0;  // first group with the same split, whose counts are reused
    while (partition_.groups[same].row_owner != group.row_owner ||
           partition_.groups[same].col_owner != group.col_owner ||
           partition_.groups[same].ranks.size() != group.ranks.size()) {
      ++same;
    }
    const GroupSplit& split =
        splits_.try_emplace(same, shape_, group, routes_, work_.ranks).first->second;
    AddRows(group, id, split.row_flow);
    if (!Needed()) AddColumns(group, id, split.column_flow, heads);
    AddHops(group, split.column_tokens);
    AddPresence(group, split.rows);
    for (const int head : group.heads) {
      const BlockMask* mask = masks_.head[head].get();
      auto [at, fresh] = cells_.try_emplace({same, mask});
      if (fresh) {
        const CountedMask& counted = counts_.Of(mask);
        at->second.cells = CountCells(shape_, counted, split.cells, scratch_);
        if (Needed()) at->second.columns = NeededFlow(shape_, counted, split.cells, *homes_);
      }
      AddCells(group, at->second.cells);
      if (Needed()) AddColumns(group, id, at->second.columns, 1);
    }
  }

  LayerVolumes Finish(std::int64_t must_move) {
    for (const TrafficMatrix& round : work_.rounds) work_.component.push_back(Components(round));
    AttentionWork& whole = work_.whole;
    for (const auto& step : work_.attention) {
      for (const AttentionWork& part : step) {
        whole.active_blocks += part.active_blocks;
        whole.active_pairs += part.active_pairs;
      }
    }
    whole.heads = shape_.heads;
    whole.rows = static_cast<std::int64_t>(shape_.heads) * shape_.q_blocks();
    for (const BlockMaskPtr& mask : masks_.head)
      whole.active_rows += counts_.Of(mask.get()).active_rows;
    work_.must_move_bytes = must_move;
    return std::move(work_);
  }

 private:
  struct Counts {
    std::vector<MaskCell> cells;
    Flow columns;  // exchange needed
  };

  [[nodiscard]] bool Needed() const { return routes_.exchange == Exchange::kNeeded; }

  /// Adds Q to the rank that computes a row, and O back home.
  void AddRows(const HeadGroup& group, int g, const Flow& flow) {
    const std::int64_t bytes = static_cast<std::int64_t>(group.heads.size()) * token_bytes_;
    ForEachPair(group, flow, [&](int home, int rank, std::int64_t tokens) {
      MoveIn(home, rank, g, tokens * bytes);
      if (!routes_.two_rounds) return Add(1, rank, home, tokens * bytes);
      Add(2, rank, routes_.Middle(home, g), tokens * bytes);
      Add(3, routes_.Middle(home, g), home, tokens * bytes);
    });
  }

  /// Adds K and V of `heads` heads.
  void AddColumns(const HeadGroup& group, int g, const Flow& flow, std::int64_t heads) {
    ForEachPair(group, flow, [&](int home, int rank, std::int64_t tokens) {
      MoveIn(home, rank, g, 2 * tokens * heads * token_bytes_);
    });
  }

  template <typename Body>
  void ForEachPair(const HeadGroup& group, const Flow& flow, const Body& body) {
    for (int home = 0; home < work_.ranks; ++home) {
      for (std::size_t index = 0; index < flow.cols(); ++index) {
        body(home, group.ranks[index], flow(home, index));
      }
    }
  }
  void MoveIn(int home, int rank, int g, std::int64_t bytes) {
    if (!routes_.two_rounds) return Add(0, home, rank, bytes);
    Add(0, home, routes_.Middle(home, g), bytes);
    Add(1, routes_.Middle(home, g), rank, bytes);
  }
  void Add(std::size_t round, int from, int to, std::int64_t bytes) {
    work_.rounds[round].bytes[static_cast<std::size_t>(from) * work_.ranks + to] += bytes;
  }

  /// Hop t brings ring index i the K/V of ring index i + t + 1.
  void AddHops(const HeadGroup& group, const std::vector<std::int64_t>& tokens) {
    if (group.col_owner.empty()) return;
    const std::size_t ring = group.ranks.size();
    const std::int64_t bytes = 2 * static_cast<std::int64_t>(group.heads.size()) * token_bytes_;
    for (std::size_t t = 0; t + 1 < ring; ++t) {
      for (std::size_t i = 0; i < ring; ++i) {
        work_.hop_bytes[t][group.ranks[i]] += tokens[(i + t + 1) % ring] * bytes;
      }
    }
  }

  /// Adds rows and heads, active or not.
  void AddPresence(const HeadGroup& group, const std::vector<std::int64_t>& rows) {
    const std::size_t ring = group.ranks.size();
    const std::size_t steps = std::min(ring, work_.attention.size());
    for (std::size_t t = 0; t < steps; ++t) {
      for (std::size_t i = 0; i < ring; ++i) {
        if (rows[i] == 0) continue;
        AttentionWork& part = work_.attention[t][group.ranks[i]];
        part.rows += rows[i] * static_cast<std::int64_t>(group.heads.size());
        part.heads += static_cast<int>(group.heads.size());
      }
    }
  }

  void AddCells(const HeadGroup& group, const std::vector<MaskCell>& cells) {
    const std::size_t ring = group.ranks.size();
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::size_t step = c / ring;
      const auto rank = static_cast<std::size_t>(group.ranks[c % ring]);
      AttentionWork& part = work_.attention[step][rank];
      part.active_blocks += cells[c].active_blocks;
      part.active_pairs += cells[c].pairs;
      part.active_rows += cells[c].active_rows;
      if (step > 0) work_.merge_rows[step][rank] += cells[c].active_tokens;
    }
  }

  const AttentionShape& shape_;
  const LayerMasks& masks_;
  const LayerCounts& counts_;
  const Partition& partition_;
  const Routes& routes_;
  std::optional<RingSplit> homes_;  // columns by home rank, for exchange needed
  AlignedWords scratch_;
  std::int64_t token_bytes_;  // of one head
  LayerVolumes work_;
  std::map<std::size_t, GroupSplit> splits_;  ///< by first group
  std::map<std::pair<std::size_t, const BlockMask*>, Counts> cells_;
};

}  // namespace

std::int64_t TrafficMatrix::Packed(int src) const {
  std::int64_t sum = 0;
  for (int dst = 0; dst < ranks; ++dst) sum += At(src, dst);
  return sum;
}

std::int64_t TrafficMatrix::Unpacked(int dst) const {
  std::int64_t sum = 0;
  for (int src = 0; src < ranks; ++src) sum += At(src, dst);
  return sum;
}

std::int64_t TrafficMatrix::Sent(int src) const { return Packed(src) - At(src, src); }
std::int64_t TrafficMatrix::Received(int dst) const { return Unpacked(dst) - At(dst, dst); }

namespace {

std::vector<std::int64_t> BytesSent(const LayerVolumes& work) {
  std::vector<std::int64_t> sent(work.ranks, 0);
  for (const TrafficMatrix& round : work.rounds) {
    for (int r = 0; r < work.ranks; ++r) sent[r] += round.Sent(r);
  }
  for (const auto& hop : work.hop_bytes) {
    for (std::size_t r = 0; r < hop.size(); ++r) {
      if (work.ring_next[r] >= 0) sent[work.ring_next[r]] += hop[r];
    }
  }
  return sent;
}

}  // namespace

std::vector<int> LayerVolumes::RingOf(int rank) const {
  std::vector<int> ring{rank};
  for (int at = ring_next[rank]; at >= 0 && at != rank; at = ring_next[at]) ring.push_back(at);
  return ring;
}

std::int64_t LayerVolumes::MaxBytesSent() const {
  const auto sent = BytesSent(*this);
  return *std::max_element(sent.begin(), sent.end());
}

std::int64_t LayerVolumes::TotalBytesSent() const {
  const auto sent = BytesSent(*this);
  return std::accumulate(sent.begin(), sent.end(), std::int64_t{0});
}

std::int64_t LayerVolumes::MaxBytesOneWay() const {
  std::vector<std::int64_t> received(ranks, 0);
  for (const TrafficMatrix& round : rounds) {
    for (int r = 0; r < ranks; ++r) received[r] += round.Received(r);
  }
  for (const auto& hop : hop_bytes) {
    for (std::size_t r = 0; r < hop.size(); ++r) received[r] += hop[r];
  }
  return std::max(MaxBytesSent(), *std::max_element(received.begin(), received.end()));
}

LayerVolumes BuildLayerVolumes(const AttentionShape& shape,
                               const LayerMasks& masks,
                               const Partition& partition,
                               const Strategy& strategy,
                               const HomeLayout& home,
                               DType dtype,
                               std::optional<std::int64_t> must_move,
                               const LayerCounts* counts) {
  const Routes routes = MakeRoutes(shape, masks, partition, strategy, home);
  std::optional<LayerCounts> own;
  if (counts == nullptr) counts = &own.emplace(masks);
  if (!must_move) must_move = MustMoveBytes(shape, masks, home, dtype);
  if (strategy.chunks > 1) {
    Strategy single = strategy;
    single.chunks = 1;
    std::vector<LayerVolumes> parts;
    for (int c = 0; c < strategy.chunks; ++c) {
      const ChunkLayer layer = ChunkOf(shape, masks, partition, c);
      parts.push_back(BuildLayerVolumes(
          layer.shape, layer.masks, layer.partition, single, home, dtype, 0, counts));
    }
    LayerVolumes work = JoinVolumes(std::move(parts));
    work.must_move_bytes = *must_move;
    return work;
  }
  LayerVolumesBuilder builder(shape, masks, partition, strategy, routes, dtype, *counts);
  for (std::size_t g = 0; g < partition.groups.size(); ++g) builder.AddGroup(g);
  return builder.Finish(*must_move);
}

}  // namespace dbsp::planner
