// SPDX-License-Identifier: Apache-2.0
// Cells with a load chart and timelines: the distinct cells that take the most time.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "core/error.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

constexpr std::size_t kReplaysPerCell = 2;

using CellKey = std::pair<int, int>;

std::map<CellKey, std::vector<ReplayedCell>> ReplayedCells(
    const std::vector<const db::StoredReplay*>& replays) {
  std::map<CellKey, std::vector<ReplayedCell>> cells;
  for (const db::StoredReplay* stored : replays) {
    for (const ReplayCell& cell : stored->replay.cells) {
      auto& list = cells[{cell.step, cell.layer}];
      if (!cell.segments.empty() && list.size() < kReplaysPerCell) list.push_back({stored, &cell});
    }
  }
  return cells;
}

}  // namespace

std::vector<CellGroup> GroupsOf(const Plan& plan,
                                const std::vector<const db::StoredReplay*>& replays) {
  const auto replayed = ReplayedCells(replays);
  std::map<int, CellGroup> groups;
  for (const PlanCell& cell : plan.cells) {
    CellGroup& group = groups[cell.prediction];
    const auto found = replayed.find({cell.step, cell.layer});
    const bool has_replay = found != replayed.end() && !found->second.empty();
    if (group.cell == nullptr || (has_replay && group.replays.empty())) group.cell = &cell;
    if (has_replay && group.replays.empty()) group.replays = found->second;
    ++group.cells;
    group.weight += static_cast<double>(plan.predictions[cell.prediction].total_ns);
  }
  std::vector<CellGroup> ordered;
  for (auto& [prediction, group] : groups) ordered.push_back(std::move(group));
  std::ranges::stable_sort(ordered, std::greater(), &CellGroup::weight);
  return ordered;
}

namespace {

Json SegmentsJson(const std::vector<Segment>& segments, int ranks, const std::string& origin) {
  Json rank = Json::array(), kind = Json::array(), index = Json::array();
  Json start = Json::array(), duration = Json::array(), bytes = Json::array();
  Json alone = Json::array();
  bool slowed = false;
  for (const Segment& segment : segments) {
    if (segment.rank < 0 || segment.rank >= ranks || segment.duration_ns < 0) {
      Fail(ErrorCode::kCorruptInput,
           "{}: a segment of rank {} lasts {} ns; expected a rank from 0 to {} and a time >= 0",
           origin,
           segment.rank,
           segment.duration_ns,
           ranks - 1);
    }
    rank.push_back(segment.rank);
    kind.push_back(static_cast<int>(segment.kind));
    index.push_back(segment.index);
    start.push_back(segment.start_ns);
    duration.push_back(segment.duration_ns);
    bytes.push_back(segment.bytes);
    alone.push_back(OrNull(segment.alone_ns));
    slowed = slowed || segment.alone_ns.has_value();
  }
  Json columns = {{"rank", rank},
                  {"kind", kind},
                  {"index", index},
                  {"start_ns", start},
                  {"duration_ns", duration},
                  {"bytes", bytes}};
  if (slowed) columns["alone_ns"] = alone;
  return columns;
}

/// Counts the segments that a page may still contain.
class SegmentBudget {
 public:
  explicit SegmentBudget(std::size_t left) : left_(left) {}
  /// Reserves `segments`. Returns false and reserves nothing when fewer are left.
  bool Take(std::size_t segments) {
    if (segments > left_) return false;
    left_ -= segments;
    return true;
  }

 private:
  std::size_t left_;
};

void AddTimelines(const ReportInputs& inputs,
                  const PlanInput& input,
                  const PlanCell& cell,
                  const std::vector<ReplayedCell>& replayed,
                  SegmentBudget& budget,
                  Json& out) {
  const auto& predicted = input.plan.predictions[cell.prediction].segments;
  const int ranks = input.plan.pass_ranks();
  const char* const kTooMany =
      "This timeline was left out because the page already has the maximum number of segments.";
  out["predicted"] = nullptr;
  out["replayed"] = Json::array();
  if (!predicted.empty()) {
    if (budget.Take(predicted.size())) {
      out["predicted"] = SegmentsJson(predicted, ranks, input.name);
    } else {
      out["timeline_missing"] = kTooMany;
    }
  }
  for (const auto& [stored, replay_cell] : replayed) {
    if (!budget.Take(replay_cell->segments.size())) {
      out["timeline_missing"] = kTooMany;
      break;
    }
    const std::string origin = fmt::format("{}: replay {}, step {}, layer {}",
                                           inputs.database_name,
                                           stored->id,
                                           cell.step,
                                           cell.layer);
    out["replayed"].push_back(
        {{"replay_id", stored->id},
         {"transport", stored->replay.transport},
         {"segments", SegmentsJson(replay_cell->segments, input.plan.ranks, origin)}});
  }
}

}  // namespace

void AddShownCells(const ReportInputs& inputs,
                   const PlanInput& input,
                   const std::vector<const db::StoredReplay*>& replays,
                   const StrategyTable& table,
                   const ReportLimits& limits,
                   Json& out) {
  const Plan& plan = input.plan;
  const std::vector<CellGroup> groups = GroupsOf(plan, replays);
  // Place of every prediction in "predictions", which AddCells() fills in the order of the cells.
  std::map<int, std::size_t> place;
  for (const PlanCell& cell : plan.cells) place.emplace(cell.prediction, place.size());
  SegmentBudget budget(limits.segments);
  Json shown = Json::array();
  for (std::size_t i = 0; i < std::min(limits.shown_cells, groups.size()); ++i) {
    const PlanCell& cell = *groups[i].cell;
    const Strategy& strategy = plan.strategies[cell.strategy];
    Json entry = {{"step", cell.step},
                  {"layer", cell.layer},
                  {"same_cells", groups[i].cells},
                  {"strategy", table.of[cell.strategy]},
                  {"prediction", place.at(cell.prediction)},
                  {"ranks", plan.pass_ranks()},
                  {"pass_groups", strategy.cfg_degree},
                  {"timeline_missing", nullptr},
                  {"load", LoadJson(plan, cell)}};
    AddTimelines(inputs, input, cell, groups[i].replays, budget, entry);
    shown.push_back(std::move(entry));
  }
  out["shown"] = std::move(shown);
  out["shown_total"] = groups.size();
}

}  // namespace dbsp::reports
