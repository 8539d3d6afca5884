// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/schedule.h"

#include <algorithm>

#include "core/error.h"
#include "planner/timeline/chunks.h"
#include "planner/timeline/routes.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {
namespace {

/// Renumbers the heads of a round's items. Numbers ascend, so the items stay sorted.
ExchangeRound Renumbered(ExchangeRound round, const std::vector<int>& heads) {
  for (auto& items : round.items) {
    for (BlockItem& item : items) item.head = heads[item.head];
  }
  return round;
}

/// Lists of a layer from the lists of its chunks. `layers` are the results of ChunkOf().
Schedule JoinSchedules(std::vector<Schedule> chunks, const std::vector<ChunkLayer>& layers) {
  Schedule joined;
  joined.ranks = chunks.front().ranks;
  joined.steps = static_cast<int>(chunks.size());
  joined.rank.resize(joined.ranks);
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const std::vector<int>& heads = layers[c].heads;
    joined.before.push_back(Renumbered(std::move(chunks[c].before.front()), heads));
    joined.after.push_back(Renumbered(std::move(chunks[c].after.front()), heads));
    for (const int head : heads) {
      if (static_cast<std::size_t>(head) >= joined.chunk_of_head.size()) {
        joined.chunk_of_head.resize(static_cast<std::size_t>(head) + 1, 0);
      }
      joined.chunk_of_head[head] = static_cast<int>(c);
    }
    for (std::size_t r = 0; r < joined.rank.size(); ++r) {
      RankSchedule& program = joined.rank[r];
      program.columns.resize(chunks.size());
      for (std::size_t h = 0; h < chunks[c].rank[r].heads.size(); ++h) {
        HeadRows& rows = chunks[c].rank[r].heads[h];
        HeadColumns& columns = chunks[c].rank[r].columns.front()[h];
        rows.head = columns.head = heads[rows.head];
        for (std::size_t t = 0; t < chunks.size(); ++t) {
          program.columns[t].push_back(t == c ? columns : HeadColumns{rows.head, {}});
        }
        program.heads.push_back(std::move(rows));
      }
    }
  }
  const auto by_head = [](const auto& a, const auto& b) { return a.head < b.head; };
  for (RankSchedule& program : joined.rank) {
    std::ranges::sort(program.heads, by_head);
    for (auto& step : program.columns) std::ranges::sort(step, by_head);
  }
  return joined;
}

class ScheduleBuilder {
 public:
  ScheduleBuilder(const AttentionShape& shape,
                  const LayerMasks& masks,
                  const Partition& partition,
                  const Routes& routes)
      : shape_(shape), masks_(masks), partition_(partition), routes_(routes) {
    const auto ranks = static_cast<std::size_t>(partition.ranks);
    schedule_.ranks = partition.ranks;
    schedule_.steps = routes.steps;
    schedule_.before.resize(routes.two_rounds ? 2 : 1);
    schedule_.after.resize(schedule_.before.size());
    for (auto* rounds : {&schedule_.before, &schedule_.after}) {
      for (ExchangeRound& round : *rounds) round.items.resize(ranks * ranks);
    }
    schedule_.rank.resize(ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      schedule_.rank[r].ring_next = routes.ring_next[r];
      schedule_.rank[r].ring_prev = routes.ring_prev[r];
      schedule_.rank[r].columns.resize(routes.steps);
    }
  }

  void AddGroup(int g) {
    const HeadGroup& group = partition_.groups[g];
    const RingSplit split(shape_, group.row_owner, {}, static_cast<int>(group.ranks.size()));
    for (const int head : group.heads) {
      for (int i = 0; i < partition_.q_blocks; ++i) {
        const int home = routes_.home_q[i];
        Send({Tensor::kQ, head, i}, home, RowRank(group, i), g);
        Return({Tensor::kO, head, i}, home, RowRank(group, i), g);
      }
      const std::vector<std::vector<int>> arriving = ArrivingColumns(group, split, head);
      for (std::size_t i = 0; i < arriving.size(); ++i) {
        for (const int j : arriving[i]) {
          const int home = routes_.home_k[j];
          Send({Tensor::kK, head, j}, home, group.ranks[i], g);
          Send({Tensor::kV, head, j}, home, group.ranks[i], g);
        }
      }
      for (std::size_t i = 0; i < arriving.size(); ++i) AddProgram(group, head, i, arriving);
    }
  }

  Schedule Finish() {
    for (auto* rounds : {&schedule_.before, &schedule_.after}) {
      for (ExchangeRound& round : *rounds) {
        for (auto& items : round.items) std::sort(items.begin(), items.end());
      }
    }
    for (RankSchedule& program : schedule_.rank) {
      const auto by_head = [](const auto& a, const auto& b) { return a.head < b.head; };
      std::sort(program.heads.begin(), program.heads.end(), by_head);
      for (auto& step : program.columns) std::sort(step.begin(), step.end(), by_head);
    }
    return std::move(schedule_);
  }

 private:
  void Put(ExchangeRound& round, int from, int to, const BlockItem& item) {
    round
        .items[static_cast<std::size_t>(from) * static_cast<std::size_t>(partition_.ranks) +
               static_cast<std::size_t>(to)]
        .push_back(item);
  }
  void Send(const BlockItem& item, int home, int rank, int g) {
    if (!routes_.two_rounds) return Put(schedule_.before[0], home, rank, item);
    const int middle = routes_.Middle(home, g);
    Put(schedule_.before[0], home, middle, item);
    Put(schedule_.before[1], middle, rank, item);
  }
  void Return(const BlockItem& item, int home, int rank, int g) {
    if (!routes_.two_rounds) return Put(schedule_.after[0], rank, home, item);
    const int middle = routes_.Middle(home, g);
    Put(schedule_.after[0], rank, middle, item);
    Put(schedule_.after[1], middle, home, item);
  }

  /// Columns of `head` that each ring index has before attention, ascending.
  [[nodiscard]] std::vector<std::vector<int>> ArrivingColumns(const HeadGroup& group,
                                                              const RingSplit& split,
                                                              int head) const {
    const BlockMask& mask = *masks_.head[head];
    const bool by_mask = routes_.exchange == Exchange::kNeeded;
    Matrix<std::uint64_t> needed;
    if (by_mask) needed = NeededColumns(CountedMask(mask), split);
    std::vector<std::vector<int>> arriving(group.ranks.size());
    for (std::size_t i = 0; i < arriving.size(); ++i) {
      for (int j = 0; j < partition_.k_blocks; ++j) {
        const bool arrives = by_mask ? ((needed(i, j / 64) >> (j % 64)) & 1U) != 0
                                     : GetsColumn(routes_, group, i, j);
        if (arrives) arriving[i].push_back(j);
      }
    }
    return arriving;
  }

  /// Adds the rows of `head` and its columns at every step, for ring index `index` of its group.
  void AddProgram(const HeadGroup& group,
                  int head,
                  std::size_t index,
                  const std::vector<std::vector<int>>& arriving) {
    const std::size_t ring = group.ranks.size();
    RankSchedule& program = schedule_.rank[group.ranks[index]];
    HeadRows rows{head, {}};
    for (int i = 0; i < partition_.q_blocks; ++i) {
      if (RowRank(group, i) == group.ranks[index]) rows.rows.push_back(i);
    }
    // Without a ring a rank passes nothing on: without rows and columns it has no part in the head.
    if (routes_.steps == 1 && rows.rows.empty() && arriving[index].empty()) return;
    program.heads.push_back(std::move(rows));
    for (std::size_t t = 0; t < program.columns.size(); ++t) {
      HeadColumns columns{head, {}};
      if (t < ring) columns.cols = arriving[(index + t) % ring];
      program.columns[t].push_back(std::move(columns));
    }
  }

  const AttentionShape& shape_;
  const LayerMasks& masks_;
  const Partition& partition_;
  const Routes& routes_;
  Schedule schedule_;
};

}  // namespace

Schedule BuildSchedule(const AttentionShape& shape,
                       const LayerMasks& masks,
                       const Partition& partition,
                       const Strategy& strategy,
                       const HomeLayout& home) {
  const Routes routes = MakeRoutes(shape, masks, partition, strategy, home);
  if (strategy.chunks > 1) {
    Strategy single = strategy;
    single.chunks = 1;
    std::vector<ChunkLayer> layers;
    std::vector<Schedule> parts;
    for (int c = 0; c < strategy.chunks; ++c) {
      layers.push_back(ChunkOf(shape, masks, partition, c));
      const ChunkLayer& layer = layers.back();
      parts.push_back(BuildSchedule(layer.shape, layer.masks, layer.partition, single, home));
    }
    return JoinSchedules(std::move(parts), layers);
  }
  ScheduleBuilder builder(shape, masks, partition, routes);
  for (int g = 0; g < static_cast<int>(partition.groups.size()); ++g) builder.AddGroup(g);
  return builder.Finish();
}

Status TakeChunk(const Schedule& schedule,
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
        if (item.head < 0) return Status("an item belongs to a head of another chunk");
      }
    }
  }
  for (const RankSchedule& program : schedule.rank) {
    out.rank.emplace_back();
    RankSchedule& part = out.rank.back();
    part.ring_next = program.ring_next;
    part.ring_prev = program.ring_prev;
    part.columns.resize(1);
    for (std::size_t h = 0; h < program.heads.size(); ++h) {
      const int head = number(program.heads[h].head);
      const bool listed = at < program.columns.size() && h < program.columns[at].size();
      if (!listed) return Status("the columns belong to other heads than the rows");
      const HeadColumns& columns = program.columns[at][h];
      if (head < 0 && !columns.cols.empty()) {
        return Status("columns belong to a head of another chunk");
      }
      if (head < 0) continue;
      part.heads.push_back({head, program.heads[h].rows});
      part.columns.front().push_back({number(columns.head), columns.cols});
    }
  }
  return {};
}

}  // namespace dbsp::planner
