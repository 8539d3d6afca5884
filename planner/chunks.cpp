// SPDX-License-Identifier: Apache-2.0
#include "planner/chunks.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "planner/mask_counts.h"

namespace dbsp::planner {
namespace {

/// Heads in falling order of kept blocks.
std::vector<int> ByLoad(const LayerMasks& masks) {
  const std::vector<std::int64_t> counts = HeadCounts(masks);
  std::vector<int> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return counts[static_cast<std::size_t>(a)] > counts[static_cast<std::size_t>(b)];
  });
  return order;
}

/// Chunk of every head. Tiers of `tier` heads that are next to each other in load go to the chunks
/// in turn, there and back: chunks get equal loads, and the ranks one head of every tier.
std::vector<int> DivideHeads(const LayerMasks& masks, int chunks, int tier) {
  std::vector<int> chunk(masks.head.size());
  const std::vector<int> order = ByLoad(masks);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const int turn = static_cast<int>(i) / tier;
    const int place = turn % chunks;
    const bool back = turn / chunks % 2 == 1;
    chunk[static_cast<std::size_t>(order[i])] = back ? chunks - 1 - place : place;
  }
  return chunk;
}

/// Every rank's contiguous heads in `chunks` runs.
void ChunkRuns(Partition& partition, int chunks) {
  partition.chunk_of_head.assign(static_cast<std::size_t>(partition.heads), 0);
  for (const HeadGroup& group : partition.groups) {
    const std::size_t heads = group.heads.size();
    for (std::size_t i = 0; i < heads; ++i) {
      // A rank with fewer heads than chunks has them in the first ones.
      const std::size_t run = heads < static_cast<std::size_t>(chunks)
                                  ? i
                                  : i * static_cast<std::size_t>(chunks) / heads;
      partition.chunk_of_head[static_cast<std::size_t>(group.heads[i])] = static_cast<int>(run);
    }
  }
}

/// Adds a chunk's groups: whole heads to the group of their rank, split heads as they are.
void AddGroups(const ChunkLayer& layer, std::vector<HeadGroup>& whole, Partition& into) {
  for (HeadGroup group : layer.partition.groups) {
    for (int& head : group.heads) head = layer.heads[static_cast<std::size_t>(head)];
    if (group.ranks.size() > 1) {
      into.groups.push_back(std::move(group));
      continue;
    }
    std::vector<int>& heads = whole[static_cast<std::size_t>(group.ranks.front())].heads;
    heads.insert(heads.end(), group.heads.begin(), group.heads.end());
  }
}

void Append(std::vector<TrafficMatrix>& rounds,
            const std::vector<TrafficMatrix>& more,
            bool after) {
  const auto half = static_cast<std::ptrdiff_t>(more.size() / 2);
  rounds.insert(rounds.end(),
                after ? more.begin() + half : more.begin(),
                after ? more.end() : more.begin() + half);
}

void AddTo(AttentionWork& sum, const AttentionWork& part) {
  sum.kept_blocks += part.kept_blocks;
  sum.kept_pairs += part.kept_pairs;
  sum.active_rows += part.active_rows;
  sum.rows += part.rows;
  sum.heads += part.heads;
}

/// Renumbers the heads of a round's items. The numbers rise, so the items stay in order.
ExchangeRound Renumbered(ExchangeRound round, const std::vector<int>& heads) {
  for (auto& items : round.items) {
    for (BlockItem& item : items) item.head = heads[static_cast<std::size_t>(item.head)];
  }
  return round;
}

}  // namespace

int ChunksOf(const Partition& partition) {
  const auto& chunk = partition.chunk_of_head;
  return chunk.empty() ? 1 : 1 + *std::max_element(chunk.begin(), chunk.end());
}

int MostChunks(Family family, int ranks, int heads) {
  if (family == Family::kPlaced) return std::max(1, heads / 2);
  return std::max(1, heads / ranks);
}

ChunkLayer ChunkOf(const AttentionShape& shape,
                   const LayerMasks& masks,
                   const Partition& partition,
                   int chunk) {
  ChunkLayer layer{shape, {}, partition, {}};
  std::vector<int> number(static_cast<std::size_t>(partition.heads), -1);
  for (int h = 0; h < partition.heads; ++h) {
    if (partition.chunk_of_head[static_cast<std::size_t>(h)] != chunk) continue;
    number[static_cast<std::size_t>(h)] = static_cast<int>(layer.heads.size());
    layer.heads.push_back(h);
    layer.masks.head.push_back(masks.head[static_cast<std::size_t>(h)]);
  }
  layer.shape.heads = layer.partition.heads = static_cast<int>(layer.heads.size());
  layer.partition.chunk_of_head.clear();
  for (HeadGroup& group : layer.partition.groups) {
    std::vector<int> heads;
    for (const int head : group.heads) {
      if (number[static_cast<std::size_t>(head)] >= 0) {
        heads.push_back(number[static_cast<std::size_t>(head)]);
      }
    }
    group.heads = std::move(heads);
  }
  return layer;
}

Partition MakeChunked(Family family,
                      const AttentionShape& shape,
                      const LayerMasks& masks,
                      int ranks,
                      int ring_degree,
                      const HomeLayout& home,
                      const PartitionOptions& options) {
  const int most = MostChunks(family, ranks, shape.heads);
  if (ring_degree > 1 || options.chunks > most) {
    Fail(ErrorCode::kInvalidArgument,
         "{} of {} heads on {} ranks, ring degree {}: {} chunks, expected at most {}",
         NameOf(family),
         shape.heads,
         ranks,
         ring_degree,
         options.chunks,
         ring_degree > 1 ? 1 : most);
  }
  PartitionOptions single = options;
  single.chunks = 1;
  single.sums = nullptr;  // of all heads
  if (family == Family::kUlysses || family == Family::kUsp) {
    Partition partition = MakePartition(family, shape, masks, ranks, ranks, 1, home, single);
    ChunkRuns(partition, options.chunks);
    return partition;
  }
  Partition partition{ranks, shape.heads, shape.q_blocks(), shape.k_blocks(), {}, {}};
  partition.chunk_of_head =
      DivideHeads(masks, options.chunks, family == Family::kPlaced ? 1 : ranks);
  std::vector<HeadGroup> whole(static_cast<std::size_t>(ranks));
  for (int r = 0; r < ranks; ++r) whole[static_cast<std::size_t>(r)].ranks = {r};
  for (int chunk = 0; chunk < options.chunks; ++chunk) {
    ChunkLayer layer = ChunkOf(shape, masks, partition, chunk);
    layer.partition =
        MakePartition(family, layer.shape, layer.masks, ranks, ranks, 1, home, single);
    AddGroups(layer, whole, partition);
  }
  for (HeadGroup& group : whole) {
    if (group.heads.empty() && family == Family::kPlaced) continue;
    std::ranges::sort(group.heads);
    partition.groups.push_back(std::move(group));
  }
  return partition;
}

LayerWork JoinWork(std::vector<LayerWork> chunks) {
  LayerWork work;
  work.ranks = chunks.front().ranks;
  work.chunks = work.rounds_before = work.steps = static_cast<int>(chunks.size());
  work.ring_next.assign(static_cast<std::size_t>(work.ranks), -1);
  const std::vector<std::int64_t> none(static_cast<std::size_t>(work.ranks), 0);
  work.merge_rows.assign(chunks.size(), none);
  work.hop_bytes.assign(chunks.size() - 1, none);
  work.whole = chunks.front().whole;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    if (c > 0) AddTo(work.whole, chunks[c].whole);
    work.must_move_bytes += chunks[c].must_move_bytes;
    work.attention.push_back(std::move(chunks[c].attention.front()));
  }
  for (const bool after : {false, true}) {
    for (const LayerWork& chunk : chunks) {
      Append(work.rounds, chunk.rounds, after);
      work.component.push_back(chunk.component[after ? 1 : 0]);
    }
  }
  return work;
}

Schedule JoinSchedules(std::vector<Schedule> chunks, const std::vector<ChunkLayer>& layers) {
  Schedule joined;
  joined.ranks = chunks.front().ranks;
  joined.steps = static_cast<int>(chunks.size());
  joined.rank.resize(static_cast<std::size_t>(joined.ranks));
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const std::vector<int>& heads = layers[c].heads;
    joined.before.push_back(Renumbered(std::move(chunks[c].before.front()), heads));
    joined.after.push_back(Renumbered(std::move(chunks[c].after.front()), heads));
    for (const int head : heads) {
      if (static_cast<std::size_t>(head) >= joined.chunk_of_head.size()) {
        joined.chunk_of_head.resize(static_cast<std::size_t>(head) + 1, 0);
      }
      joined.chunk_of_head[static_cast<std::size_t>(head)] = static_cast<int>(c);
    }
    for (std::size_t r = 0; r < joined.rank.size(); ++r) {
      RankProgram& program = joined.rank[r];
      program.columns.resize(chunks.size());
      for (std::size_t h = 0; h < chunks[c].rank[r].heads.size(); ++h) {
        HeadRows& rows = chunks[c].rank[r].heads[h];
        HeadColumns& columns = chunks[c].rank[r].columns.front()[h];
        rows.head = columns.head = heads[static_cast<std::size_t>(rows.head)];
        for (std::size_t t = 0; t < chunks.size(); ++t) {
          program.columns[t].push_back(t == c ? columns : HeadColumns{rows.head, {}});
        }
        program.heads.push_back(std::move(rows));
      }
    }
  }
  const auto by_head = [](const auto& a, const auto& b) { return a.head < b.head; };
  for (RankProgram& program : joined.rank) {
    std::ranges::sort(program.heads, by_head);
    for (auto& step : program.columns) std::ranges::sort(step, by_head);
  }
  return joined;
}

std::string TakeChunk(const Schedule& schedule,
                      int chunk,
                      const std::vector<int>& heads,
                      Schedule& out) {
  const auto at = static_cast<std::size_t>(chunk);
  const auto number = [&](int head) {
    const auto found = std::ranges::lower_bound(heads, head);
    return found == heads.end() || *found != head ? -1 : static_cast<int>(found - heads.begin());
  };
  out = {};
  out.ranks = schedule.ranks;
  out.before = {schedule.before[at]};
  out.after = {schedule.after[at]};
  for (auto* round : {&out.before.front(), &out.after.front()}) {
    for (auto& items : round->items) {
      for (BlockItem& item : items) {
        item.head = number(item.head);
        if (item.head < 0) return "an item of another chunk's head";
      }
    }
  }
  for (const RankProgram& program : schedule.rank) {
    out.rank.emplace_back();
    RankProgram& part = out.rank.back();
    part.ring_next = program.ring_next;
    part.ring_prev = program.ring_prev;
    part.columns.resize(1);
    for (std::size_t h = 0; h < program.heads.size(); ++h) {
      const int head = number(program.heads[h].head);
      const bool listed = at < program.columns.size() && h < program.columns[at].size();
      if (!listed) return "columns and rows are not of the same heads";
      const HeadColumns& columns = program.columns[at][h];
      if (head < 0 && !columns.cols.empty()) {
        return "columns of another chunk's head";
      }
      if (head < 0) continue;
      part.heads.push_back({head, program.heads[h].rows});
      part.columns.front().push_back({number(columns.head), columns.cols});
    }
  }
  return {};
}

}  // namespace dbsp::planner
