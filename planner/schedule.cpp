// SPDX-License-Identifier: Apache-2.0
#include "planner/schedule.h"

#include <algorithm>

#include "core/error.h"
#include "planner/routes.h"

namespace dbsp::planner {
namespace {

class Builder {
 public:
  Builder(const Partition& partition, const Routes& routes)
      : partition_(partition), routes_(routes) {
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
      schedule_.rank[r].columns.resize(static_cast<std::size_t>(routes.steps));
    }
  }

  void AddGroup(int g) {
    const HeadGroup& group = partition_.groups[static_cast<std::size_t>(g)];
    for (const int head : group.heads) {
      for (int i = 0; i < partition_.q_blocks; ++i) {
        const int home = routes_.home_q[static_cast<std::size_t>(i)];
        Send({Tensor::kQ, head, i}, home, RowRank(group, i), g);
        Return({Tensor::kO, head, i}, home, RowRank(group, i), g);
      }
      for (int j = 0; j < partition_.k_blocks; ++j) {
        const int home = routes_.home_k[static_cast<std::size_t>(j)];
        Send({Tensor::kK, head, j}, home, ColumnRank(group, j), g);
        Send({Tensor::kV, head, j}, home, ColumnRank(group, j), g);
      }
      for (std::size_t i = 0; i < group.ranks.size(); ++i) AddProgram(group, head, i);
    }
  }

  Schedule Finish() {
    for (auto* rounds : {&schedule_.before, &schedule_.after}) {
      for (ExchangeRound& round : *rounds) {
        for (auto& items : round.items) std::sort(items.begin(), items.end());
      }
    }
    for (RankProgram& program : schedule_.rank) {
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

  /// Rows and, step by step, columns of `head` on ring index `index` of its group.
  void AddProgram(const HeadGroup& group, int head, std::size_t index) {
    const std::size_t ring = group.ranks.size();
    RankProgram& program = schedule_.rank[static_cast<std::size_t>(group.ranks[index])];
    HeadRows rows{head, {}};
    for (int i = 0; i < partition_.q_blocks; ++i) {
      if (RowRank(group, i) == group.ranks[index]) rows.rows.push_back(i);
    }
    program.heads.push_back(std::move(rows));
    for (std::size_t t = 0; t < program.columns.size(); ++t) {
      HeadColumns columns{head, {}};
      if (t < ring) {
        const int holder = group.ranks[(index + t) % ring];
        for (int j = 0; j < partition_.k_blocks; ++j) {
          if (ColumnRank(group, j) == holder) columns.cols.push_back(j);
        }
      }
      program.columns[t].push_back(std::move(columns));
    }
  }

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
  Builder builder(partition, routes);
  for (int g = 0; g < static_cast<int>(partition.groups.size()); ++g) builder.AddGroup(g);
  return builder.Finish();
}

}  // namespace dbsp::planner
