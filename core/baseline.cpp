// SPDX-License-Identifier: Apache-2.0
#include "core/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/units.h"

namespace dbsp {
namespace {

/// Half of a normal distribution lies within this many standard deviations of the mean.
constexpr double kHalf = 0.6745;

std::string ChanceText(double chance) {
  if (chance < 0.001) return "below 0.1%";
  return fmt::format("{:.1f}%", 100 * chance);
}

}  // namespace

GainVerdict VerdictOf(const Gain& gain) {
  if (std::abs(gain.gain - 1) < kNoGain) return GainVerdict::kSame;
  if (gain.gain > 1 && gain.low.value_or(gain.gain) > 1) return GainVerdict::kFaster;
  if (gain.gain < 1 && gain.high.value_or(gain.gain) < 1) return GainVerdict::kSlower;
  return GainVerdict::kAmbiguous;
}

CostsIdentity CostsOf(const Plan& plan) { return {plan.costs, plan.cluster, plan.database_hash}; }

std::string NameOf(const CostsIdentity& costs) {
  std::string text = fmt::format("{} costs", NameOf(costs.source));
  if (!costs.cluster.empty()) text += " of " + costs.cluster;
  if (!costs.database_hash.empty()) {
    text += fmt::format(" {} measurements {}",
                        costs.cluster.empty() ? "of" : "and",
                        costs.database_hash.substr(0, 16));
  }
  return text;
}

Strategy BaselineStrategy(Family family, int ranks) {
  Strategy strategy;
  strategy.family = family;
  (family == Family::kRing ? strategy.ring_degree : strategy.ulysses_degree) = ranks;
  strategy.exchange = strategy.ring_degree > 1 ? Exchange::kRing : Exchange::kAllToAll;
  return strategy;
}

bool IsBaseline(const Strategy& strategy, Family family, int ranks) {
  Strategy plain = BaselineStrategy(family, ranks);
  plain.family = strategy.family == Family::kUsp ? Family::kUsp : family;
  plain.partition = strategy.partition;
  plain.kernel = strategy.kernel;
  return strategy == plain;
}

bool IsBaselinePlan(const Plan& other, const Plan& plan, Family family) {
  return other.workload_hash == plan.workload_hash && other.ranks == plan.ranks &&
         other.passes == plan.passes && CostsOf(other) == CostsOf(plan) && !other.cells.empty() &&
         std::ranges::all_of(other.cells, [&](const PlanCell& cell) {
           return IsBaseline(other.strategies[cell.strategy], family, plan.ranks);
         });
}

const char* NameOf(GainVerdict verdict) {
  switch (verdict) {
    case GainVerdict::kFaster:
      return "faster";
    case GainVerdict::kSlower:
      return "slower";
    case GainVerdict::kSame:
      return "same";
    case GainVerdict::kAmbiguous:
      break;
  }
  return "ambiguous";
}

void GainSum::Sums::Add(const BaselineTime& time, double times) {
  total += times * static_cast<double>(time.total_ns);
  low += times * static_cast<double>(time.low_ns);
  high += times * static_cast<double>(time.high_ns);
  compute += times * static_cast<double>(time.compute_ns);
  exchange += times * static_cast<double>(time.exchange_ns);
}

double GainSum::Sums::HalfWidth() const { return total > 0 ? (high - low) / 2 / total : 0; }

void GainSum::Add(const BaselineTime& plan,
                  double plan_times,
                  const BaselineTime& base,
                  double base_times) {
  plan_.Add(plan, plan_times);
  base_.Add(base, base_times);
  if (plan == base && plan_times == base_times) return;
  differ_ = true;
  plan_compute_apart_ += plan_times * static_cast<double>(plan.compute_ns);
  base_compute_apart_ += base_times * static_cast<double>(base.compute_ns);
}

Gain GainSum::Result(double model_error) const {
  if (plan_.total <= 0) return PlainGain(base_.total, plan_.total);
  Gain gain{base_.total, plan_.total, base_.total / plan_.total, {}, {}, {}, GainVerdict::kSame};
  const double half = std::max(plan_.HalfWidth(), base_.HalfWidth());
  const double shared =
      half * (std::abs(base_.compute - plan_.compute) + std::abs(base_.exchange - plan_.exchange)) /
      kNinety;
  const double model = model_error / kHalf * std::hypot(plan_compute_apart_, base_compute_apart_);
  const double deviation = differ_ ? std::hypot(shared, model) : 0;
  gain.low = std::max(0.0, gain.gain - kNinety * deviation / plan_.total);
  gain.high = gain.gain + kNinety * deviation / plan_.total;
  if (deviation > 0) {
    const double distance = std::abs(base_.total - plan_.total) / deviation;
    gain.flip_chance = std::erfc(distance / std::sqrt(2.0)) / 2;
  }
  gain.verdict = VerdictOf(gain);
  return gain;
}

Gain GainWithin(double baseline_ns, double other_ns, double relative_error) {
  Gain gain = PlainGain(baseline_ns, other_ns);
  const double half = kNinety * relative_error;
  gain.low = half < 1 ? gain.gain * (1 - half) : 0;
  gain.high = gain.gain * (1 + half);
  if (relative_error > 0) {
    const double distance = std::abs(gain.gain - 1) / (relative_error * gain.gain);
    gain.flip_chance = std::erfc(distance / std::sqrt(2.0)) / 2;
  }
  gain.verdict = VerdictOf(gain);
  return gain;
}

Gain PlainGain(double baseline_ns, double plan_ns) {
  Gain gain;
  gain.baseline_ns = baseline_ns;
  gain.plan_ns = plan_ns;
  gain.gain = plan_ns > 0 ? baseline_ns / plan_ns : 1;
  gain.verdict = VerdictOf(gain);
  return gain;
}

BaselineTime TimeOf(const Prediction& p) {
  return {p.total_ns, p.low_ns, p.high_ns, p.compute_ns, p.exchange_ns};
}

std::optional<double> ModelErrorOf(const std::vector<CostFit>& fits,
                                   const std::set<std::string>& kernels) {
  std::optional<double> largest;
  for (const CostFit& fit : fits) {
    if (fit.operation != "attention" || !fit.median_error) continue;
    if (!kernels.contains("") && !kernels.contains(fit.name)) continue;
    largest = std::max(largest.value_or(0), *fit.median_error);
  }
  return largest;
}

std::optional<double> ModelErrorOf(const Plan& plan) {
  std::set<std::string> kernels;
  for (const Strategy& strategy : plan.strategies) kernels.insert(strategy.kernel);
  return ModelErrorOf(plan.fits, kernels);
}

std::optional<Gain> GainOver(const Plan& plan, const Baseline& baseline) {
  if (baseline.times.empty() || baseline.cfg_degree != 1) return std::nullopt;
  GainSum sum;
  for (const PlanCell& cell : plan.cells) {
    sum.Add(TimeOf(plan.predictions[cell.prediction]),
            plan.sequential_waves(),
            baseline.times[cell.prediction],
            plan.passes);
  }
  return sum.Result(ModelErrorOf(plan).value_or(0));
}

std::string WhyNoGain(const Baseline& baseline) {
  if (baseline.cfg_degree != 1) {
    return "the plan of an older version stores it for concurrent passes; tune again";
  }
  if (!baseline.missing.empty()) return baseline.missing;
  return "the plan does not store its time; tune again";
}

std::string GainText(const Gain& gain, Family family) {
  std::string text = fmt::format("{:.3f}x the speed of plain {}", gain.gain, NameOf(family));
  if (gain.low && gain.high) text += fmt::format(" [{:.3f}, {:.3f}]", *gain.low, *gain.high);
  text += fmt::format(", {}", NameOf(gain.verdict));
  if (gain.flip_chance && gain.verdict != GainVerdict::kSame) {
    text += fmt::format("; chance of the other order {}", ChanceText(*gain.flip_chance));
  }
  return text;
}

}  // namespace dbsp
