// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "core/json.h"
#include "core/units.h"
#include "tuner/comparison.h"
#include "tuner/end_to_end.h"

namespace dbsp::tuner {
namespace {

Json KernelJson(const std::string& kernel) { return kernel.empty() ? "default" : kernel; }

Json KernelsJson(const CandidateSummary& summary) {
  Json kernels = Json::array();
  for (const std::string& kernel : summary.kernels) kernels.push_back(KernelJson(kernel));
  return kernels;
}

Json Finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json CandidateJson(const CandidateSummary& s) {
  const Strategy& strategy = s.candidate.strategy;
  Json json = {{"strategy", NameOfCandidate(s.candidate)},
               {"family", NameOf(strategy.family)},
               {"cfg_degree", strategy.cfg_degree},
               {"ulysses_degree", strategy.ulysses_degree},
               {"ring_degree", strategy.ring_degree},
               {"exchange", NameOf(strategy.exchange)},
               {"chunks", strategy.chunks},
               {"layout", s.candidate.layout},
               {"kernels", KernelsJson(s)},
               {"chosen", s.chosen},
               {"verdict", s.verdict}};
  // Numbers of an excluded candidate are null, because a zero would look like the best value.
  const bool known = s.candidate.excluded.empty();
  const auto number = [&](double value) { return known ? Finite(value) : Json(nullptr); };
  json["rho_barrier"] = number(s.rho_barrier);
  json["rho_barrier_mean"] = number(s.rho_barrier_mean);
  json["rho_barrier_worst"] = number(s.rho_barrier_worst);
  json["rho_timeline"] = s.rho_timeline ? number(*s.rho_timeline) : Json(nullptr);
  json["compute_ms"] = number(s.compute_ms);
  json["exchange_ms"] = number(s.exchange_ms);
  json["total_ms"] = number(s.total_ms);
  json["total_ms_low"] = number(s.total_ms_low);
  json["total_ms_high"] = number(s.total_ms_high);
  json["bytes_per_rank"] = known ? Json(s.bytes_per_rank) : Json(nullptr);
  json["moved_fraction"] = number(s.moved_fraction);
  json["plan_us"] = number(s.plan_us);
  json["lower_bound_ms"] = number(s.lower_bound_ms);
  return json;
}

/// One (step, layer) for one pass: the chosen strategy, and total and rho of every candidate in the
/// order of "candidates".
Json CellJson(const SearchResult& result, const SearchCell& cell) {
  const CellClass& cls = result.classes[cell.cls];
  const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
  const Score& score = cls.scores[chosen];
  const Strategy& strategy = result.candidates[chosen].strategy;
  const auto ms = [](std::int64_t ns) { return static_cast<double>(ns) / kNsPerMs; };
  Json totals = Json::array();
  Json rhos = Json::array();
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const bool known = result.candidates[i].excluded.empty();
    totals.push_back(known ? Json(ms(cls.scores[i].total_ns)) : Json(nullptr));
    rhos.push_back(known ? Finite(cls.scores[i].rho_barrier) : Json(nullptr));
  }
  return {{"step", cell.step},
          {"layer", cell.layer},
          {"candidate", cls.choice.chosen},
          {"strategy", NameOfCandidate(result.candidates[chosen])},
          {"family", NameOf(strategy.family)},
          {"cfg_degree", strategy.cfg_degree},
          {"ulysses_degree", strategy.ulysses_degree},
          {"ring_degree", strategy.ring_degree},
          {"exchange", NameOf(strategy.exchange)},
          {"kernel", KernelJson(result.KernelOf(cls, chosen))},
          {"total_ms", ms(score.total_ns)},
          {"total_ms_low", ms(score.low_ns)},
          {"total_ms_high", ms(score.high_ns)},
          {"compute_ms", ms(score.compute_ns)},
          {"exchange_ms", ms(score.exchange_ns)},
          {"lower_bound_ms", ms(score.lower_bound_ns)},
          {"bytes_per_rank", score.bytes_per_rank},
          {"rho_barrier", Finite(score.rho_barrier)},
          {"close", cls.choice.close},
          {"mask_class", cell.cls},
          {"candidates_total_ms", std::move(totals)},
          {"candidates_rho_barrier", std::move(rhos)}};
}

/// Times of the whole video, of the plan and of every candidate.
void AddVideo(const SearchResult& result, const RestOfVideo& rest, Json& document) {
  const VideoTime plan = VideoTimeOf(result, rest);
  document["video"] = {{"attention_ms", plan.attention_ms},
                       {"rest_ms", plan.rest_ms},
                       {"once_ms", plan.once_ms},
                       {"total_ms", plan.total_ms()},
                       {"attention_share", plan.attention_share()},
                       {"rest_source", rest.source},
                       {"skipped_steps", rest.skipped_steps}};
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const auto video = VideoTimeOf(result, rest, i);
    Json& candidate = document["candidates"][i];
    candidate["video_ms"] = video ? Json(video->total_ms()) : Json(nullptr);
    candidate["attention_share"] = video ? Json(video->attention_share()) : Json(nullptr);
  }
}

}  // namespace

std::string CompareJson(const SearchResult& result,
                        const std::string& workload_name,
                        const std::string& workload_hash,
                        const CostsIdentity& costs,
                        bool with_cells,
                        const std::optional<RestOfVideo>& rest) {
  Json document = {{"schema", "dbsp.compare/1"},
                   {"workload",
                    {{"name", workload_name},
                     {"hash", workload_hash},
                     {"cells", static_cast<std::int64_t>(result.cells.size())}}},
                   {"ranks", result.ranks},
                   {"costs", NameOf(costs.source)},
                   {"cluster", costs.cluster},
                   {"database_hash", costs.database_hash},
                   {"candidates", Json::array()}};
  for (const CandidateSummary& summary : Summarise(result)) {
    document["candidates"].push_back(CandidateJson(summary));
  }
  if (rest) AddVideo(result, *rest, document);
  if (with_cells) {
    Json cells = Json::array();
    for (const SearchCell& cell : result.cells) cells.push_back(CellJson(result, cell));
    document["cells"] = std::move(cells);
  }
  return DumpJson(document, 1) + "\n";
}

}  // namespace dbsp::tuner
