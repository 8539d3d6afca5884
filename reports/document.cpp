// SPDX-License-Identifier: Apache-2.0
#include "reports/document.h"

#include <algorithm>

#include "core/cli.h"
#include "core/error.h"
#include "core/workload.h"
#include "reports/document_check.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

Json ModelJson(const ModelShape& model) {
  return {{"name", model.name},
          {"layers", model.layers},
          {"heads", model.heads},
          {"steps", model.steps},
          {"passes", model.passes},
          {"text_tokens", model.text_tokens},
          {"grid",
           fmt::format("{} × {} × {}", model.grid.frames, model.grid.height, model.grid.width)}};
}

std::string RuleText(const MaskRule& rule) {
  std::string text = rule.rule;
  char separator = ':';
  for (const auto& [name, value] : rule.options) {
    text += fmt::format("{}{}={}", separator, name, value);
    separator = ',';
  }
  return text;
}

Json WorkloadJson(const PlanInput& input) {
  Json out = {{"name", input.plan.workload_name},
              {"hash", input.plan.workload_hash},
              {"model", nullptr},
              {"rules", Json::array()}};
  const Workload workload = WorkloadFromJson(input.plan.workload_json, input.name + ": workload");
  out["model"] = ModelJson(workload.model);
  for (const MaskRule& rule : workload.rules) out["rules"].push_back(RuleText(rule));
  return out;
}

Json PlanJson(const ReportInputs& inputs,
              std::size_t index,
              const std::vector<CompareDocument>& compares,
              const ReportLimits& limits) {
  const PlanInput& input = inputs.plans[index];
  const Plan& plan = input.plan;
  const auto replays = ReplaysOf(inputs, input);
  const StrategyTable table = MakeStrategyTable(plan);
  Json out = {{"name", input.name},
              {"hash", input.hashes.empty() ? "" : input.hashes.front()},
              {"workload", WorkloadJson(input)},
              {"device", plan.device},
              {"cluster", plan.cluster},
              {"costs", NameOf(plan.costs)},
              {"created_utc", plan.created_utc},
              {"generator", plan.generator},
              {"database_hash", plan.database_hash},
              {"ranks", plan.ranks},
              {"passes", plan.passes},
              {"cfg_degree", plan.cfg_degree()},
              {"dtype", NameOf(plan.dtype)},
              {"shape",
               {{"heads", plan.shape.heads},
                {"head_dim", plan.shape.head_dim},
                {"tokens", plan.shape.tokens},
                {"block", fmt::format("{}x{}", plan.shape.block.q, plan.shape.block.k)}}},
              {"verdict", VerdictJson(inputs, index, compares)},
              {"notices", PlanNotices(inputs, input)},
              {"tuning", TuningJson(plan)},
              {"strategies", StrategiesJson(plan, table)},
              {"replays", ReplaysJson(inputs, plan, replays, limits)},
              {"replays_total", replays.size()},
              {"masks", MasksJson(input, limits)}};
  AddCells(input, replays, table, limits, out);
  AddShownCells(inputs, input, replays, table, limits, out);
  return out;
}

}  // namespace

Json MakeDocument(const ReportInputs& inputs, const ReportLimits& limits) {
  std::vector<CompareDocument> compares;
  Json notices = GlobalNotices(inputs);
  for (const CompareInput& input : inputs.compares) {
    compares.push_back(ReadCompare(input, inputs));
    if (compares.back().plans.empty() && !inputs.plans.empty()) {
      notices.push_back(
          Notice("warning",
                 fmt::format("{} is of another workload, number of ranks, number of cells or costs "
                             "than the plans ({}). Its table is shown, but no gains are derived "
                             "from it.",
                             input.name,
                             compares.back().identity ? NameOf(*compares.back().identity)
                                                      : "it does not name its costs")));
    }
  }
  Json kinds = Json::array();
  for (int kind = 0; kind < kSegmentKinds; ++kind)
    kinds.push_back(NameOf(static_cast<SegmentKind>(kind)));
  Json plans = Json::array();
  for (std::size_t i = 0; i < inputs.plans.size(); ++i)
    plans.push_back(PlanJson(inputs, i, compares, limits));
  Json compare = Json::array();
  for (const CompareDocument& document : compares) compare.push_back(CompareJson(document));
  Json queries = QueriesJson(inputs, plans);
  Json document = {{"schema", "dbsp.report/1"},
                   {"created_utc", inputs.created_utc},
                   {"generator",
                    fmt::format("dbsp-report, commit {}{}",
                                BuildCommit(),
                                BuildDirty().value_or(false) ? "-dirty" : "")},
                   {"segment_kinds", kinds},
                   {"database", DatabaseJson(inputs, limits)},
                   {"notices", notices},
                   {"plans", std::move(plans)},
                   {"compare", std::move(compare)},
                   {"comparisons", ComparisonsJson(inputs, limits)},
                   {"queries", std::move(queries)},
                   {"trials", TrialsJson(inputs, limits)},
                   {"trials_total", inputs.trials.size()}};
  CheckDocument(document);
  return document;
}

std::string ReportDocument(const ReportInputs& inputs, const ReportLimits& limits) {
  return DumpJson(MakeDocument(inputs, limits));
}

namespace {

/// At most 80 characters of a name: the middle of a longer one is left out.
std::string Clip(const std::string& name) {
  constexpr std::size_t kSide = 39;
  const auto begins = [&](std::size_t at) { return (name[at] & 0xc0) != 0x80; };  // a code point
  const auto letters = static_cast<std::size_t>(
      std::ranges::count_if(name, [](char byte) { return (byte & 0xc0) != 0x80; }));
  if (letters <= 2 * kSide + 2) return name;
  std::size_t head = 0;
  for (std::size_t seen = 0; head < name.size(); ++head) {
    if (begins(head) && seen++ == kSide) break;
  }
  std::size_t tail = name.size();
  for (std::size_t seen = 0; seen < kSide;) {
    --tail;
    seen += begins(tail) ? 1 : 0;
  }
  return name.substr(0, head) + "…" + name.substr(tail);
}

}  // namespace

std::string ReportTitle(const ReportInputs& inputs) {
  if (inputs.plans.empty() && !inputs.database_name.empty()) {
    return fmt::format("dbsp report: {}", Clip(inputs.database_name));
  }
  if (inputs.plans.empty() && inputs.compares.empty()) return "dbsp report";
  if (inputs.plans.empty())
    return fmt::format("dbsp report: {}", Clip(inputs.compares.front().name));
  const Plan& plan = inputs.plans.front().plan;
  return fmt::format("dbsp report: {} on {} ranks", Clip(plan.workload_name), plan.ranks);
}

}  // namespace dbsp::reports
