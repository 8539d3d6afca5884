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
#include "kernels/plugin.h"
#include "replay/kernel_lookup.h"
#include "replay/pass_groups.h"
#include "replay/work_check.h"

namespace dbsp::replay {
namespace {

/// Sets Segment::predicted_ns. Predictions are for one pass group and apply to every group.
void AddPredictions(const std::vector<Segment>& predicted,
                    int pass_ranks,
                    std::vector<Segment>& replayed) {
  std::map<std::tuple<int, SegmentKind, int>, std::int64_t> known;
  for (const Segment& s : predicted) known[{s.rank, s.kind, s.index}] = s.duration_ns;
  for (Segment& s : replayed) {
    const auto found = known.find({s.rank % pass_ranks, s.kind, s.index});
    if (found != known.end()) s.predicted_ns = found->second;
  }
}

std::int64_t Sum(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

/// Checks that the largest number of bytes sent by one rank of a pass group equals the plan's,
/// converted to the plan's element type.
void RequirePlannedBytes(const std::vector<std::int64_t>& sent,
                         DType dtype,
                         const Plan& plan,
                         const Prediction& planned) {
  const std::int64_t most = *std::max_element(sent.begin(), sent.end());
  const std::int64_t in_plan = most / BytesOf(dtype) * BytesOf(plan.dtype);
  if (in_plan == planned.bytes_per_rank) return;
  Fail(ErrorCode::kInternal,
       "the rank that sent most sent {} bytes ({} as {}), the plan has {}; the plan may come from "
       "another version or may have been made for other masks",
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
        prediction_(plan.predictions.at(planned_.prediction)),
        masks_(masks),
        options_(options),
        target_{options.device,
                options.transport,
                options.kernel,
                options.graph,
                options.sm_margin,
                options.nccl} {
    outcome_.plan_cell = selected.cell;
    record_.multiplicity = selected.multiplicity;
  }

  void Run() {
    Strategy strategy = plan_.strategies.at(planned_.strategy);
    outcome_.planned_kernel = strategy.kernel;
    if (target_.device.kind == runtime::DeviceKind::kCpu) {
      strategy.kernel = ChooseCpuKernel(strategy.kernel, target_.kernel);
    }
    const DType dtype = DTypeOn(target_.device);
    const std::int64_t limit = options_.memory_limit.value_or(
        AvailableMemory().value_or(std::numeric_limits<std::int64_t>::max()));
    const int at_once = ConcurrentGroups(target_.transport, strategy);
    RequireMemory(at_once * HomeBytes(plan_.shape, dtype), limit);
    const Cell cell = MakeCell(plan_.shape,
                               masks_.At(planned_.step, planned_.layer),
                               plan_.partitions.at(strategy.partition),
                               strategy,
                               {options_.seed, planned_.step, planned_.layer, dtype},
                               plan_.layouts.at(strategy.layout));
    for (int first = 0; first < strategy.cfg_degree; first += at_once) {
      std::vector<Cell> cells;
      for (int group = first; group < first + at_once; ++group) {
        cells.push_back(OfPassGroup(cell, group));
      }
      RunGroups(cells, limit);
    }
    RecordMedianRun();
  }

  ReplayCell record_;
  CellOutcome outcome_;

 private:
  /// Runs pass groups concurrently. Their memory is freed before the next groups allocate theirs.
  void RunGroups(std::span<const Cell> cells, std::int64_t memory_limit) {
    const VerifyOptions limits = LimitsOfKernel(cells.front().strategy.kernel);
    PassGroups groups(cells, target_, options_.verify, limits, memory_limit);
    outcome_.memory_bytes = std::max(outcome_.memory_bytes, groups.memory_bytes());
    std::vector<Timeline> runs =
        groups.Run(prediction_.segments, options_.repeats, options_.observer);
    runs_.resize(runs.size());
    for (std::size_t i = 0; i < runs.size(); ++i) AddTimeline(std::move(runs[i]), runs_[i]);
    for (std::size_t g = 0; g < cells.size(); ++g) {
      CellRunner& runner = *groups.runners()[g];
      outcome_.kernel = runner.kernel();
      outcome_.graph_runs = std::max(outcome_.graph_runs, runner.graph_runs());
      AddExecutedWork(cells[g], runner.ranks());
      if (options_.verify) AddVerification(runner.VerifyOutputs(limits));
      if (options_.cupti) AddActivity(runner.Trace(*options_.cupti));
    }
  }

  /// Limits of the verification. A plugin's kernel has the error that it declares, and may have no
  /// log-sum-exp.
  [[nodiscard]] VerifyOptions LimitsOfKernel(const std::string& kernel) const {
    VerifyOptions limits = options_.limits;
    limits.seed = options_.seed;
    if (target_.device.kind != runtime::DeviceKind::kCpu) return limits;
    const kernels::PluginKernel* plugin = kernels::FindCpuAttention(kernel).plugin;
    if (plugin == nullptr) return limits;
    limits.check_lse = plugin->Has(DBSP_KERNEL_LSE);
    if (options_.own_tolerance) return limits;
    const double declared = plugin->max_relative_error;
    limits.max_relative_error = std::max(limits.max_relative_error, declared);
    // A single element may differ by more than the norm, which is a mean over all elements.
    limits.max_abs_error = std::max(limits.max_abs_error, 10 * declared);
    limits.max_lse_error = std::max(limits.max_lse_error, 10 * declared);
    return limits;
  }

  void RecordMedianRun() {
    const Timeline& median = runs_.at(MedianRun(runs_));
    record_.step = planned_.step;
    record_.layer = planned_.layer;
    record_.predicted_ns = prediction_.total_ns;
    record_.replayed_ns = median.makespan_ns;
    record_.segments = median.segments;
    AddPredictions(prediction_.segments, plan_.pass_ranks(), record_.segments);
    const auto shorter = [](const Timeline& a, const Timeline& b) {
      return a.makespan_ns < b.makespan_ns;
    };
    const auto [fastest, slowest] = std::minmax_element(runs_.begin(), runs_.end(), shorter);
    outcome_.fastest_ns = fastest->makespan_ns;
    outcome_.slowest_ns = slowest->makespan_ns;
    outcome_.attention_ns.assign(outcome_.active_blocks.size(), 0);
    for (const Segment& s : record_.segments) {
      if (s.kind != SegmentKind::kAttention) continue;
      outcome_.attention_ns[s.rank] += s.duration_ns;
    }
  }

  /// Adds the executed work of one pass group. Groups are added in the order of their ranks.
  void AddExecutedWork(const Cell& cell, std::span<const Rank* const> ranks) {
    const Status work = CheckWork(cell, ranks);
    if (!work.ok()) Fail(ErrorCode::kInternal, "{}", work.message());
    std::vector<std::int64_t> sent(ranks.size(), 0);
    for (const Rank* rank : ranks) {
      const auto r = static_cast<std::size_t>(rank->rank());
      outcome_.active_blocks.push_back(Sum(rank->executed().active_blocks));
      sent[r] += Sum(rank->executed().sent_bytes);
      // The receiver counts a hop; the next rank of the ring sent it.
      const int sender = cell.schedule.rank[r].ring_next;
      if (sender >= 0 && sender != rank->rank()) {
        sent[sender] += Sum(rank->executed().hop_bytes);
      }
    }
    RequirePlannedBytes(sent, cell.dtype(), plan_, prediction_);
    outcome_.bytes_sent.insert(outcome_.bytes_sent.end(), sent.begin(), sent.end());
  }

  void AddActivity(ActivityReport report) {
    if (!outcome_.activity) {
      outcome_.activity = std::move(report);
      return;
    }
    ActivityReport& sum = *outcome_.activity;
    if (sum.problem.empty()) sum.problem = std::move(report.problem);
    if (sum.losses.empty()) sum.losses = std::move(report.losses);
    sum.segments.insert(sum.segments.end(), report.segments.begin(), report.segments.end());
    sum.untied += report.untied;
    for (const auto& [device, activity] : report.devices) {
      runtime::DeviceActivity& total = sum.devices[device];  // a device may have run several groups
      total.busy_ns += activity.busy_ns;
      total.exchange_ns += activity.exchange_ns;
      total.kernels += activity.kernels;
      total.copies += activity.copies;
      total.untied += activity.untied;
    }
    // The overhead of the group that tracing slowed down more.
    if (report.overhead &&
        (!sum.overhead || report.overhead->relative() > sum.overhead->relative())) {
      sum.overhead = report.overhead;
    }
  }

  void AddVerification(VerifyResult verified) {
    if (outcome_.verified) {
      AddVerified(verified, *outcome_.verified);
    } else {
      outcome_.verified = std::move(verified);
    }
    // When a row is missing or not finite, no values were compared and there is no error to record.
    if (outcome_.verified->rows_checked > 0) {
      record_.relative_error = outcome_.verified->relative_error;
      record_.max_abs_error = outcome_.verified->max_abs_error;
      if (outcome_.verified->lse_checked) record_.lse_error = outcome_.verified->lse_error;
    }
  }

  const Plan& plan_;
  const PlanCell& planned_;
  const Prediction& prediction_;
  planner::MaskSource& masks_;
  const ReplayOptions& options_;
  ExecutionTarget target_;
  std::vector<Timeline> runs_;  ///< kept runs of all pass groups so far
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
  const bool slowed = std::ranges::any_of(plan.predictions, [](const Prediction& prediction) {
    return std::ranges::any_of(prediction.segments,
                               [](const Segment& s) { return s.alone_ns.has_value(); });
  });
  return fmt::format("composed from the plan's predictions ({}, {}){}",
                     NameOf(plan.costs),
                     costs,
                     slowed ? ", including the slowdown of attention by exchanges" : "");
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

}  // namespace dbsp::replay
