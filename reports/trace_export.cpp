// SPDX-License-Identifier: Apache-2.0
// Timelines of a plan as Chrome traces: the trace event format's complete events ("X") and
// metadata ("M"), which Perfetto and chrome://tracing open.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "core/error.h"
#include "core/strategy_name.h"
#include "reports/document_parts.h"
#include "reports/exports.h"

namespace dbsp::reports {
namespace {

/// a + b. errors  Error{kCorruptInput} beyond 64 bits
std::int64_t Sum(std::int64_t a, std::int64_t b, const std::string& origin) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected timelines of at most 2^63 ns in total, found more; make the plan again",
         origin);
  }
  return sum;
}

/// First start (at most 0) and last end of the segments.
struct Extent {
  std::int64_t start = 0;
  std::int64_t end = 0;
};

Extent ExtentOf(const std::vector<Segment>& segments, const std::string& origin) {
  Extent extent;
  for (const Segment& s : segments) {
    extent.start = std::min(extent.start, s.start_ns);
    extent.end = std::max(extent.end, Sum(s.start_ns, s.duration_ns, origin));
  }
  return extent;
}

/// Where a cell is in the trace of every rank.
struct PlacedCell {
  const CellGroup* group = nullptr;
  std::int64_t predicted_ns = 0;  ///< time of the predicted timeline's zero
  std::int64_t replayed_ns = 0;  ///< of the replayed one
  std::int64_t predicted_end_ns = 0;
  std::int64_t replayed_end_ns = 0;
};

const std::vector<Segment>& PredictedOf(const Plan& plan, const CellGroup& group) {
  return plan.predictions[group.cell->prediction].segments;
}

/// Cells in the order of steps and layers, each after the longer of both timelines before it.
std::vector<PlacedCell> PlaceCells(const PlanInput& input, const std::vector<CellGroup>& groups) {
  std::vector<PlacedCell> placed;
  std::int64_t origin = 0;
  for (const CellGroup& group : groups) {
    const Extent predicted = ExtentOf(PredictedOf(input.plan, group), input.name);
    const Extent replayed = group.replays.empty()
                                ? Extent{}
                                : ExtentOf(group.replays.front().cell->segments, input.name);
    PlacedCell cell;
    cell.group = &group;
    cell.predicted_ns = Sum(origin, -predicted.start, input.name);
    cell.replayed_ns = Sum(origin, -replayed.start, input.name);
    cell.predicted_end_ns = Sum(cell.predicted_ns, predicted.end, input.name);
    cell.replayed_end_ns = Sum(cell.replayed_ns, replayed.end, input.name);
    origin = std::max(cell.predicted_end_ns, cell.replayed_end_ns);
    placed.push_back(cell);
  }
  return placed;
}

bool OnLink(SegmentKind kind) {
  return kind == SegmentKind::kExchange || kind == SegmentKind::kHop;
}

/// Microseconds with three decimals, without rounding.
std::string Us(std::int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }

/// Text as a JSON string.
std::string JsonText(const std::string& text) { return DumpJson(Json(text)); }

/// Writes the events of one process, the predicted or the replayed times of a rank.
class ProcessWriter {
 public:
  ProcessWriter(int pid, const std::string& name, std::string category, std::string& out)
      : pid_(pid), category_(std::move(category)), out_(out) {
    Meta("process_name", -1, fmt::format("\"name\":{}", JsonText(name)));
    Meta("process_sort_index", -1, fmt::format("\"sort_index\":{}", pid));
    Lane(0, "cells");
  }

  /// One slice that covers the cell; segments follow.
  void Cell(const std::string& name,
            std::int64_t start,
            std::int64_t end,
            const std::string& args) {
    Event(0, name, "cell", start, end - start, args);
  }

  /// requires segments of one rank, sorted by start
  void Segments(const std::vector<const Segment*>& segments, std::int64_t origin) {
    for (const Segment* s : segments) {
      const bool link = OnLink(s->kind);
      std::string args = fmt::format("\"index\":{},\"bytes\":{}", s->index, s->bytes);
      if (s->alone_ns) args += fmt::format(",\"alone_us\":{}", Us(*s->alone_ns));
      if (s->predicted_ns) args += fmt::format(",\"predicted_us\":{}", Us(*s->predicted_ns));
      Event(LaneOf(link, origin + s->start_ns, s->duration_ns),
            fmt::format("{} {}", NameOf(s->kind), s->index),
            link ? "communication" : "compute",
            origin + s->start_ns,
            s->duration_ns,
            args);
    }
  }

 private:
  struct LaneState {
    int tid = 0;
    std::int64_t end = 0;
  };

  /// A lane of the device or of the exchange whose last slice has ended. Slices of one thread must
  /// nest, so segments that run at the same time are on lanes of their own.
  int LaneOf(bool link, std::int64_t start, std::int64_t duration) {
    std::vector<LaneState>& lanes = lanes_[link ? 1 : 0];
    auto free = std::ranges::find_if(lanes, [&](const LaneState& l) { return l.end <= start; });
    if (free == lanes.end()) {
      // Lanes of the device are odd, those of the exchange even, from 1 and 2 on.
      const int tid = static_cast<int>(2 * lanes.size()) + (link ? 2 : 1);
      const std::string number = lanes.empty() ? "" : fmt::format(" {}", lanes.size() + 1);
      Lane(tid, (link ? "exchange" : "device") + number);
      free = lanes.insert(lanes.end(), {tid, 0});
    }
    free->end = start + duration;
    return free->tid;
  }

  void Lane(int tid, const std::string& name) {
    Meta("thread_name", tid, fmt::format("\"name\":{}", JsonText(name)));
    Meta("thread_sort_index", tid, fmt::format("\"sort_index\":{}", tid));
  }

  void Meta(const char* what, int tid, const std::string& args) {
    out_ += fmt::format("{}{{\"ph\":\"M\",\"name\":\"{}\",\"pid\":{}{},\"args\":{{{}}}}}",
                        out_.back() == '[' ? "\n" : ",\n",
                        what,
                        pid_,
                        tid < 0 ? "" : fmt::format(",\"tid\":{}", tid),
                        args);
  }

  void Event(int tid,
             const std::string& name,
             const char* what,
             std::int64_t start,
             std::int64_t duration,
             const std::string& args) {
    fmt::format_to(
        std::back_inserter(out_),
        ",\n{{\"ph\":\"X\",\"name\":{},\"cat\":\"{},{}\",\"pid\":{},\"tid\":{},\"ts\":{},"
        "\"dur\":{},\"args\":{{{}}}}}",
        JsonText(name),
        category_,
        what,
        pid_,
        tid,
        Us(start),
        Us(duration),
        args);
  }

  int pid_;
  std::string category_;
  std::string& out_;
  std::array<std::vector<LaneState>, 2> lanes_;
};

/// Segments of one rank, sorted by start.
std::vector<const Segment*> OfRank(const std::vector<Segment>& segments, int rank) {
  std::vector<const Segment*> found;
  for (const Segment& s : segments) {
    if (s.rank == rank) found.push_back(&s);
  }
  std::ranges::stable_sort(found, {}, [](const Segment* s) { return s->start_ns; });
  return found;
}

std::string CellName(const PlanCell& cell) {
  return fmt::format("step {}, layer {}", cell.step, cell.layer);
}

/// The trace of one rank, all cells.
std::string RankTrace(const PlanInput& input,
                      const std::vector<PlacedCell>& cells,
                      const std::vector<std::string>& names,
                      int rank) {
  const Plan& plan = input.plan;
  const StrategyTable table = MakeStrategyTable(plan);
  std::string out = fmt::format(
      "{{\"displayTimeUnit\":\"ms\",\n\"distributedInfo\":{{\"rank\":{},\"world_size\":{}}},\n"
      "\"otherData\":{{\"plan\":{},\"workload\":{}}},\n\"traceEvents\":[",
      rank,
      plan.ranks,
      JsonText(input.name),
      JsonText(plan.workload_name));
  const auto args = [&](const CellGroup& group, const std::string& more) {
    const std::string& strategy = names[table.of[group.cell->strategy]];
    return fmt::format(
        "\"strategy\":{},\"same_cells\":{}{}", JsonText(strategy), group.cells, more);
  };
  ProcessWriter predicted(2 * rank, fmt::format("rank {}, predicted", rank), "predicted", out);
  for (const PlacedCell& cell : cells) {
    const auto& segments = PredictedOf(plan, *cell.group);
    if (segments.empty()) continue;
    predicted.Cell(CellName(*cell.group->cell),
                   cell.predicted_ns,
                   cell.predicted_end_ns,
                   args(*cell.group, ""));
    predicted.Segments(OfRank(segments, rank % plan.pass_ranks()), cell.predicted_ns);
  }
  const bool any =
      std::ranges::any_of(cells, [](const auto& c) { return !c.group->replays.empty(); });
  if (any) {
    ProcessWriter replayed(2 * rank + 1, fmt::format("rank {}, replayed", rank), "replayed", out);
    for (const PlacedCell& cell : cells) {
      if (cell.group->replays.empty()) continue;
      const ReplayedCell& replay = cell.group->replays.front();
      replayed.Cell(CellName(*cell.group->cell),
                    cell.replayed_ns,
                    cell.replayed_end_ns,
                    args(*cell.group,
                         fmt::format(",\"replay\":{},\"transport\":{}",
                                     replay.stored->id,
                                     JsonText(replay.stored->replay.transport))));
      replayed.Segments(OfRank(replay.cell->segments, rank), cell.replayed_ns);
    }
  }
  return out + "\n]}\n";
}

std::string TraceName(const ReportInputs& inputs, std::size_t plan, int rank) {
  const std::string prefix = inputs.plans.size() > 1 ? fmt::format("plan{}-", plan + 1) : "";
  return fmt::format("{}rank{}.json", prefix, rank);
}

}  // namespace

std::vector<std::string> TraceNames(const ReportInputs& inputs) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < inputs.plans.size(); ++i) {
    for (int rank = 0; rank < inputs.plans[i].plan.ranks; ++rank) {
      names.push_back(TraceName(inputs, i, rank));
    }
  }
  return names;
}

std::vector<ExportFile> TraceFiles(const ReportInputs& inputs) {
  if (inputs.plans.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "there is no plan to trace: give --plan FILE, or a database with plans");
  }
  std::vector<ExportFile> files;
  bool any = false;
  for (std::size_t i = 0; i < inputs.plans.size(); ++i) {
    const PlanInput& input = inputs.plans[i];
    std::vector<CellGroup> groups = GroupsOf(input.plan, ReplaysOf(inputs, input));
    std::ranges::sort(groups, {}, [](const CellGroup& group) {
      return std::pair(group.cell->step, group.cell->layer);
    });
    any = any || std::ranges::any_of(groups, [&](const CellGroup& group) {
            return !group.replays.empty() || !PredictedOf(input.plan, group).empty();
          });
    const std::vector<PlacedCell> cells = PlaceCells(input, groups);
    const auto names = NamesOf(MakeStrategyTable(input.plan), input.plan);
    for (int rank = 0; rank < input.plan.ranks; ++rank) {
      files.push_back({TraceName(inputs, i, rank), RankTrace(input, cells, names, rank)});
    }
  }
  if (!any) {
    Fail(ErrorCode::kInvalidArgument,
         "no plan has a timeline: make the plan again with dbsp-tune, or replay it");
  }
  return files;
}

}  // namespace dbsp::reports
