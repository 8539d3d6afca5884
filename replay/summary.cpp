// SPDX-License-Identifier: Apache-2.0
#include "replay/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "core/baseline.h"
#include "core/strategy_name.h"
#include "core/terminal_text.h"
#include "core/units.h"

namespace dbsp::replay {
namespace {

/// Sums of max and mean over ranks.
struct Balance {
  double max = 0;
  double mean = 0;
  void Add(const std::vector<std::int64_t>& per_rank, double times) {
    const auto total = std::accumulate(per_rank.begin(), per_rank.end(), std::int64_t{0});
    max += times * static_cast<double>(*std::max_element(per_rank.begin(), per_rank.end()));
    mean += times * static_cast<double>(total) / static_cast<double>(per_rank.size());
  }
  [[nodiscard]] double ratio() const { return mean > 0 ? max / mean : 1.0; }
};

void AddVerified(const VerifyResult& verified, std::size_t at, ReplaySummary& summary) {
  summary.rows_checked += verified.rows_checked;
  summary.rows += verified.rows;
  summary.relative_error = std::max(summary.relative_error, verified.relative_error);
  summary.max_abs_error = std::max(summary.max_abs_error, verified.max_abs_error);
  if (verified.lse_checked) {
    summary.lse_error = std::max(summary.lse_error.value_or(0), verified.lse_error);
  }
  if (verified.unsplit_error) {
    summary.unsplit_error = std::max(summary.unsplit_error.value_or(0), *verified.unsplit_error);
  }
  if (verified.unsplit_lse_error) {
    summary.unsplit_lse_error =
        std::max(summary.unsplit_lse_error.value_or(0), *verified.unsplit_lse_error);
  }
  if (!verified.passed && !summary.first_failure) summary.first_failure = at;
}

std::string Percent(std::optional<double> error) {
  return error ? fmt::format("{:+.1f}%", 100 * *error) : std::string("-");
}

std::string KindLine(const char* name, const LedgerEntry& entry) {
  const std::string predicted = fmt::format("  {:<10} {:>13.3f} ", name, ToMs(entry.predicted_ns));
  if (!entry.measured) return predicted + "not measured: the plan's time\n";
  return predicted + fmt::format("{:>13.3f} {:>+13.3f} {:>9}\n",
                                 ToMs(entry.replayed_ns),
                                 ToMs(entry.error_ns().value()),
                                 Percent(entry.relative_error()));
}

/// One line per baseline: the plan's predicted gain over it, or why none is known.
std::string BaselineLines(const Plan& plan) {
  if (plan.baselines.empty()) {
    return "gain        no gain is known: the plan has no baselines; tune again to add them\n";
  }
  std::string text;
  for (const Baseline& baseline : plan.baselines) {
    const std::optional<Gain> gain = GainOver(plan, baseline);
    text += gain ? fmt::format("gain        predicted {}\n", GainText(*gain, baseline.family))
                 : fmt::format("gain        no gain over plain {} is known: {}\n",
                               NameOf(baseline.family),
                               WhyNoGain(baseline));
  }
  return text;
}

/// One line per strategy, at most three.
std::string StrategyLines(const Plan& plan) {
  constexpr std::size_t kMostLines = 3;
  const std::vector<StrategyUse> uses = StrategiesInUse(plan);
  std::string text;
  for (std::size_t i = 0; i < std::min(kMostLines, uses.size()); ++i) {
    text += fmt::format("strategy    {} in {} of {} cells\n",
                        TerminalLine(uses[i].name),
                        uses[i].cells,
                        plan.cells.size());
  }
  if (uses.size() > kMostLines) {
    text += fmt::format("strategy    {} more in the other cells\n", uses.size() - kMostLines);
  }
  return text;
}

std::string KindLines(const ReplaySummary& summary) {
  std::string text = fmt::format("  {:<10} {:>13} {:>13} {:>13} {:>9}\n",
                                 "segments",
                                 "predicted ms",
                                 "replayed ms",
                                 "error ms",
                                 "error");
  std::int64_t unpredicted = 0;
  std::int64_t unpredicted_ns = 0;
  for (int k = 0; k < kSegmentKinds; ++k) {
    const LedgerEntry& kind = summary.ledger[k];
    unpredicted += kind.unpredicted_segments;
    unpredicted_ns += kind.unpredicted_ns;
    if (kind.segments == 0) continue;
    text += KindLine(NameOf(static_cast<SegmentKind>(k)), kind);
  }
  const LedgerEntry measured = MeasuredPart(summary.ledger);
  const bool all = std::ranges::all_of(
      summary.ledger, [](const LedgerEntry& e) { return e.measured || e.segments == 0; });
  if (!all) text += KindLine("measured", measured);
  if (unpredicted > 0) {
    text += fmt::format(
        "  {} segments have no prediction ({:.3f} ms)\n", unpredicted, ToMs(unpredicted_ns));
  }
  return text;
}

std::string VerifyLine(const ReplaySummary& summary, const ReplayOutcome& outcome) {
  if (!outcome.record.verified)
    return "verified    no (--verify compares with an fp64 reference)\n";
  std::string text = fmt::format(
      "verified    {}: {} of {} rows in {} cells, relative error {:.2e}, largest difference "
      "{:.2e}, {}\n",
      outcome.record.passed ? "passed" : "FAILED",
      summary.rows_checked,
      summary.rows,
      summary.cells,
      summary.relative_error,
      summary.max_abs_error,
      summary.lse_error ? fmt::format("log-sum-exp within {:.2e}", *summary.lse_error)
                        : "no log-sum-exp: the kernel writes none");
  if (summary.unsplit_error) {
    text += fmt::format(
        "            all rows against an unsplit run: relative error {:.2e}, log-sum-exp within "
        "{:.2e}\n",
        *summary.unsplit_error,
        summary.unsplit_lse_error.value_or(0));
  }
  if (!outcome.record.passed) text += "            " + FailureText(outcome) + "\n";
  return text;
}

/// "sm90.block128x128.d128", and for which planned ones it stands in; one line for every pair.
std::string KernelLines(const ReplayOutcome& outcome) {
  std::set<std::pair<std::string, std::string>> pairs;
  for (const CellOutcome& cell : outcome.cells) pairs.emplace(cell.kernel, cell.planned_kernel);
  std::string text;
  for (const auto& [ran, planned] : pairs) {
    const bool same = planned.empty() || planned == ran;
    text += fmt::format("kernel      {}{}\n",
                        TerminalLine(ran),
                        same ? "" : " in place of the plan's " + TerminalLine(planned));
  }
  return text;
}

bool BetweenRanks(SegmentKind kind) {
  return kind == SegmentKind::kExchange || kind == SegmentKind::kHop;
}

/// One line on what CUPTI recorded; it begins with "devices 0-7: " if several devices ran.
std::string DeviceLine(const ReplayOutcome& outcome) {
  std::map<std::uint32_t, runtime::DeviceActivity> total;
  for (const CellOutcome& cell : outcome.cells) {
    for (const auto& [id, device] : cell.activity->devices) {
      total[id].busy_ns += device.busy_ns;
      total[id].exchange_ns += device.exchange_ns;
    }
  }
  if (total.size() < 2) return {};
  std::string text = "            by device, at work of which NCCL, ms:";
  for (const auto& [id, device] : total) {
    text += fmt::format(" {}: {:.3f}/{:.3f}", id, ToMs(device.busy_ns), ToMs(device.exchange_ns));
  }
  return text + "\n";
}

/// How long devices were at work, by CUPTI, beside the segments' times by events, and what tracing
/// costs. What exchanges and hops wait is in their events, so they are left out.
std::string ActivityLines(const ReplayOutcome& outcome) {
  double busy_ns = 0;
  double events_ns = 0;
  std::string losses;
  for (std::size_t i = 0; i < outcome.cells.size(); ++i) {
    const std::optional<ActivityReport>& activity = outcome.cells[i].activity;
    if (!activity) return {};
    if (!activity->problem.empty()) {
      return fmt::format("cupti       unavailable: {}\n", activity->problem);
    }
    for (const SegmentBusy& segment : activity->segments) {
      if (!BetweenRanks(segment.key.kind)) busy_ns += static_cast<double>(segment.busy_ns);
    }
    for (const Segment& s : outcome.record.cells[i].segments) {
      if (!BetweenRanks(s.kind)) events_ns += static_cast<double>(s.duration_ns);
    }
    if (losses.empty()) losses = activity->losses;
  }
  std::string text = fmt::format(
      "cupti       device at work {:.3f} ms of the {:.3f} ms of segments by events, all ranks; "
      "records lost: {}\n",
      busy_ns / kNsPerMs,
      events_ns / kNsPerMs,
      losses.empty() ? "none" : losses);
  text += DeviceLine(outcome);
  if (const std::optional<TraceOverhead> overhead = OverheadOf(outcome)) {
    text += fmt::format(
        "            tracing costs {:+.2f}% (at most {:.0f}% is allowed): {:.3f} ms with, {:.3f} "
        "ms without, medians of {} alternating runs each\n",
        100 * overhead->relative(),
        100 * kMostTraceOverhead,
        ToMs(overhead->traced_ns),
        ToMs(overhead->plain_ns),
        overhead->pairs);
  }
  return text;
}

std::string TransportLine(const ReplayOutcome& outcome,
                          const ReplayOptions& options,
                          const Provenance& machine) {
  const std::string runs = fmt::format(
      "median of {} runs after {} warm-up", options.repeats.runs, options.repeats.warmups);
  if (options.transport == TransportKind::kSerial) {
    int graphs = 0;
    for (const CellOutcome& cell : outcome.cells) graphs += cell.graph_runs > 0 ? 1 : 0;
    return fmt::format("transport   serial: ranks one after the other, every segment's {}{}\n",
                       runs,
                       graphs > 0 ? fmt::format("; {} cells as CUDA graphs", graphs) : "");
  }
  const int ranks = outcome.record.ranks;
  if (options.transport == TransportKind::kNccl) {
    return fmt::format("transport   nccl: {} ranks on as many GPUs, {}\n", ranks, runs);
  }
  return fmt::format("transport   {}: {} ranks on {} cores{}, {}\n",
                     outcome.record.transport,
                     ranks,
                     machine.cores,
                     ranks > machine.cores ? " (ranks share cores; times are wall-clock)" : "",
                     runs);
}

}  // namespace

std::optional<TraceOverhead> OverheadOf(const ReplayOutcome& outcome) {
  std::optional<TraceOverhead> sum;
  for (const CellOutcome& cell : outcome.cells) {
    if (!cell.activity || !cell.activity->overhead) continue;
    if (!sum) sum.emplace();
    sum->pairs = cell.activity->overhead->pairs;
    sum->plain_ns += cell.activity->overhead->plain_ns;
    sum->traced_ns += cell.activity->overhead->traced_ns;
  }
  return sum;
}

ReplaySummary Summarize(const Plan& plan, const ReplayOutcome& outcome) {
  ReplaySummary summary;
  summary.cells = static_cast<std::int64_t>(outcome.cells.size());
  summary.cells_in_plan = static_cast<std::int64_t>(plan.cells.size());
  summary.ledger = LedgerOf(outcome.record);
  const ReplayTotals totals = TotalsOf(outcome.record);
  summary.cells_meant = totals.cells_meant.value();
  summary.predicted_ns = totals.predicted_ns * plan.sequential_waves();
  summary.replayed_ns = totals.replayed_ns * plan.sequential_waves();
  Balance time;
  Balance blocks;
  double worst = -1;
  for (std::size_t i = 0; i < outcome.cells.size(); ++i) {
    const CellOutcome& cell = outcome.cells[i];
    const ReplayCell& record = outcome.record.cells[i];
    const std::int64_t multiplicity = record.multiplicity.value();
    const auto times = static_cast<double>(multiplicity);
    time.Add(cell.attention_ns, times);
    blocks.Add(cell.active_blocks, times);
    for (const std::int64_t bytes : cell.bytes_sent) summary.bytes_moved += multiplicity * bytes;
    summary.memory_bytes = std::max(summary.memory_bytes, cell.memory_bytes);
    const double error =
        std::abs(RelativeError(record.predicted_ns, record.replayed_ns).value_or(0));
    if (error > worst) {
      worst = error;
      summary.worst_cell = i;
    }
    if (cell.verified) AddVerified(*cell.verified, i, summary);
  }
  summary.attention_balance = time.ratio();
  summary.block_balance = blocks.ratio();
  return summary;
}

std::string SummaryText(const Plan& plan,
                        const ReplayOutcome& outcome,
                        const ReplayOptions& options,
                        const Provenance& machine) {
  const ReplaySummary s = Summarize(plan, outcome);
  const ReplayCell& worst = outcome.record.cells.at(s.worst_cell);
  const int groups = plan.cfg_degree();
  std::string text = fmt::format(
      "plan        {}, {} ranks{}, costs {}\n",
      TerminalLine(plan.workload_name),
      plan.ranks,
      groups > 1
          ? fmt::format(" ({} passes at the same time, {} ranks each)", groups, plan.pass_ranks())
          : "",
      dbsp::NameOf(plan.costs));
  text += StrategyLines(plan);
  text += fmt::format(
      "cells       {} run, standing for {} of {}\n", s.cells, s.cells_meant, s.cells_in_plan);
  text += TransportLine(outcome, options, machine);
  text += KernelLines(outcome);
  text += fmt::format("exchange    {}\n", TerminalLine(outcome.record.exchange_source));
  if (plan.device != machine.device_name) {
    text += fmt::format(
        "note        predicted for {}, replayed on {}: the errors compare two machines\n",
        plan.device.empty() ? "no named device" : TerminalLine(plan.device),
        TerminalLine(machine.device_name));
  }
  const std::string passes = plan.passes > 1 ? fmt::format(", {} passes", plan.passes) : "";
  text += fmt::format("predicted   {:.3f} ms{}\n", ToMs(s.predicted_ns), passes);
  text += fmt::format("replayed    {:.3f} ms{} ({}, {:+.3f} ms)\n",
                      ToMs(s.replayed_ns),
                      passes,
                      Percent(RelativeError(s.predicted_ns, s.replayed_ns)),
                      ToMs(s.replayed_ns - s.predicted_ns));
  text += BaselineLines(plan);
  const std::string one_turn =
      groups > 1 ? fmt::format("{} passes at the same time", groups) : "one pass";
  text += fmt::format("segments of all ranks, {}:\n", one_turn) + KindLines(s);
  text +=
      fmt::format("worst cell  step {} layer {}: predicted {:.3f} ms, replayed {:.3f} ms ({})\n",
                  worst.step,
                  worst.layer,
                  ToMs(worst.predicted_ns),
                  ToMs(worst.replayed_ns),
                  Percent(RelativeError(worst.predicted_ns, worst.replayed_ns)));
  text += fmt::format(
      "balance     attention time max/mean {:.3f}, kept blocks max/mean {:.3f} over ranks\n",
      s.attention_balance,
      s.block_balance);
  text += fmt::format("moved       {:.3f} MB between ranks, {}, {}\n",
                      static_cast<double>(s.bytes_moved) / 1e6,
                      one_turn,
                      dbsp::NameOf(outcome.dtype));
  text += fmt::format("memory      {:.1f} MB of buffers in the largest cell, all ranks\n",
                      static_cast<double>(s.memory_bytes) / 1e6);
  return text + ActivityLines(outcome) + VerifyLine(s, outcome);
}

std::string LedgerText(const ReplayRecord& record) {
  std::string text = fmt::format("{:>5} {:>5} {:>5} {:<10} {:>5} {:>14} {:>14} {:>14}\n",
                                 "step",
                                 "layer",
                                 "rank",
                                 "segment",
                                 "index",
                                 "predicted_ns",
                                 "replayed_ns",
                                 "error_ns");
  for (const ReplayCell& cell : record.cells) {
    for (const Segment& s : cell.segments) {
      text += fmt::format("{:>5} {:>5} {:>5} {:<10} {:>5} {:>14} {:>14} {:>14}\n",
                          cell.step,
                          cell.layer,
                          s.rank,
                          NameOf(s.kind),
                          s.index,
                          s.predicted_ns ? fmt::format("{}", *s.predicted_ns) : "-",
                          s.duration_ns,
                          s.predicted_ns && IsMeasured(record.transport, s.kind)
                              ? fmt::format("{:+}", s.duration_ns - *s.predicted_ns)
                              : "-");
    }
  }
  return text;
}

std::string FailureText(const ReplayOutcome& outcome) {
  for (std::size_t i = 0; i < outcome.cells.size(); ++i) {
    const std::optional<VerifyResult>& verified = outcome.cells[i].verified;
    if (!verified || verified->passed) continue;
    return fmt::format("step {} layer {}: {}",
                       outcome.record.cells[i].step,
                       outcome.record.cells[i].layer,
                       verified->problem);
  }
  return {};
}

}  // namespace dbsp::replay
