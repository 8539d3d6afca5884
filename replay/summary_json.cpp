// SPDX-License-Identifier: Apache-2.0
#include "core/baseline.h"
#include "core/json.h"
#include "core/strategy_name.h"
#include "core/units.h"
#include "replay/summary.h"

namespace dbsp::replay {
namespace {

Json OrNull(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json KindsJson(const ReplaySummary& summary) {
  Json kinds = Json::array();
  for (int k = 0; k < kSegmentKinds; ++k) {
    const LedgerEntry& kind = summary.ledger[k];
    if (kind.segments == 0 && kind.unpredicted_segments == 0) continue;
    kinds.push_back({{"kind", NameOf(static_cast<SegmentKind>(k))},
                     {"segments", kind.segments},
                     {"predicted_ms", ToMs(kind.predicted_ns)},
                     {"measured", kind.measured},
                     {"replayed_ms", ToMs(kind.replayed_ns)},
                     {"error_ms", kind.error_ns() ? Json(ToMs(*kind.error_ns())) : Json(nullptr)},
                     {"relative_error", OrNull(kind.relative_error())},
                     {"unpredicted_segments", kind.unpredicted_segments},
                     {"unpredicted_ms", ToMs(kind.unpredicted_ns)}});
  }
  return kinds;
}

Json BaselinesJson(const Plan& plan) {
  Json list = Json::array();
  for (const Baseline& baseline : plan.baselines) {
    const std::optional<Gain> gain = GainOver(plan, baseline);
    const auto number = [&](std::optional<double> value) { return OrNull(value); };
    list.push_back({{"family", NameOf(baseline.family)},
                    {"baseline_ms", gain ? Json(gain->baseline_ns / kNsPerMs) : Json(nullptr)},
                    {"plan_ms", gain ? Json(gain->plan_ns / kNsPerMs) : Json(nullptr)},
                    {"gain", gain ? Json(gain->gain) : Json(nullptr)},
                    {"gain_low", gain ? number(gain->low) : Json(nullptr)},
                    {"gain_high", gain ? number(gain->high) : Json(nullptr)},
                    {"flip_chance", gain ? number(gain->flip_chance) : Json(nullptr)},
                    {"verdict", gain ? Json(dbsp::NameOf(gain->verdict)) : Json(nullptr)},
                    {"missing", gain ? Json(nullptr) : Json(WhyNoGain(baseline))}});
  }
  return list;
}

Json StrategiesJson(const Plan& plan) {
  Json list = Json::array();
  for (const StrategyUse& use : StrategiesInUse(plan)) {
    list.push_back({{"strategy", use.name}, {"cells", use.cells}});
  }
  return list;
}

Json VerifyJson(const VerifyResult& verified) {
  const bool compared = verified.rows_checked > 0;
  return {
      {"passed", verified.passed},
      {"relative_error", compared ? Json(verified.relative_error) : Json(nullptr)},
      {"max_abs_error", compared ? Json(verified.max_abs_error) : Json(nullptr)},
      {"lse_error", compared && verified.lse_checked ? Json(verified.lse_error) : Json(nullptr)},
      {"rows_checked", verified.rows_checked},
      {"rows", verified.rows},
      {"unsplit_relative_error", OrNull(verified.unsplit_error)},
      {"unsplit_lse_error", OrNull(verified.unsplit_lse_error)},
      {"problem", verified.problem.empty() ? Json(nullptr) : Json(verified.problem)}};
}

Json LedgerJson(const ReplayCell& cell, const std::string& transport) {
  Json ledger = Json::array();
  for (const Segment& s : cell.segments) {
    const auto& predicted = s.predicted_ns;
    const bool known = predicted && IsMeasured(transport, s.kind);
    ledger.push_back({{"rank", s.rank},
                      {"kind", NameOf(s.kind)},
                      {"index", s.index},
                      {"start_ns", s.start_ns},
                      {"replayed_ns", s.duration_ns},
                      {"predicted_ns", predicted ? Json(*predicted) : Json(nullptr)},
                      {"error_ns", known ? Json(s.duration_ns - *predicted) : Json(nullptr)},
                      {"bytes", s.bytes}});
  }
  return ledger;
}

Json OverheadJson(const std::optional<TraceOverhead>& overhead) {
  if (!overhead) return nullptr;
  return {{"pairs", overhead->pairs},
          {"plain_ns", overhead->plain_ns},
          {"traced_ns", overhead->traced_ns},
          {"relative", overhead->relative()}};
}

Json ActivityJson(const ActivityReport& activity) {
  Json segments = Json::array();
  for (const SegmentBusy& segment : activity.segments) {
    segments.push_back({{"rank", segment.key.rank},
                        {"kind", NameOf(segment.key.kind)},
                        {"index", segment.key.index},
                        {"busy_ns", segment.busy_ns},
                        {"kernels", segment.kernels},
                        {"copies", segment.copies},
                        {"device", segment.device}});
  }
  Json devices = Json::array();
  for (const auto& [id, device] : activity.devices) {
    devices.push_back({{"device", id},
                       {"busy_ns", device.busy_ns},
                       {"nccl_ns", device.exchange_ns},
                       {"kernels", device.kernels},
                       {"copies", device.copies},
                       {"untied", device.untied}});
  }
  return {{"problem", activity.problem.empty() ? Json(nullptr) : Json(activity.problem)},
          {"losses", activity.losses},
          {"untied", activity.untied},
          {"segments", std::move(segments)},
          {"devices", std::move(devices)},
          {"overhead", OverheadJson(activity.overhead)}};
}

Json CellJson(const ReplayCell& record, const CellOutcome& cell, const std::string& transport) {
  return {{"step", record.step},
          {"layer", record.layer},
          {"multiplicity", record.multiplicity.value()},
          {"planned_kernel", cell.planned_kernel},
          {"kernel", cell.kernel},
          {"graph_runs", cell.graph_runs},
          {"predicted_ns", record.predicted_ns},
          {"replayed_ns", record.replayed_ns},
          {"fastest_ns", cell.fastest_ns},
          {"slowest_ns", cell.slowest_ns},
          {"kept_blocks", cell.active_blocks},
          {"attention_ns", cell.attention_ns},
          {"bytes_sent", cell.bytes_sent},
          {"memory_bytes", cell.memory_bytes},
          {"verification", cell.verified ? VerifyJson(*cell.verified) : Json(nullptr)},
          {"activity", cell.activity ? ActivityJson(*cell.activity) : Json(nullptr)},
          {"segments", LedgerJson(record, transport)}};
}

Json MachineJson(const Provenance& machine) {
  return {{"device_kind", machine.device_kind},
          {"device_name", machine.device_name},
          {"host", machine.host},
          {"cores", machine.cores},
          {"compiler", machine.compiler},
          {"build_type", machine.build_type},
          {"commit", machine.git_commit},
          {"dirty", machine.git_dirty ? Json(*machine.git_dirty) : Json(nullptr)},
          {"version", machine.version},
          {"started_utc", machine.started_utc}};
}

}  // namespace

std::string ReplayJson(const Plan& plan,
                       const ReplayOutcome& outcome,
                       const ReplayOptions& options,
                       const Provenance& machine) {
  const ReplaySummary s = Summarize(plan, outcome);
  const ReplayCell& worst = outcome.record.cells.at(s.worst_cell);
  Json cells = Json::array();
  for (std::size_t i = 0; i < outcome.cells.size(); ++i) {
    cells.push_back(CellJson(outcome.record.cells[i], outcome.cells[i], outcome.record.transport));
  }
  const Json document = {
      {"schema", "dbsp.replay/1"},
      {"plan_hash", outcome.record.plan_hash},
      {"workload_hash", outcome.record.workload_hash},
      {"workload", plan.workload_name},
      {"ranks", plan.ranks},
      {"passes", plan.passes},
      {"cfg_degree", plan.cfg_degree()},
      {"planned_device", plan.device},
      {"costs", dbsp::NameOf(plan.costs)},
      {"transport", outcome.record.transport},
      {"dtype", dbsp::NameOf(outcome.dtype)},
      {"exchange_source", outcome.record.exchange_source},
      {"seed", options.seed},
      {"warmups", options.repeats.warmups},
      {"runs", options.repeats.runs},
      {"machine", MachineJson(machine)},
      {"cells_run", s.cells},
      {"cells_meant", s.cells_meant},
      {"cells_in_plan", s.cells_in_plan},
      {"predicted_ms", ToMs(s.predicted_ns)},
      {"replayed_ms", ToMs(s.replayed_ns)},
      {"error_ms", ToMs(s.replayed_ns - s.predicted_ns)},
      {"relative_error", OrNull(RelativeError(s.predicted_ns, s.replayed_ns))},
      {"measured_relative_error", OrNull(MeasuredPart(s.ledger).relative_error())},
      {"strategies", StrategiesJson(plan)},
      {"baselines", BaselinesJson(plan)},
      {"kinds", KindsJson(s)},
      {"worst_cell", {{"step", worst.step}, {"layer", worst.layer}}},
      {"attention_max_over_mean", s.attention_balance},
      {"kept_blocks_max_over_mean", s.block_balance},
      {"bytes_moved", s.bytes_moved},
      {"memory_bytes", s.memory_bytes},
      {"verification",
       outcome.record.verified ? Json{{"passed", outcome.record.passed},
                                      {"relative_error", s.relative_error},
                                      {"max_abs_error", s.max_abs_error},
                                      {"lse_error", OrNull(s.lse_error)},
                                      {"rows_checked", s.rows_checked},
                                      {"rows", s.rows},
                                      {"problem", FailureText(outcome)}}
                               : Json(nullptr)},
      {"trace_overhead", OverheadJson(OverheadOf(outcome))},
      {"cells", std::move(cells)}};
  return DumpJson(document, 1) + "\n";
}

}  // namespace dbsp::replay
