// SPDX-License-Identifier: Apache-2.0
// Reads compare documents ("dbsp.compare/1") and finds the plans that they belong to.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

enum class Column { kText, kNumber, kAny };

struct Field {
  const char* name;
  Column type;
};

/// Keys of a candidate that the page shows. Other keys are ignored.
constexpr std::array<Field, 22> kFields{{{"family", Column::kText},
                                         {"cfg_degree", Column::kNumber},
                                         {"ulysses_degree", Column::kNumber},
                                         {"ring_degree", Column::kNumber},
                                         {"exchange", Column::kText},
                                         {"chunks", Column::kAny},
                                         {"layout", Column::kAny},
                                         {"kernels", Column::kAny},
                                         {"rho_barrier", Column::kNumber},
                                         {"rho_barrier_mean", Column::kNumber},
                                         {"rho_barrier_worst", Column::kNumber},
                                         {"rho_timeline", Column::kNumber},
                                         {"compute_ms", Column::kNumber},
                                         {"exchange_ms", Column::kNumber},
                                         {"total_ms", Column::kNumber},
                                         {"total_ms_low", Column::kNumber},
                                         {"total_ms_high", Column::kNumber},
                                         {"bytes_per_rank", Column::kNumber},
                                         {"moved_fraction", Column::kNumber},
                                         {"lower_bound_ms", Column::kNumber},
                                         {"chosen", Column::kNumber},
                                         {"verdict", Column::kText}}};

/// A value for one table cell. Lists (of kernels, for example) become text, separated by commas.
Json AnyJson(const Json& value) {
  if (value.is_string() || value.is_number() || value.is_null()) return value;
  if (!value.is_array()) return value.dump();
  std::string line;
  for (const Json& item : value) {
    if (!line.empty()) line += ", ";
    line += item.is_string() ? item.get<std::string>() : item.dump();
  }
  return line;
}

/// Times of a document beyond this are no times: 290 years.
constexpr double kMostNs = 9e18;

Json FieldJson(const JsonView& view, const Field& field) {
  if (!view.Has(field.name) || view[field.name].raw().is_null()) return nullptr;
  switch (field.type) {
    case Column::kText:
      return view[field.name].String();
    case Column::kNumber:
      return view[field.name].Number(0);
    case Column::kAny:
      break;
  }
  return AnyJson(view[field.name].raw());
}

/// Hash or name of the document's workload, which is a string or an object with "hash" or "name".
std::vector<std::string> WorkloadNames(const JsonView& workload) {
  if (workload.raw().is_string()) return {workload.String()};
  std::vector<std::string> names;
  if (workload.raw().is_object()) {
    for (const char* key : {"hash", "workload_hash", "name"}) {
      if (workload.Has(key) && workload[key].raw().is_string())
        names.push_back(workload[key].String());
      if (!names.empty()) return names;  // a hash identifies a workload, a name may not
    }
  }
  workload.Wrong("a workload hash, or an object with 'hash' or 'name'");
}

/// Number of cells that the document's sums are over; empty when the document does not contain it.
std::optional<std::int64_t> CellsOf(const JsonView& workload) {
  if (!workload.raw().is_object() || !workload.Has("cells")) return std::nullopt;
  return workload["cells"].Int(0);
}

/// Costs of the document's times. Empty when it does not say all of them.
std::optional<CostsIdentity> IdentityOf(const JsonView& view, const std::string& source) {
  if (!view.Has("cluster") || !view.Has("database_hash")) return std::nullopt;
  try {
    return CostsIdentity{
        ParseCostSource(source), view["cluster"].String(), view["database_hash"].String()};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    view["costs"].Wrong(fmt::format("a source of costs ({})", error.what()));
  }
}

/// True when the document is of the plan's workload, ranks, costs and number of cells. Gains
/// between sums over different cells, or of different costs, would be meaningless.
bool Belongs(const PlanInput& input,
             const std::vector<std::string>& names,
             std::int64_t ranks,
             const std::optional<CostsIdentity>& costs,
             std::optional<std::int64_t> cells) {
  if (input.plan.ranks != ranks || costs != CostsOf(input.plan)) return false;
  if (cells && !std::cmp_equal(*cells, input.plan.cells.size())) return false;
  for (const std::string& name : names) {
    if (name == input.plan.workload_hash || name == input.plan.workload_name) return true;
  }
  return false;
}

/// Name of a candidate's strategy, for documents of older versions, which do not have it. The
/// family alone where it is not one of this version.
std::string NameOfRow(const Json& row) {
  const std::string family = row["family"];
  const auto degree = [&](const char* key) {
    const bool small = row[key].is_number() && row[key].get<double>() < 1e6;
    return small ? static_cast<int>(row[key].get<double>()) : 1;
  };
  Strategy strategy;
  try {
    strategy.family = ParseFamily(family);
    strategy.ring_degree = degree("ring_degree");
    strategy.exchange = row["exchange"].is_string()
                            ? ParseExchange(row["exchange"].get<std::string>())
                            : UsualExchange(strategy.family, strategy.ring_degree);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    return family;
  }
  strategy.cfg_degree = degree("cfg_degree");
  strategy.ulysses_degree = degree("ulysses_degree");
  strategy.chunks = degree("chunks");
  const bool given = !row["layout"].is_string() || row["layout"] == "given";
  strategy.layout = given ? 0 : 1;
  return NameOf(strategy, given ? std::string("given") : row["layout"].get<std::string>());
}

/// Times of every candidate in every cell. Cells of one mask class have the same times, so that
/// they are kept once. null for documents without cells.
Json CellsJson(const JsonView& view, std::size_t candidates) {
  if (!view.Has("cells")) return nullptr;
  Json step = Json::array(), layer = Json::array(), cls = Json::array(), times = Json::array();
  std::map<std::int64_t, std::size_t> seen;  // place in `times`, by mask class
  for (const JsonView& cell : view["cells"].Items()) {
    step.push_back(cell["step"].Int(0));
    layer.push_back(cell["layer"].Int(0));
    const auto [place, fresh] = seen.emplace(cell["mask_class"].Int(0), seen.size());
    cls.push_back(place->second);
    if (!fresh) continue;
    Json row = Json::array();
    for (const JsonView& ms : cell["candidates_total_ms"].Items()) {
      row.push_back(ms.raw().is_null()
                        ? Json(nullptr)
                        : Json(std::llround(std::min(ms.Number(0) * kNsPerMs, kMostNs) / 1e3)));
    }
    if (row.size() != candidates) {
      cell["candidates_total_ms"].Wrong(fmt::format("{} times, one per candidate", candidates));
    }
    times.push_back(std::move(row));
  }
  return {{"step", step}, {"layer", layer}, {"class", cls}, {"total_us", times}};
}

}  // namespace

CompareDocument ReadCompare(const CompareInput& input, const ReportInputs& inputs) {
  const Json json = ParseJson(input.json, input.name);
  const JsonView view(json, input.name);
  view.RequireSchema("dbsp.compare/1");
  CompareDocument document;
  document.name = input.name;
  document.ranks = view["ranks"].Int(1);
  if (view.Has("costs")) {
    const JsonView costs = view["costs"];
    document.costs =
        costs.raw().is_object() && costs.Has("source") ? costs["source"].String() : costs.String();
  }
  document.identity = IdentityOf(view, document.costs);
  const std::vector<std::string> names = WorkloadNames(view["workload"]);
  const std::optional<std::int64_t> cells = CellsOf(view["workload"]);
  for (std::size_t i = 0; i < inputs.plans.size(); ++i) {
    if (Belongs(inputs.plans[i], names, document.ranks, document.identity, cells)) {
      document.plans.push_back(i);
    }
  }
  document.candidates = Json::array();
  for (const JsonView& candidate : view["candidates"].Items()) {
    Json row = Json::object();
    row["family"] = candidate["family"].String();
    for (const Field& field : kFields) row[field.name] = FieldJson(candidate, field);
    row["strategy"] = candidate.Has("strategy") ? candidate["strategy"].String() : NameOfRow(row);
    document.candidates.push_back(std::move(row));
  }
  document.cells = CellsJson(view, document.candidates.size());
  return document;
}

std::optional<BaselineTime> BaselineOf(const CompareDocument& document, Family family) {
  const Strategy plain = BaselineStrategy(family, static_cast<int>(document.ranks));
  const auto is = [](const Json& row, const char* key, const Json& value) {
    return row[key].is_null() || row[key] == value;  // older documents have fewer keys
  };
  const auto ns = [](const Json& row, const char* key) -> std::optional<std::int64_t> {
    if (!row[key].is_number()) return std::nullopt;
    const double value = row[key].get<double>() * kNsPerMs;
    if (!(value < kMostNs)) return std::nullopt;
    return std::llround(value);
  };
  for (const Json& row : document.candidates) {
    const bool named = row["family"] == NameOf(family) || row["family"] == NameOf(Family::kUsp);
    if (!named || row["ulysses_degree"] != plain.ulysses_degree ||
        row["ring_degree"] != plain.ring_degree || !is(row, "cfg_degree", 1) ||
        !is(row, "chunks", 1) || !is(row, "layout", "given") ||
        !is(row, "exchange", NameOf(plain.exchange))) {
      continue;
    }
    const auto total = ns(row, "total_ms");
    const auto compute = ns(row, "compute_ms");
    if (!total || !compute) continue;
    return BaselineTime{*total,
                        ns(row, "total_ms_low").value_or(*total),
                        ns(row, "total_ms_high").value_or(*total),
                        *compute,
                        *total - *compute};
  }
  return std::nullopt;
}

Json CompareJson(const CompareDocument& document) {
  return {{"name", document.name},
          {"ranks", document.ranks},
          {"costs", document.costs},
          {"plans", document.plans},
          {"candidates", document.candidates},
          {"cells", document.cells}};
}

}  // namespace dbsp::reports
