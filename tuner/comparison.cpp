// SPDX-License-Identifier: Apache-2.0
#include "tuner/comparison.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "core/error.h"
#include "core/terminal_text.h"
#include "core/units.h"

namespace dbsp::tuner {
namespace {

const Score& ScoreAt(const CellClass& cls, std::size_t candidate) { return cls.scores[candidate]; }

/// Sum of a candidate's scores over all cells and waves of passes. MayFlip() compares such sums,
/// also of different cfg degrees.
Score TotalScore(const SearchResult& result, std::size_t candidate) {
  Score sum;
  for (const CellClass& cls : result.classes) {
    const Score& score = ScoreAt(cls, candidate);
    const std::int64_t times = cls.cells * result.WavesOf(candidate);
    sum.total_ns += score.total_ns * times;
    sum.low_ns += score.low_ns * times;
    sum.high_ns += score.high_ns * times;
    sum.compute_ns += score.compute_ns * times;
    sum.exchange_ns += score.exchange_ns * times;
    sum.lower_bound_ns += score.lower_bound_ns * times;
    sum.bytes_per_rank += score.bytes_per_rank * times;
    sum.load.barrier += score.load.barrier * static_cast<double>(times);
    sum.load.mean += score.load.mean * static_cast<double>(times);
  }
  return sum;
}

/// First candidate with the same partition as this one on every cell; -1 without one.
int FirstEqualCandidate(const SearchResult& result, std::size_t candidate) {
  const int equal = ScoreAt(result.classes.front(), candidate).same_as;
  if (equal == static_cast<int>(candidate)) return -1;
  const bool everywhere =
      std::all_of(result.classes.begin(), result.classes.end(), [&](const CellClass& cls) {
        return ScoreAt(cls, candidate).same_as == equal;
      });
  return everywhere ? equal : -1;
}

std::string VerdictOf(const SearchResult& result, std::size_t i, std::int64_t chosen) {
  const Candidate& candidate = result.candidates[i];
  if (!candidate.excluded.empty()) return "excluded: " + candidate.excluded;
  const auto uniform = static_cast<std::size_t>(result.uniform);
  std::string text;
  if (i == uniform) {
    text = "best uniform";
  } else if (const int equal = FirstEqualCandidate(result, i); equal >= 0) {
    text = "same as " + NameOfCandidate(result.candidates[equal]);
  } else {
    const Score mine = TotalScore(result, i);
    const Score best = TotalScore(result, uniform);
    const double slower =
        best.total_ns > 0
            ? 100.0 * (static_cast<double>(mine.total_ns) / static_cast<double>(best.total_ns) - 1)
            : 0.0;
    text = mine.total_ns == best.total_ns
               ? "costs the same as the best"
               : fmt::format("{:.1f}% slower{}", slower, MayFlip(mine, best) ? ", may flip" : "");
  }
  if (chosen > 0 && i != uniform) text += fmt::format(", faster in {} cells", chosen);
  return text;
}

/// Kernels that a candidate runs on some cell.
std::vector<std::string> KernelsOf(const SearchResult& result, std::size_t candidate) {
  const Candidate& one = result.candidates[candidate];
  if (result.kernels.empty() || !one.excluded.empty()) return {one.strategy.kernel};
  std::vector<std::string> used;
  for (const std::string& kernel : result.kernels) {
    const bool runs =
        std::any_of(result.classes.begin(), result.classes.end(), [&](const CellClass& cls) {
          return result.KernelOf(cls, candidate) == kernel;
        });
    if (runs) used.push_back(kernel);
  }
  return used;
}

/// Line such as "plan: kernels by cells: a in 12, b in 3"; "" unless several kernels were measured.
std::string KernelLine(const SearchResult& result) {
  if (result.kernels.size() < 2) return "";
  std::string text;
  for (const std::string& kernel : result.kernels) {
    std::int64_t cells = 0;
    for (const CellClass& cls : result.classes) {
      const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
      if (result.KernelOf(cls, chosen) == kernel) cells += cls.cells;
    }
    text += fmt::format("{}{} in {}", text.empty() ? "" : ", ", TerminalLine(kernel), cells);
  }
  return fmt::format("plan: kernels by cells: {}\n", text);
}

CandidateSummary SummariseOne(const SearchResult& result, std::size_t i) {
  CandidateSummary summary;
  summary.candidate = result.candidates[i];
  summary.kernels = KernelsOf(result, i);
  std::int64_t cells = 0;
  double rho_sum = 0;
  double plan_sum = 0;
  double moved_sum = 0;
  summary.rho_barrier_worst = 0;
  for (const CellClass& cls : result.classes) {
    const Score& score = ScoreAt(cls, i);
    const auto weight = static_cast<double>(cls.cells);
    cells += cls.cells;
    rho_sum += score.rho_barrier * weight;
    moved_sum += score.moved_fraction * weight;
    plan_sum += score.plan_us;
    summary.rho_barrier_worst = std::max(summary.rho_barrier_worst, score.rho_barrier);
    if (cls.choice.chosen == static_cast<int>(i)) summary.chosen += cls.cells;
  }
  const Score sum = TotalScore(result, i);
  const double ms = 1 / kNsPerMs;
  summary.rho_barrier = sum.load.mean > 0 ? sum.load.barrier / sum.load.mean : 1;
  summary.rho_barrier_mean = rho_sum / static_cast<double>(cells);
  summary.compute_ms = static_cast<double>(sum.compute_ns) * ms;
  summary.exchange_ms = static_cast<double>(sum.exchange_ns) * ms;
  summary.total_ms = static_cast<double>(sum.total_ns) * ms;
  summary.total_ms_low = static_cast<double>(sum.low_ns) * ms;
  summary.total_ms_high = static_cast<double>(sum.high_ns) * ms;
  summary.lower_bound_ms = static_cast<double>(sum.lower_bound_ns) * ms;
  if (sum.lower_bound_ns > 0) {
    summary.rho_timeline =
        static_cast<double>(sum.total_ns) / static_cast<double>(sum.lower_bound_ns);
  }
  summary.bytes_per_rank = sum.bytes_per_rank;
  summary.moved_fraction = moved_sum / static_cast<double>(cells);
  summary.plan_us = plan_sum / static_cast<double>(result.classes.size());
  summary.verdict = VerdictOf(result, i, summary.chosen);
  return summary;
}

}  // namespace

std::vector<CandidateSummary> Summarise(const SearchResult& result) {
  std::vector<CandidateSummary> summaries;
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    if (result.candidates[i].excluded.empty()) {
      summaries.push_back(SummariseOne(result, i));
    } else {
      CandidateSummary summary;
      summary.candidate = result.candidates[i];
      summary.kernels = KernelsOf(result, i);
      summary.verdict = VerdictOf(result, i, 0);
      summaries.push_back(std::move(summary));
    }
  }
  return summaries;
}

PlanSummary SummarisePlan(const SearchResult& result) {
  PlanSummary plan;
  plan.classes = result.classes.size();
  for (const CellClass& cls : result.classes) {
    const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
    const Score& score = ScoreAt(cls, chosen);
    const double weight =
        static_cast<double>(cls.cells) * static_cast<double>(result.WavesOf(chosen)) / kNsPerMs;
    plan.total_ms += static_cast<double>(score.total_ns) * weight;
    plan.total_ms_low += static_cast<double>(score.low_ns) * weight;
    plan.total_ms_high += static_cast<double>(score.high_ns) * weight;
    plan.lower_bound_ms += static_cast<double>(score.lower_bound_ns) * weight;
    plan.cells += cls.cells;
    if (cls.choice.close) plan.close_cells += cls.cells;
  }
  return plan;
}

namespace {

/// Unit of the times in a table or sentence. JSON documents always use milliseconds.
struct Unit {
  const char* name;
  double ms;  ///< milliseconds per unit
};

Unit UnitFor(double largest_ms) {
  constexpr double kReadableMs = 1e4;
  return largest_ms < kReadableMs ? Unit{"ms", 1.0} : Unit{"s", 1e3};
}

bool AnySplitsPasses(const std::vector<CandidateSummary>& summaries) {
  return std::ranges::any_of(summaries, [](const CandidateSummary& summary) {
    return summary.candidate.strategy.cfg_degree > 1;
  });
}

/// Line such as "plan: cfg degree 2, 2 passes at the same time on 4 ranks each; ..."; "" unless
/// several cfg degrees were searched.
std::string CfgLine(const SearchResult& result,
                    const std::vector<CandidateSummary>& summaries,
                    const Unit& unit) {
  if (!AnySplitsPasses(summaries)) return "";
  const int chosen = result.distribution.cfg_degree;
  std::string text =
      chosen == 1
          ? fmt::format("plan: cfg degree 1, one pass after the other on all {} ranks",
                        result.ranks)
          : fmt::format("plan: cfg degree {0}, {0} passes at the same time on {1} ranks each",
                        chosen,
                        PassRanks(result.ranks, chosen));
  std::map<int, const CandidateSummary*> best;  // of the other degrees
  for (const CandidateSummary& summary : summaries) {
    const int degree = summary.candidate.strategy.cfg_degree;
    if (degree == chosen || !summary.candidate.excluded.empty()) continue;
    const CandidateSummary*& least = best[degree];
    if (least == nullptr || summary.total_ms < least->total_ms) least = &summary;
  }
  for (const auto& [degree, least] : best) {
    text += fmt::format("; best uniform of degree {} {}, {:.3f} {}",
                        degree,
                        NameOfCandidate(least->candidate),
                        least->total_ms / unit.ms,
                        unit.name);
  }
  return text + "\n";
}

std::string Row(const CandidateSummary& summary,
                std::size_t width,
                double best_ms,
                const Unit& unit) {
  const std::string name = TerminalLine(NameOfCandidate(summary.candidate));
  if (!summary.candidate.excluded.empty()) {
    return fmt::format("{:<{}}  {}\n", name, width, summary.verdict);
  }
  return fmt::format(
      "{:<{}}  {:<8} {:>6.3f} {:>11.3f} {:>11.3f} {:>11.3f}  [{:>9.3f}, {:>9.3f}] {:>7} {:>6}  "
      "{}\n",
      name,
      width,
      NameOf(summary.candidate.strategy.exchange),
      summary.rho_barrier,
      summary.compute_ms / unit.ms,
      summary.exchange_ms / unit.ms,
      summary.total_ms / unit.ms,
      summary.total_ms_low / unit.ms,
      summary.total_ms_high / unit.ms,
      best_ms > 0 ? fmt::format("{:.3f}x", summary.total_ms / best_ms) : "-",
      summary.chosen,
      summary.verdict);
}

/// Widest name of a candidate, at least that of the column's heading.
std::size_t NameWidth(const std::vector<Candidate>& candidates) {
  std::size_t width = std::string_view("strategy").size();
  for (const Candidate& candidate : candidates) {
    width = std::max(width, TerminalLine(NameOfCandidate(candidate)).size());
  }
  return width;
}

}  // namespace

std::string CompareTable(const SearchResult& result, CostSource costs, bool with_cells) {
  const auto summaries = Summarise(result);
  const double best = summaries[result.uniform].total_ms;
  const Unit unit = UnitFor(best);
  const std::size_t width = NameWidth(result.candidates);
  std::string text = fmt::format("{} ranks, {} costs, {} cells, {} distinct, {} pass{} per step\n",
                                 result.ranks,
                                 NameOf(costs),
                                 result.cells.size(),
                                 result.classes.size(),
                                 result.passes,
                                 result.passes == 1 ? "" : "es");
  text += fmt::format("{:<{}}  {:<8} {:>6} {:>11} {:>11} {:>11}  {:^22} {:>7} {:>6}  {}\n",
                      "strategy",
                      width,
                      "exchange",
                      "rho",
                      fmt::format("compute {}", unit.name),
                      fmt::format("exchange {}", unit.name),
                      fmt::format("total {}", unit.name),
                      fmt::format("interval {}", unit.name),
                      "vs best",
                      "chosen",
                      "verdict");
  for (const CandidateSummary& summary : summaries) text += Row(summary, width, best, unit);
  if (!with_cells) return text;
  text += fmt::format("\n{:>5} {:>5}  {:<{}} {:>11} {:>11} {:>11} {:>6}  {}\n",
                      "step",
                      "layer",
                      "chosen",
                      width,
                      "total ms",
                      "low ms",
                      "high ms",
                      "rho",
                      "close");
  for (const SearchCell& cell : result.cells) {
    const CellClass& cls = result.classes[cell.cls];
    const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
    const Score& score = ScoreAt(cls, chosen);
    text += fmt::format("{:>5} {:>5}  {:<{}} {:>11.3f} {:>11.3f} {:>11.3f} {:>6.3f}  {}\n",
                        cell.step,
                        cell.layer,
                        TerminalLine(NameOfCandidate(result.candidates[chosen])),
                        width,
                        static_cast<double>(score.total_ns) / kNsPerMs,
                        static_cast<double>(score.low_ns) / kNsPerMs,
                        static_cast<double>(score.high_ns) / kNsPerMs,
                        score.rho_barrier,
                        cls.choice.close ? "yes" : "no");
  }
  return text;
}

std::string VerdictLines(const SearchResult& result,
                         CostSource costs,
                         const std::vector<PricedBaseline>& baselines,
                         std::optional<double> model_error) {
  const auto summaries = Summarise(result);
  const CandidateSummary& uniform = summaries[result.uniform];
  const PlanSummary plan = SummarisePlan(result);
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : 1.0; };
  const Unit unit = UnitFor(plan.total_ms);
  std::string text = fmt::format("plan: best uniform strategy {}, {:.3f} {} [{:.3f}, {:.3f}]\n",
                                 NameOfCandidate(uniform.candidate),
                                 uniform.total_ms / unit.ms,
                                 unit.name,
                                 uniform.total_ms_low / unit.ms,
                                 uniform.total_ms_high / unit.ms);
  text += fmt::format(
      "plan: per cell {:.3f} {} [{:.3f}, {:.3f}], {:.3f}x the best uniform's speed; {} of {} cells "
      "are close calls\n",
      plan.total_ms / unit.ms,
      unit.name,
      plan.total_ms_low / unit.ms,
      plan.total_ms_high / unit.ms,
      ratio(uniform.total_ms, plan.total_ms),
      plan.close_cells,
      plan.cells);
  text += CfgLine(result, summaries, unit);
  for (const PricedBaseline& baseline : baselines) {
    const auto gain = GainOver(result, baseline, model_error.value_or(0));
    if (!gain) {
      text += fmt::format("plan: no gain over plain {} is known: {}\n",
                          NameOf(baseline.family),
                          TerminalLine(baseline.missing));
      continue;
    }
    text += fmt::format("plan: {} ({:.3f} {})\n",
                        GainText(*gain, baseline.family),
                        gain->baseline_ns / kNsPerMs / unit.ms,
                        unit.name);
  }
  text += fmt::format("plan: {:.3f}x the lower bound of {:.3f} {}\n",
                      ratio(plan.total_ms, plan.lower_bound_ms),
                      plan.lower_bound_ms / unit.ms,
                      unit.name);
  text += KernelLine(result);
  text += fmt::format("plan: costs are {}\n", NameOf(costs));
  return text;
}

}  // namespace dbsp::tuner
