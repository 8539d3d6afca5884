// SPDX-License-Identifier: Apache-2.0
// Where the attention time of a video goes: under the plain strategies, under the best candidate of
// every family, and under the plan.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "core/baseline.h"
#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

/// Sums over the cells of a plan and all passes. Units: nanoseconds.
struct Parts {
  double total = 0;
  double low = 0;
  double high = 0;
  double compute = 0;
  double exposed = 0;
  std::optional<double> waiting = 0;  ///< empty where the loads are not known
  std::optional<double> contention = 0;  ///< empty where it is not known
};

/// Mean rank's blocks over the busiest rank's; empty without loads.
std::optional<double> MeanOverMost(const std::vector<std::int64_t>& blocks) {
  if (blocks.empty()) return std::nullopt;
  const auto most = static_cast<double>(*std::ranges::max_element(blocks));
  if (most <= 0) return 1.0;
  return std::accumulate(blocks.begin(), blocks.end(), 0.0) / static_cast<double>(blocks.size()) /
         most;
}

void Add(const BaselineTime& time,
         const std::vector<std::int64_t>& blocks,
         double contention,
         double passes,
         Parts& parts) {
  parts.total += passes * static_cast<double>(time.total_ns);
  parts.low += passes * static_cast<double>(time.low_ns);
  parts.high += passes * static_cast<double>(time.high_ns);
  parts.compute += passes * static_cast<double>(time.compute_ns);
  parts.exposed += passes * static_cast<double>(time.exchange_ns);
  if (parts.contention) *parts.contention += passes * contention;
  const auto share = MeanOverMost(blocks);
  if (!share) parts.waiting.reset();
  if (parts.waiting) {
    *parts.waiting += passes * (static_cast<double>(time.compute_ns) - contention) * (1 - *share);
  }
}

/// Time that concurrent exchanges add to the attention of the rank that they slow most.
double ContentionNs(const Prediction& prediction) {
  std::map<int, double> by_rank;
  for (const Segment& segment : prediction.segments) {
    if (segment.alone_ns) {
      by_rank[segment.rank] += static_cast<double>(segment.duration_ns - *segment.alone_ns);
    }
  }
  double most = 0;
  for (const auto& [rank, ns] : by_rank) most = std::max(most, ns);
  return std::min(most, static_cast<double>(prediction.compute_ns));
}

Json RungJson(const char* kind,
              const std::string& family,
              const std::string& label,
              const std::string& source,
              const Parts& parts,
              const std::optional<double>& replayed_ms) {
  const auto ms = [](double ns) { return ns / kNsPerMs; };
  const auto known = [&](const std::optional<double>& ns) {
    return ns ? Json(ms(*ns)) : Json(nullptr);
  };
  const double rest = parts.compute - parts.waiting.value_or(0) - parts.contention.value_or(0);
  return {{"kind", kind},
          {"family", family},
          {"label", label},
          {"source", source},
          {"total_ms", ms(parts.total)},
          {"low_ms", ms(parts.low)},
          {"high_ms", ms(parts.high)},
          {"balanced_ms", ms(std::max(0.0, rest))},
          {"waiting_ms", known(parts.waiting)},
          {"exposed_ms", ms(parts.exposed)},
          {"contention_ms", known(parts.contention)},
          {"replayed_ms", OrNull(replayed_ms)}};
}

/// Replayed time of a baseline over all cells, by the best evidence; empty without it.
std::optional<double> ReplayedBaseline(const Json& verdict, Family family) {
  for (const Json& gain : verdict["baselines"]) {
    if (gain["family"] == NameOf(family) && gain["kind"] != "predicted" &&
        gain["cells"] == gain["cells_total"]) {
      return gain["baseline_ms"].get<double>();
    }
  }
  return std::nullopt;
}

Json BaselineRungs(const PlanInput& input, const Json& verdict) {
  Json rungs = Json::array();
  const Plan& plan = input.plan;
  for (const Baseline& baseline : plan.baselines) {
    if (baseline.times.empty() || baseline.cfg_degree != 1) continue;
    Parts parts;
    for (const PlanCell& cell : plan.cells) {
      Add(baseline.times[cell.prediction],
          baseline.active_blocks[cell.prediction],
          0,
          plan.passes,
          parts);
    }
    parts.contention.reset();
    rungs.push_back(RungJson("baseline",
                             NameOf(baseline.family),
                             fmt::format("Plain {}", NameOf(baseline.family)),
                             input.name,
                             parts,
                             ReplayedBaseline(verdict, baseline.family)));
  }
  return rungs;
}

Json PlanRung(const PlanInput& input, const Json& verdict) {
  Parts parts;
  for (const PlanCell& cell : input.plan.cells) {
    const Prediction& p = input.plan.predictions[cell.prediction];
    Add(TimeOf(p), p.active_blocks, ContentionNs(p), input.plan.sequential_waves(), parts);
  }
  std::optional<double> replayed;
  if (verdict["headline"]["source"] != "predicted") replayed = verdict["headline"]["ms"];
  return RungJson("plan", "", "This plan", input.name, parts, replayed);
}

int IntOf(const Json& row, const char* key, int otherwise) {
  return row[key].is_number() ? static_cast<int>(row[key].get<double>()) : otherwise;
}

/// A candidate as a strategy, for its label. Layouts are not set.
Strategy StrategyOf(const Json& row, Family family) {
  Strategy strategy;
  strategy.family = family;
  strategy.cfg_degree = IntOf(row, "cfg_degree", 1);
  strategy.ulysses_degree = IntOf(row, "ulysses_degree", 1);
  strategy.ring_degree = IntOf(row, "ring_degree", 1);
  strategy.chunks = IntOf(row, "chunks", 1);
  if (row["exchange"].is_string()) {
    strategy.exchange = ParseExchange(row["exchange"].get<std::string>());
  }
  return strategy;
}

/// A family that this build knows; empty for others, which documents of later versions may hold.
std::optional<Family> FamilyOf(const std::string& name) {
  for (const Family family : {Family::kUlysses,
                              Family::kRing,
                              Family::kUsp,
                              Family::kDbsp,
                              Family::kBalanced,
                              Family::kPlaced}) {
    if (name == NameOf(family)) return family;
  }
  return std::nullopt;
}

/// The fastest candidate of every family. A candidate that every cell runs is the plan and is left
/// out.
void AddCandidateRungs(const Plan& plan, const CompareDocument& document, Json& rungs) {
  std::map<std::string, const Json*> best;
  for (const Json& row : document.candidates) {
    if (!row["total_ms"].is_number() || !row["compute_ms"].is_number()) continue;
    const Json*& first = best[row["family"].get<std::string>()];
    if (first == nullptr || row["total_ms"] < (*first)["total_ms"]) first = &row;
  }
  for (const auto& [name, row] : best) {
    const auto family = FamilyOf(name);
    if (!family || std::cmp_equal(IntOf(*row, "chosen", 0), plan.cells.size())) continue;
    const Strategy strategy = StrategyOf(*row, *family);
    if (strategy.cfg_degree == 1 && strategy.chunks == 1 &&
        std::ranges::any_of(kBaselineFamilies, [&](Family plain) {
          return IsBaseline(strategy, plain, static_cast<int>(document.ranks));
        })) {
      continue;
    }
    const auto ns = [&](const char* key) { return (*row)[key].get<double>() * kNsPerMs; };
    Parts parts;
    parts.total = ns("total_ms");
    parts.low = (*row)["total_ms_low"].is_number() ? ns("total_ms_low") : parts.total;
    parts.high = (*row)["total_ms_high"].is_number() ? ns("total_ms_high") : parts.total;
    parts.compute = ns("compute_ms");
    parts.exposed = std::max(0.0, parts.total - parts.compute);
    parts.contention.reset();
    parts.waiting.reset();
    const Json& rho = (*row)["rho_barrier"];
    if (rho.is_number() && rho >= 1.0) {
      parts.waiting = parts.compute * (1 - 1 / rho.get<double>());
    }
    rungs.push_back(RungJson("candidate",
                             name,
                             "Best " + (*row)["strategy"].get<std::string>(),
                             document.name,
                             parts,
                             {}));
  }
}

}  // namespace

Json LadderJson(const ReportInputs& inputs,
                std::size_t index,
                const std::vector<CompareDocument>& compares,
                const Json& verdict) {
  const PlanInput& input = inputs.plans[index];
  Json rungs = BaselineRungs(input, verdict);
  for (const CompareDocument& document : compares) {
    if (std::ranges::find(document.plans, index) == document.plans.end()) continue;
    AddCandidateRungs(input.plan, document, rungs);
    break;  // documents of one plan hold the same search
  }
  std::stable_sort(rungs.begin(), rungs.end(), [](const Json& a, const Json& b) {
    return a["total_ms"] > b["total_ms"];
  });
  rungs.push_back(PlanRung(input, verdict));
  return rungs;
}

}  // namespace dbsp::reports
