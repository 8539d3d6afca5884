// SPDX-License-Identifier: Apache-2.0
#include "core/plan_tuning_json.h"

#include <fmt/format.h>

#include <limits>

#include "core/error.h"

namespace dbsp {
namespace {

int IndexAt(const JsonView& view) {
  return static_cast<int>(view.Int(0, std::numeric_limits<int>::max()));
}

int DegreeAt(const JsonView& view) {
  return static_cast<int>(view.Int(1, std::numeric_limits<int>::max()));
}

Json ToJson(const Baseline& baseline) {
  Json json = {{"family", NameOf(baseline.family)},
               {"cfg_degree", baseline.cfg_degree},
               {"ulysses_degree", baseline.ulysses_degree},
               {"ring_degree", baseline.ring_degree},
               {"active_blocks", baseline.active_blocks}};
  if (!baseline.missing.empty()) json["missing"] = baseline.missing;
  if (baseline.times.empty()) return json;
  json["times"] = Json::array();
  for (const BaselineTime& t : baseline.times) {
    json["times"].push_back({t.total_ns, t.low_ns, t.high_ns, t.compute_ns, t.exchange_ns});
  }
  return json;
}

BaselineTime BaselineTimeFrom(const JsonView& view) {
  if (view.size() != 5) view.Wrong("[total_ns, low_ns, high_ns, compute_ns, exchange_ns]");
  return {view[0].Int(0), view[1].Int(0), view[2].Int(0), view[3].Int(0), view[4].Int(0)};
}

/// `plan_cfg_degree` is that of baselines without one, which older versions wrote.
Baseline BaselineFrom(const JsonView& view, int plan_cfg_degree) {
  view.RefuseOtherKeys({"family",
                        "cfg_degree",
                        "ulysses_degree",
                        "ring_degree",
                        "active_blocks",
                        "times",
                        "missing"});
  Baseline baseline;
  const std::string family = view["family"].String();
  try {
    baseline.family = ParseFamily(family);
  } catch (const Error& error) {
    view["family"].Wrong(fmt::format("a known name ({})", error.what()));
  }
  baseline.cfg_degree = view.Has("cfg_degree") ? DegreeAt(view["cfg_degree"]) : plan_cfg_degree;
  if (view.Has("missing")) baseline.missing = view["missing"].String();
  if (view.Has("times")) {
    for (const JsonView& item : view["times"].Items()) {
      baseline.times.push_back(BaselineTimeFrom(item));
    }
  }
  baseline.ulysses_degree = DegreeAt(view["ulysses_degree"]);
  baseline.ring_degree = DegreeAt(view["ring_degree"]);
  for (const JsonView& item : view["active_blocks"].Items()) {
    std::vector<std::int64_t>& counts = baseline.active_blocks.emplace_back();
    for (const JsonView& count : item.Items()) counts.push_back(count.Int(0));
  }
  return baseline;
}

Json ToJson(const CostFit& fit) {
  return {{"operation", fit.operation},
          {"name", fit.name},
          {"points", fit.points},
          {"held_out_error", fit.held_out_error},
          {"median_error", fit.median_error ? Json(*fit.median_error) : Json(nullptr)}};
}

CostFit CostFitFrom(const JsonView& view) {
  view.RefuseOtherKeys({"operation", "name", "points", "held_out_error", "median_error"});
  CostFit fit{view["operation"].String(),
              view["name"].String(),
              view["points"].Int(0),
              view["held_out_error"].Number(0),
              std::nullopt};
  if (!view["median_error"].raw().is_null()) fit.median_error = view["median_error"].Number(0);
  return fit;
}

CloseCall CloseCallFrom(const JsonView& view) {
  if (view.size() != 4) view.Wrong("[step, layer, rival, rival_ns]");
  return {IndexAt(view[0]), IndexAt(view[1]), view[2].String(), view[3].Int(0)};
}

RestOfVideo RestFrom(const JsonView& view) {
  view.RefuseOtherKeys({"cell_ns", "once_ns", "source", "skipped_steps"});
  RestOfVideo rest{view["cell_ns"].Int(0), view["once_ns"].Int(0), view["source"].String(), {}};
  for (const JsonView& item : view["skipped_steps"].Items()) {
    rest.skipped_steps.push_back(IndexAt(item));
  }
  return rest;
}

}  // namespace

void ReadTuning(const JsonView& document, Plan& plan) {
  if (document.Has("baselines")) {
    for (const JsonView& item : document["baselines"].Items()) {
      plan.baselines.push_back(BaselineFrom(item, plan.cfg_degree()));
    }
  }
  if (document.Has("notes")) {
    for (const JsonView& item : document["notes"].Items()) plan.notes.push_back(item.String());
  }
  if (document.Has("fits")) {
    for (const JsonView& item : document["fits"].Items()) plan.fits.push_back(CostFitFrom(item));
  }
  if (document.Has("rest")) plan.rest = RestFrom(document["rest"]);
  if (document.Has("close_calls")) {
    plan.close_calls.emplace();
    for (const JsonView& item : document["close_calls"].Items()) {
      plan.close_calls->push_back(CloseCallFrom(item));
    }
  }
}

void WriteTuning(const Plan& plan, Json& document) {
  for (const Baseline& item : plan.baselines) document["baselines"].push_back(ToJson(item));
  if (!plan.notes.empty()) document["notes"] = plan.notes;
  for (const CostFit& fit : plan.fits) document["fits"].push_back(ToJson(fit));
  if (plan.rest) {
    document["rest"] = {{"cell_ns", plan.rest->cell_ns},
                        {"once_ns", plan.rest->once_ns},
                        {"source", plan.rest->source},
                        {"skipped_steps", plan.rest->skipped_steps}};
  }
  if (!plan.close_calls) return;
  document["close_calls"] = Json::array();
  for (const CloseCall& call : *plan.close_calls) {
    document["close_calls"].push_back({call.step, call.layer, call.rival, call.rival_ns});
  }
}

}  // namespace dbsp
