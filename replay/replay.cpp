// SPDX-License-Identifier: Apache-2.0
#include "replay/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "replay/kernel_choice.h"

namespace dbsp::replay {
namespace {

std::vector<std::optional<std::int64_t>> MatchPredictions(const std::vector<Segment>& replayed,
                                                          const std::vector<Segment>& predicted) {
  std::map<std::tuple<int, SegmentKind, int>, std::int64_t> known;
  for (const Segment& s : predicted) known[{s.rank, s.kind, s.index}] = s.duration_ns;
  std::vector<std::optional<std::int64_t>> matched;
  for (const Segment& s : replayed) {
    const auto found = known.find({s.rank, s.kind, s.index});
    matched.push_back(found == known.end() ? std::nullopt : std::optional(found->second));
  }
  return matched;
}

std::int64_t Sum(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

/// The most that one rank really sent must be what the plan says, in the plan's element type.
void RequirePlannedBytes(const CellOutcome& outcome,
                         DType dtype,
                         const Plan& plan,
                         const Prediction& planned) {
  const std::int64_t most = *std::max_element(outcome.bytes_sent.begin(), outcome.bytes_sent.end());
  const std::int64_t in_plan = most / BytesOf(dtype) * BytesOf(plan.dtype);
  if (in_plan == planned.bytes_per_rank) return;
  Fail(ErrorCode::kInternal,
       "the busiest rank sent {} bytes ({} as {}), the plan says {}; was the plan made by another "
       "version, or for other masks?",
       most,
       in_plan,
       dbsp::NameOf(plan.dtype),
       planned.bytes_per_rank);
}

/// One cell of a plan being replayed.
class CellReplay {
 public:
  CellReplay(const Plan& plan,
             const SelectedCell& selected,
             planner::MaskSource& masks,
             const ReplayOptions& options)
      : plan_(plan),
        planned_(plan.cells.at(selected.cell)),
        prediction_(plan.predictions.at(static_cast<std::size_t>(planned_.prediction))),
        masks_(masks),
        options_(options),
        on_{options.device,
            options.transport,
            options.kernel,
            options.graph,
            options.sm_margin,
            options.nccl} {
    outcome_.plan_cell = selected.cell;
    outcome_.stands_for = selected.stands_for;
  }

  void Run() {
    Strategy strategy = plan_.strategies.at(static_cast<std::size_t>(planned_.strategy));
    outcome_.planned_kernel = strategy.kernel;
    if (on_.device.kind == runtime::DeviceKind::kCpu) {
      strategy.kernel = ChooseCpuKernel(strategy.kernel, on_.kernel);
    }
    const DType dtype = DTypeOn(on_.device);
    const std::int64_t limit = options_.memory_limit.value_or(
        AvailableMemory().value_or(std::numeric_limits<std::int64_t>::max()));
    RequireMemory(HomeBytes(plan_.shape, dtype), limit);
    const Cell cell = MakeCell(plan_.shape,
                               masks_.At(planned_.step, planned_.layer),
                               plan_.partitions.at(static_cast<std::size_t>(strategy.partition)),
                               strategy,
                               {options_.seed, planned_.step, planned_.layer, dtype},
                               plan_.layouts.at(static_cast<std::size_t>(strategy.layout)));
    VerifyOptions limits = options_.limits;
    limits.seed = options_.seed;
    const std::unique_ptr<CellRunner> runner =
        MakeRunner(cell, on_, options_.verify, limits, limit);
    outcome_.memory_bytes = runner->memory_bytes();
    outcome_.kernel = runner->kernel();
    Keep(runner->Run(prediction_.segments, options_.repeats, options_.observer));
    outcome_.graph_runs = runner->graph_runs();
    Count(cell, runner->ranks());
    if (options_.verify) Judge(runner->Judge(limits));
    if (options_.cupti) outcome_.activity = runner->Trace(*options_.cupti);
  }

  ReplayCell record_;
  CellOutcome outcome_;

 private:
  void Keep(const std::vector<Timeline>& runs) {
    const Timeline& median = runs.at(MedianRun(runs));
    record_.step = planned_.step;
    record_.layer = planned_.layer;
    record_.predicted_ns = prediction_.total_ns;
    record_.replayed_ns = median.makespan_ns;
    record_.segments = median.segments;
    record_.segment_predicted_ns = MatchPredictions(median.segments, prediction_.segments);
    const auto shorter = [](const Timeline& a, const Timeline& b) {
      return a.makespan_ns < b.makespan_ns;
    };
    const auto [fastest, slowest] = std::minmax_element(runs.begin(), runs.end(), shorter);
    outcome_.fastest_ns = fastest->makespan_ns;
    outcome_.slowest_ns = slowest->makespan_ns;
  }

  void Count(const Cell& cell, std::span<const Rank* const> ranks) {
    const std::string problem = WorkProblem(cell, ranks);
    if (!problem.empty()) Fail(ErrorCode::kInternal, "{}", problem);
    outcome_.attention_ns.assign(ranks.size(), 0);
    for (const Segment& s : record_.segments) {
      if (s.kind != SegmentKind::kAttention) continue;
      outcome_.attention_ns[static_cast<std::size_t>(s.rank)] += s.duration_ns;
    }
    outcome_.bytes_sent.assign(ranks.size(), 0);
    for (const Rank* rank : ranks) {
      const auto r = static_cast<std::size_t>(rank->rank());
      outcome_.kept_blocks.push_back(Sum(rank->executed().kept_blocks));
      outcome_.bytes_sent[r] += Sum(rank->executed().sent_bytes);
      // A hop is counted where it arrives, and was sent by the next rank of the ring.
      const int sender = cell.schedule.rank[r].ring_next;
      if (sender >= 0 && sender != rank->rank()) {
        outcome_.bytes_sent[static_cast<std::size_t>(sender)] += Sum(rank->executed().hop_bytes);
      }
    }
    RequirePlannedBytes(outcome_, cell.dtype(), plan_, prediction_);
  }

  void Judge(VerifyResult verified) {
    outcome_.verified = std::move(verified);
    // When a row is missing or not finite nothing was compared: there is no error to write down.
    if (outcome_.verified->rows_checked > 0) {
      record_.relative_error = outcome_.verified->relative_error;
      record_.max_abs_error = outcome_.verified->max_abs_error;
      record_.lse_error = outcome_.verified->lse_error;
    }
  }

  const Plan& plan_;
  const PlanCell& planned_;
  const Prediction& prediction_;
  planner::MaskSource& masks_;
  const ReplayOptions& options_;
  RunOn on_;
};

}  // namespace

VerifyOptions LimitsOf(const runtime::DeviceSpec& device) {
  VerifyOptions limits;
  if (DTypeOn(device) == DType::kBf16) {
    limits.max_relative_error = 5e-3;
    limits.max_abs_error = 3e-2;
    limits.max_lse_error = 1e-4;
  }
  return limits;
}

std::string ExchangeSourceOf(const Plan& plan, TransportKind transport) {
  if (transport != TransportKind::kSerial) return "measured in this run";
  const std::string costs =
      plan.cluster.empty() ? "database " + plan.database_hash : "cluster " + plan.cluster;
  return fmt::format("composed from the plan's predictions ({}, {})", NameOf(plan.costs), costs);
}

ReplayOutcome Replay(const Plan& plan, planner::MaskSource& masks, const ReplayOptions& options) {
  RequireTransport(options.transport, options.device);
  if (options.repeats.runs < 1 || options.repeats.warmups < 0) {
    Fail(ErrorCode::kInvalidArgument,
         "{} warm-up and {} kept runs; expected at least 0 and 1",
         options.repeats.warmups,
         options.repeats.runs);
  }
  ReplayOutcome outcome;
  outcome.dtype = DTypeOn(options.device);
  outcome.record.plan_hash = HashBytes(PlanToJson(plan));
  outcome.record.workload_hash = plan.workload_hash;
  outcome.record.transport = NameOf(options.transport);
  outcome.record.exchange_source = ExchangeSourceOf(plan, options.transport);
  outcome.record.ranks = plan.ranks;
  outcome.record.verified = options.verify;
  const std::vector<SelectedCell> selected = SelectCells(plan, options.cells);
  for (const SelectedCell& one : selected) {
    const PlanCell& cell = plan.cells[one.cell];
    if (options.progress) {
      options.progress(fmt::format("cell {} of {}: step {}, layer {}",
                                   outcome.cells.size() + 1,
                                   selected.size(),
                                   cell.step,
                                   cell.layer));
    }
    CellReplay replay(plan, one, masks, options);
    try {
      replay.Run();
    } catch (const Error& error) {
      Fail(error.code(), "step {} layer {}: {}", cell.step, cell.layer, error.what());
    }
    if (replay.outcome_.verified && !replay.outcome_.verified->passed) {
      outcome.record.passed = false;
    }
    outcome.record.cells.push_back(std::move(replay.record_));
    outcome.cells.push_back(std::move(replay.outcome_));
  }
  return outcome;
}

ReplayRecord ReplayPlan(const Plan& plan,
                        planner::MaskSource& masks,
                        const ReplayOptions& options) {
  return Replay(plan, masks, options).record;
}

}  // namespace dbsp::replay
