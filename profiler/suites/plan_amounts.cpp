// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/plan_amounts.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/error.h"

namespace dbsp::profiler {
namespace {

/// Which ranks have met, directly or through others.
class Meetings {
 public:
  explicit Meetings(int ranks) : root_(static_cast<std::size_t>(ranks)) {
    std::iota(root_.begin(), root_.end(), 0);
  }
  void Meet(int a, int b) {
    const int first = Find(a);
    const int second = Find(b);
    root_[std::max(first, second)] = std::min(first, second);
  }
  [[nodiscard]] std::vector<int> Numbers() const {
    std::vector<int> number(root_.size(), -1);
    std::vector<int> component;
    int next = 0;
    for (int r = 0; r < static_cast<int>(root_.size()); ++r) {
      int& id = number[Find(r)];
      if (id < 0) id = next++;
      component.push_back(id);
    }
    return component;
  }

 private:
  [[nodiscard]] int Find(int r) const {
    while (root_[r] != r) r = root_[r];
    return r;
  }
  std::vector<int> root_;
};

int OwnerRank(const HeadGroup& group, const std::vector<int>& owner, int block) {
  return group.ranks[owner.empty() ? 0U : static_cast<std::size_t>(owner[block])];
}

/// The rounds of one item that lives on `home` and is used on `rank`.
class Rounds {
 public:
  Rounds(const Strategy& strategy, int ranks)
      : two_(strategy.family == Family::kDbsp && strategy.exchange == Exchange::kRing &&
             strategy.ulysses_degree > 1 && strategy.ring_degree > 1),
        ulysses_(strategy.ulysses_degree),
        meetings_(two_ ? 4 : 2, Meetings(ranks)) {}

  /// `back`: the item also returns (a row's O does, a column's K and V do not).
  void Move(int home, int rank, int group, bool back) {
    const std::size_t last = meetings_.size() - 1;
    // Heads move inside the ranks of the home's ring index, blocks inside the group's ranks.
    const int middle = two_ ? home / ulysses_ * ulysses_ + group : rank;
    meetings_[0].Meet(home, middle);
    if (two_) meetings_[1].Meet(middle, rank);
    if (!back) return;
    if (two_) meetings_[2].Meet(rank, middle);
    meetings_[last].Meet(middle, home);
  }
  [[nodiscard]] std::vector<std::vector<int>> Components() const {
    std::vector<std::vector<int>> components;
    for (const Meetings& round : meetings_) components.push_back(round.Numbers());
    return components;
  }

 private:
  bool two_;
  int ulysses_;
  std::vector<Meetings> meetings_;
};

void MoveColumn(
    const Strategy& strategy, const HeadGroup& group, int g, int home, int block, Rounds& rounds) {
  if (strategy.exchange == Exchange::kAllToAll || strategy.exchange == Exchange::kRing) {
    rounds.Move(home, OwnerRank(group, group.col_owner, block), g, false);
    return;
  }
  // Without a ring every rank of the group may fetch the column from its home.
  for (const int rank : group.ranks) rounds.Move(home, rank, g, false);
}

struct RoundBytes {
  std::int64_t sent = 0;
  std::int64_t packed = 0;
  std::int64_t unpacked = 0;
  /// What a rank keeps is packed but not sent, and unpacked but not received.
  [[nodiscard]] std::int64_t Busiest() const { return std::max(sent, unpacked - (packed - sent)); }
};

bool IsRound(SegmentKind kind) {
  return kind == SegmentKind::kPack || kind == SegmentKind::kExchange ||
         kind == SegmentKind::kUnpack;
}

void AddAllToAlls(const Prediction& prediction,
                  const std::vector<std::vector<int>>& components,
                  PlanAmounts& amounts) {
  std::map<std::pair<int, int>, RoundBytes> bytes;  // by (round, rank)
  for (const Segment& s : prediction.segments) {
    if (!IsRound(s.kind)) continue;
    if (s.index < 0 || static_cast<std::size_t>(s.index) >= components.size()) {
      Fail(ErrorCode::kInvalidArgument,
           "--refine: the plan predicts exchange round {}, its strategy has {}",
           s.index,
           components.size());
    }
    RoundBytes& at = bytes[{s.index, s.rank}];
    if (s.kind == SegmentKind::kExchange) at.sent += s.bytes;
    if (s.kind == SegmentKind::kPack) at.packed += s.bytes;
    if (s.kind == SegmentKind::kUnpack) at.unpacked += s.bytes;
  }
  std::map<std::pair<int, int>, std::int64_t> busiest;  // by (round, component)
  for (const auto& [at, moved] : bytes) {
    const auto [round, rank] = at;
    const auto& component = components[round];
    std::int64_t& most = busiest[{round, component.at(rank)}];
    most = std::max(most, moved.Busiest());
  }
  for (const auto& [at, most] : busiest) {
    const auto& component = components[at.first];
    const auto members = std::count(component.begin(), component.end(), at.second);
    if (members > 1 && most > 0) amounts.all_to_alls.insert({static_cast<int>(members), most});
  }
}

int RingOf(const Partition& partition, int rank) {
  for (const HeadGroup& group : partition.groups) {
    const bool here = std::find(group.ranks.begin(), group.ranks.end(), rank) != group.ranks.end();
    if (here && group.ranks.size() > 1) return static_cast<int>(group.ranks.size());
  }
  return 1;
}

/// Most blocks that one of `parts` owners has; all of them where nothing is split.
int MostOwned(const std::vector<int>& owner, std::size_t parts, int blocks) {
  if (owner.empty()) return blocks;
  std::vector<int> owned(parts, 0);
  for (const int part : owner) ++owned.at(part);
  return *std::max_element(owned.begin(), owned.end());
}

int ChunksOf(const Partition& partition) {
  const std::vector<int>& chunk = partition.chunk_of_head;
  return chunk.empty() ? 1 : 1 + *std::max_element(chunk.begin(), chunk.end());
}

/// The groups with the heads of one chunk alone.
Partition HeadsOf(Partition partition, int chunk) {
  for (HeadGroup& group : partition.groups) {
    std::erase_if(group.heads, [&](int head) { return partition.chunk_of_head.at(head) != chunk; });
  }
  partition.chunk_of_head.clear();
  return partition;
}

void AddCalls(const Plan& plan,
              const Strategy& strategy,
              const Partition& partition,
              PlanAmounts& amounts) {
  for (const HeadGroup& group : partition.groups) {
    if (group.heads.empty()) continue;
    const auto heads = static_cast<int>(group.heads.size());
    const int rows = MostOwned(group.row_owner, group.ranks.size(), partition.q_blocks);
    const int cols = MostOwned(group.col_owner, group.ranks.size(), partition.k_blocks);
    amounts.attention.insert({strategy.kernel, heads, rows, cols});
    if (strategy.exchange == Exchange::kRing && group.ranks.size() > 1) {
      const std::int64_t tokens =
          std::min<std::int64_t>(std::int64_t{rows} * plan.shape.block.q, plan.shape.tokens);
      amounts.merges.insert(tokens * heads);
    }
  }
}

}  // namespace

std::vector<std::vector<int>> ExchangeComponents(const AttentionShape& shape,
                                                 const Strategy& strategy,
                                                 const Partition& partition) {
  const int chunks = ChunksOf(partition);
  if (chunks > 1) {  // a round before and one after each
    std::vector<std::vector<int>> before;
    std::vector<std::vector<int>> after;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      auto both = ExchangeComponents(shape, strategy, HeadsOf(partition, chunk));
      before.push_back(std::move(both.front()));
      after.push_back(std::move(both.back()));
    }
    before.insert(before.end(), after.begin(), after.end());
    return before;
  }
  const HomeLayout home = MakeHomeLayout(shape, partition.ranks);
  Rounds rounds(strategy, partition.ranks);
  for (std::size_t g = 0; g < partition.groups.size(); ++g) {
    const HeadGroup& group = partition.groups[g];
    if (group.heads.empty()) continue;
    const auto at = static_cast<int>(g);
    for (int i = 0; i < shape.q_blocks(); ++i) {
      const int from = home.RankOf(static_cast<std::int64_t>(i) * shape.block.q);
      rounds.Move(from, OwnerRank(group, group.row_owner, i), at, true);
    }
    for (int j = 0; j < shape.k_blocks(); ++j) {
      const int from = home.RankOf(static_cast<std::int64_t>(j) * shape.block.k);
      MoveColumn(strategy, group, at, from, j, rounds);
    }
  }
  return rounds.Components();
}

PlanAmounts AmountsOf(const Plan& plan) {
  if (plan.cells.empty()) Fail(ErrorCode::kInvalidArgument, "--refine: the plan has no cells");
  PlanAmounts amounts;
  std::map<int, std::vector<std::vector<int>>> components;  // by strategy
  std::set<std::pair<int, int>> seen;  // (strategy, prediction)
  for (const PlanCell& cell : plan.cells) {
    if (!seen.insert({cell.strategy, cell.prediction}).second) continue;
    const Strategy& strategy = plan.strategies.at(cell.strategy);
    const Partition& partition = plan.partitions.at(strategy.partition);
    const auto [known, fresh] = components.try_emplace(cell.strategy);
    if (fresh) {
      known->second = ExchangeComponents(plan.shape, strategy, partition);
      const int chunks = ChunksOf(partition);
      if (chunks == 1) AddCalls(plan, strategy, partition, amounts);
      for (int chunk = 0; chunks > 1 && chunk < chunks; ++chunk) {
        AddCalls(plan, strategy, HeadsOf(partition, chunk), amounts);
      }
    }
    const Prediction& prediction = plan.predictions.at(cell.prediction);
    AddAllToAlls(prediction, known->second, amounts);
    for (const Segment& s : prediction.segments) {
      if (s.bytes <= 0) continue;
      if (s.kind == SegmentKind::kHop) amounts.hops.insert({RingOf(partition, s.rank), s.bytes});
      if (s.kind == SegmentKind::kPack || s.kind == SegmentKind::kUnpack) {
        amounts.copies.insert(s.bytes);
      }
    }
  }
  return amounts;
}

}  // namespace dbsp::profiler
