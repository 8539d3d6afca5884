// SPDX-License-Identifier: Apache-2.0
// The verdict in sentences: whether the plan is faster, what to run, why, how much is left, how
// sure that is, and the next command.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "core/units.h"
#include "core/workload.h"
#include "reports/document_parts.h"

namespace dbsp::reports {

std::string TimeText(double ms) {
  if (ms >= 1e3) return fmt::format("{:.3g} s", ms / 1e3);
  if (ms >= 1) return fmt::format("{:.3g} ms", ms);
  return fmt::format("{:.3g} µs", ms * 1e3);
}

namespace {

std::string ChanceText(double chance) {
  return chance < 0.001 ? std::string("below 0.1%") : fmt::format("{:.1f}%", 100 * chance);
}

/// "1.68× [1.52, 1.84], predicted"
std::string GainText(const Json& gain) {
  std::string text = fmt::format("{:.2f}×", gain["gain"].get<double>());
  if (gain["gain_low"].is_number() && gain["gain_high"].is_number()) {
    text += fmt::format(
        " [{:.2f}, {:.2f}]", gain["gain_low"].get<double>(), gain["gain_high"].get<double>());
  }
  return text + ", " + gain["kind"].get<std::string>();
}

/// The gain over a baseline that is the headline; nullptr without one.
const Json* HeadlineGain(const Json& verdict, Family family) {
  for (const Json& gain : verdict["baselines"]) {
    if (gain["family"] == NameOf(family)) return &gain;
  }
  return nullptr;
}

std::string ReasonOf(const Json& verdict, Family family) {
  for (const Json& missing : verdict["missing_baselines"]) {
    if (missing["family"] == NameOf(family)) return missing["reason"];
  }
  return "none was given";
}

/// "per video", or which part of it the plan covers.
std::string ScopeOf(const Plan& plan, const Workload& workload) {
  const auto all = std::int64_t{workload.model.steps} * workload.model.layers;
  if (std::cmp_equal(plan.cells.size(), all)) return "per video";
  return fmt::format("for the planned {} of {} cells of a video", plan.cells.size(), all);
}

std::string Answer(const Plan& plan, const Workload& workload, const Json& verdict) {
  const std::string scope = ScopeOf(plan, workload);
  const Json* gain = HeadlineGain(verdict, Family::kUlysses);
  if (gain == nullptr) {
    return fmt::format("Attention takes {} {}. No gain over plain ulysses is known: {}.",
                       TimeText(verdict["headline"]["ms"]),
                       scope,
                       ReasonOf(verdict, Family::kUlysses));
  }
  const std::string mine = TimeText((*gain)["plan_ms"]);
  const std::string base = TimeText((*gain)["baseline_ms"]);
  const std::string part = (*gain)["cells"] == (*gain)["cells_total"]
                               ? scope
                               : fmt::format("in {} of {} cells",
                                             (*gain)["cells"].get<std::int64_t>(),
                                             (*gain)["cells_total"].get<std::int64_t>());
  const std::string word = (*gain)["verdict"];
  if (word == "faster") {
    std::string text = fmt::format("Attention takes {} {} instead of {} with plain ulysses: {}.",
                                   mine,
                                   part,
                                   base,
                                   GainText(*gain));
    if (const Json* ring = HeadlineGain(verdict, Family::kRing)) {
      text += fmt::format(" Against plain ring it is {}.", GainText(*ring));
    }
    return text;
  }
  if (word == "slower") {
    return fmt::format(
        "The plan is slower: attention takes {} {}, and {} with plain ulysses ({}). "
        "Run plain ulysses.",
        mine,
        part,
        base,
        GainText(*gain));
  }
  if (word == "same") {
    return fmt::format(
        "There is nothing to gain: attention takes {} {}, and {} with plain ulysses "
        "({}). Keep what you have.",
        mine,
        part,
        base,
        GainText(*gain));
  }
  std::string text = fmt::format(
      "It is not known which is faster: attention takes {} {}, and {} "
      "with plain ulysses ({}).",
      mine,
      part,
      base,
      GainText(*gain));
  if ((*gain)["flip_chance"].is_number()) {
    text += fmt::format(" The order is the other one with a chance of {}.",
                        ChanceText((*gain)["flip_chance"]));
  }
  return text + " Replay both plans before you change anything.";
}

/// "heads in 4 groups, rows in 2 parts": what one of them divides alone is named alone.
std::string DivisionOf(const Strategy& s) {
  std::string text;
  if (s.ulysses_degree > 1) text = fmt::format("heads in {} groups", s.ulysses_degree);
  if (s.ring_degree > 1) {
    text += fmt::format("{}rows in {} parts", text.empty() ? "" : ", ", s.ring_degree);
  }
  return text.empty() ? "all heads and rows on one rank" : text;
}

/// What a strategy does, in words.
std::string WordsOf(const Strategy& s, int ranks) {
  const int group = PassRanks(ranks, s.cfg_degree);
  std::string text =
      s.cfg_degree > 1
          ? fmt::format(
                "{} guidance passes at the same time on {} ranks each; ", s.cfg_degree, group)
          : "";
  switch (s.family) {
    case Family::kUlysses:
      text += "whole heads, in contiguous ranges";
      break;
    case Family::kRing:
      text += "rows of every head in contiguous ranges";
      break;
    case Family::kUsp:
      text +=
          fmt::format("heads in {} ranges, rows of each in {}", s.ulysses_degree, s.ring_degree);
      break;
    case Family::kDbsp:
      text += DivisionOf(s) + " by db-SP's greedy rule";
      break;
    case Family::kBalanced:
      text += DivisionOf(s) + " by search";
      break;
    case Family::kPlaced:
      text += "each head whole or split, as the search placed it";
      break;
  }
  if (s.ring_degree > 1 && s.exchange == Exchange::kRing) text += "; K and V travel round a ring";
  if (s.exchange == Exchange::kAllGather) text += "; all K and V are gathered before attention";
  if (s.exchange == Exchange::kNeeded) text += "; K and V blocks go to the ranks that use them";
  if (s.chunks > 1) text += fmt::format("; exchanged in {} chunks", s.chunks);
  return text;
}

/// The strategy of most cells, or plain ulysses where the plan gains nothing over it.
std::string WhatToRun(const Plan& plan, const Json& verdict) {
  const StrategyTable table = MakeStrategyTable(plan);
  std::map<int, std::size_t> cells;
  for (const PlanCell& cell : plan.cells) ++cells[table.of[cell.strategy]];
  if (cells.empty()) return "The plan has no cells.";
  const auto most =
      std::ranges::max_element(cells, {}, [](const auto& entry) { return entry.second; });
  const Strategy& strategy = table.distinct[most->first];
  const Json* gain = HeadlineGain(verdict, Family::kUlysses);
  const bool keep =
      gain != nullptr && ((*gain)["verdict"] == "slower" || (*gain)["verdict"] == "same");
  std::string text = fmt::format("{} {} in {} of {} cells: {}.",
                                 keep ? "Keep plain ulysses. The plan runs" : "Run",
                                 NameOf(strategy, plan),
                                 most->second,
                                 plan.cells.size(),
                                 WordsOf(strategy, plan.ranks));
  if (cells.size() > 1) {
    text += fmt::format(" {} other {} elsewhere.",
                        cells.size() - 1,
                        cells.size() == 2 ? "strategy runs" : "strategies run");
  }
  return text;
}

/// Mean time over ranks that the ranks wait for the slowest one's attention: the compute time times
/// the share of the busiest rank's blocks that the mean rank does not have.
double WaitNs(const std::vector<std::int64_t>& blocks, std::int64_t compute_ns) {
  if (blocks.empty()) return 0;
  const auto most = static_cast<double>(*std::ranges::max_element(blocks));
  if (most <= 0) return 0;
  const double mean =
      std::accumulate(blocks.begin(), blocks.end(), 0.0) / static_cast<double>(blocks.size());
  return static_cast<double>(compute_ns) * (1 - mean / most);
}

/// Where the time of plain ulysses goes; empty without its loads and times.
std::optional<std::string> Why(const Plan& plan) {
  const auto base = std::ranges::find(plan.baselines, Family::kUlysses, &Baseline::family);
  if (base == plan.baselines.end() || base->times.empty() || base->cfg_degree != 1) {
    return std::nullopt;
  }
  double base_wait = 0, plan_wait = 0, base_moves = 0, plan_moves = 0;
  for (const PlanCell& cell : plan.cells) {
    const Prediction& p = plan.predictions[cell.prediction];
    const BaselineTime& b = base->times[cell.prediction];
    if (p.active_blocks.empty()) return std::nullopt;
    base_wait += plan.passes * WaitNs(base->active_blocks[cell.prediction], b.compute_ns);
    plan_wait += plan.sequential_waves() * WaitNs(p.active_blocks, p.compute_ns);
    base_moves += plan.passes * static_cast<double>(b.exchange_ns);
    plan_moves += plan.sequential_waves() * static_cast<double>(p.exchange_ns);
  }
  const auto ms = [](double ns) { return TimeText(ns / kNsPerMs); };
  const auto wait = [&](double ns) {
    return ns > 0 ? fmt::format("wait {} for the slowest one", ms(ns))
                  : std::string("do not wait for each other");
  };
  return fmt::format(
      "Under plain ulysses the ranks {}; under this plan they {}. Exchanges and copies "
      "that attention does not hide take {}; under this plan {}.",
      wait(base_wait),
      wait(plan_wait),
      ms(base_moves),
      ms(plan_moves));
}

std::string HowMuchIsLeft(const Json& verdict) {
  const double bound = verdict["lower_bound_ms"];
  const double predicted = verdict["predicted_ms"];
  if (bound <= 0) return "No lower bound is known.";
  return fmt::format(
      "No plan is predicted below {} with these costs. The prediction of this one is "
      "{:.2f}× that.",
      TimeText(bound),
      predicted / bound);
}

std::string HowSure(const Plan& plan, const Json& verdict) {
  std::string text = fmt::format("Predictions use {}", NameOf(CostsOf(plan)));
  text += verdict["model_error"].is_number()
              ? fmt::format(
                    ", whose attention times err by {:.1f}% on measurements left out of the "
                    "fit (median).",
                    100 * verdict["model_error"].get<double>())
              : std::string("; no held-out error is known.");
  if (plan.close_calls && !plan.close_calls->empty()) {
    text += fmt::format(
        " {} of {} cells are close calls.", plan.close_calls->size(), plan.cells.size());
  }
  const Json& replay = verdict["replay"];
  if (replay.is_null()) return text + " The plan was not replayed.";
  const std::string grade = replay["grade"];
  if (grade != NameOf(ReplayGrade::kDevices) && grade != NameOf(ReplayGrade::kSerial)) {
    return text + fmt::format(" The times of replay {} are no evidence ({}).",
                              replay["id"].get<std::int64_t>(),
                              grade);
  }
  text += fmt::format(" Replay {} ({})", replay["id"].get<std::int64_t>(), grade);
  if (replay["measured_relative_error"].is_number()) {
    text += fmt::format(" took {:+.1f}% against the prediction in the segments that it measured",
                        100 * replay["measured_relative_error"].get<double>());
  }
  return text + ".";
}

/// A name as an argument of a shell.
std::string ShellArgument(const std::string& name) {
  const bool plain = !name.empty() && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("._-/").find(c) != std::string_view::npos;
  });
  if (plain) return name;
  std::string text = "'";
  for (const char c : name) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// The command that adds most to what is known, or what to do with the plan.
std::string NextCommand(const ReportInputs& inputs, const PlanInput& input, const Json& verdict) {
  const Plan& plan = input.plan;
  const std::string database =
      inputs.database_name.empty() ? "p.db" : ShellArgument(inputs.database_name);
  const std::string file = input.stored ? "PLAN" : ShellArgument(input.name);
  const Json* gain = HeadlineGain(verdict, Family::kUlysses);
  const std::string word = gain == nullptr ? "" : (*gain)["verdict"];
  const bool verified = verdict["verification"]["state"] == "passed";
  if (verdict["verification"]["state"] == "failed") {
    return "Do not use this plan. The output of a replay was wrong: report it as a fault of dbsp.";
  }
  if (plan.database_hash.empty()) {
    return fmt::format(
        "Measure the machine, dbsp-profile --db {} --ranks {} --workload WORKLOAD, "
        "and tune again with --db {}.",
        database,
        plan.ranks,
        database);
  }
  if (!inputs.database_name.empty() && plan.database_hash != inputs.measurement_hash) {
    return fmt::format(
        "The measurements have changed since: tune again, dbsp-tune --db {} --ranks "
        "{} --workload WORKLOAD.",
        database,
        plan.ranks);
  }
  if (word == "slower" || word == "same") return "Nothing: keep plain ulysses.";
  if (word == "ambiguous") {
    return fmt::format(
        "Replay both on the device of the plan: dbsp-tune --plain --families ulysses "
        "--db {0} --ranks {1} --workload WORKLOAD -o ulysses.json, then dbsp-replay "
        "ulysses.json --db {0} and dbsp-replay {2} --db {0} --verify.",
        database,
        plan.ranks,
        file);
  }
  if (verdict["headline"]["source"] == "predicted" || !verified) {
    return fmt::format(
        "Replay and verify it on the device of the plan: dbsp-replay {} --db {} "
        "--verify.",
        file,
        database);
  }
  return fmt::format("Use {}: it was replayed, and its output agrees with the reference.",
                     input.name);
}

}  // namespace

Json SentencesJson(const ReportInputs& inputs, const PlanInput& input, const Json& verdict) {
  const Plan& plan = input.plan;
  const Workload workload = WorkloadFromJson(plan.workload_json, input.name + ": workload");
  Json out = Json::array();
  const auto add = [&](const char* topic, std::string text) {
    out.push_back({{"topic", topic}, {"text", std::move(text)}});
  };
  add("answer", Answer(plan, workload, verdict));
  add("run", WhatToRun(plan, verdict));
  if (auto why = Why(plan)) add("why", *std::move(why));
  add("left", HowMuchIsLeft(verdict));
  add("sure", HowSure(plan, verdict));
  add("next", NextCommand(inputs, input, verdict));
  return out;
}

}  // namespace dbsp::reports
