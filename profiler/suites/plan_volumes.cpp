// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/plan_volumes.h"

#include <algorithm>
#include <map>
#include <vector>

#include "core/error.h"
#include "planner/timeline/connected_ranks.h"

namespace dbsp::profiler {
namespace {

struct RoundBytes {
  std::int64_t sent = 0;
  std::int64_t packed = 0;
  std::int64_t unpacked = 0;
  /// A rank packs and unpacks its local copies, but neither sends nor receives them.
  [[nodiscard]] std::int64_t Busiest() const { return std::max(sent, unpacked - (packed - sent)); }
};

bool IsRound(SegmentKind kind) {
  return kind == SegmentKind::kPack || kind == SegmentKind::kExchange ||
         kind == SegmentKind::kUnpack;
}

void AddAllToAlls(const Prediction& prediction,
                  const std::vector<std::vector<int>>& components,
                  PlanVolumes& volumes) {
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
    if (members > 1 && most > 0) volumes.all_to_alls.insert({static_cast<int>(members), most});
  }
}

/// Largest number of blocks that one of `parts` owners has. All blocks if there is no split.
int MostOwned(const std::vector<int>& owner, std::size_t parts, int blocks) {
  if (owner.empty()) return blocks;
  std::vector<int> owned(parts, 0);
  for (const int part : owner) ++owned.at(part);
  return *std::max_element(owned.begin(), owned.end());
}

/// Heads of a group by chunk.
std::map<int, int> HeadsOfChunks(const Partition& partition, const HeadGroup& group) {
  std::map<int, int> heads;
  for (const int head : group.heads) {
    ++heads[partition.chunk_of_head.empty() ? 0 : partition.chunk_of_head.at(head)];
  }
  return heads;
}

void AddCalls(const Plan& plan,
              const Strategy& strategy,
              const Partition& partition,
              PlanVolumes& volumes) {
  for (const HeadGroup& group : partition.groups) {
    const int rows = MostOwned(group.row_owner, group.ranks.size(), partition.q_blocks);
    const int cols = MostOwned(group.col_owner, group.ranks.size(), partition.k_blocks);
    for (const auto& [chunk, heads] : HeadsOfChunks(partition, group)) {
      volumes.attention.insert({strategy.kernel, heads, rows, cols});
      if (strategy.exchange != Exchange::kRing || group.ranks.size() == 1) continue;
      const std::int64_t tokens =
          std::min<std::int64_t>(std::int64_t{rows} * plan.shape.block.q, plan.shape.tokens);
      volumes.merges.insert(tokens * heads);
    }
  }
}

}  // namespace

PlanVolumes VolumesOf(const Plan& plan) {
  if (plan.cells.empty()) Fail(ErrorCode::kInvalidArgument, "--refine: the plan has no cells");
  PlanVolumes volumes;
  std::map<int, planner::ConnectedRanks> connected;  // by strategy
  std::set<std::pair<int, int>> seen;  // (strategy, prediction)
  for (const PlanCell& cell : plan.cells) {
    if (!seen.insert({cell.strategy, cell.prediction}).second) continue;
    const Strategy& strategy = plan.strategies.at(cell.strategy);
    const auto [known, fresh] = connected.try_emplace(cell.strategy);
    if (fresh) {
      const Partition& partition = plan.partitions.at(strategy.partition);
      known->second = planner::FindConnectedRanks(plan.shape, partition, strategy);
      AddCalls(plan, strategy, partition, volumes);
    }
    const Prediction& prediction = plan.predictions.at(cell.prediction);
    AddAllToAlls(prediction, known->second.component, volumes);
    for (const Segment& s : prediction.segments) {
      if (s.bytes <= 0) continue;
      if (s.kind == SegmentKind::kHop) {
        volumes.hops.insert({known->second.ring_size.at(s.rank), s.bytes});
      }
      if (s.kind == SegmentKind::kPack || s.kind == SegmentKind::kUnpack) {
        volumes.copies.insert(s.bytes);
      }
    }
  }
  return volumes;
}

}  // namespace dbsp::profiler
