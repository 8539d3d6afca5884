// SPDX-License-Identifier: Apache-2.0
#include "tuner/overlap_slowdown_fit.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/statistics.h"

namespace dbsp::tuner {
namespace {

using planner::OverlapSlowdownEstimate;
using planner::RatioEstimate;

/// Of what was not measured: both at once as slow as one after the other.
constexpr double kMostUnmeasured = 2;
/// Of another number of ranks than was measured.
constexpr double kOtherRanksMore = 1.5;

/// Slowdowns of one side, and how far the middle half of their samples reaches.
struct Ratios {
  std::vector<double> ratio;
  std::vector<double> spread;
};

RatioEstimate FactorOf(const Ratios& ratios) {
  const double spread = Quantile(ratios.spread, 0.5);
  RatioEstimate factor;
  factor.value = std::max(1.0, Quantile(ratios.ratio, 0.5));
  factor.low = std::clamp(Quantile(ratios.ratio, 0.1) * (1 - spread), 1.0, factor.value);
  factor.high = std::max(factor.value, Quantile(ratios.ratio, 0.9) * (1 + spread));
  return factor;
}

RatioEstimate Widened(const RatioEstimate& factor) {
  return {factor.value, 1, 1 + kOtherRanksMore * (factor.high - 1)};
}

std::string Words(const RatioEstimate& factor) {
  return fmt::format("{:.2f} ({:.2f} to {:.2f})", factor.value, factor.low, factor.high);
}

}  // namespace

OverlapSlowdownFit::OverlapSlowdownFit(const TrialSelection& selection, planner::Traffic traffic)
    : op_(traffic == planner::Traffic::kHop ? "hop" : "alltoall") {
  std::map<int, std::map<TimedSide, Ratios>> found;
  for (const UsableTrial& usable : selection.trials) {
    const auto* config = std::get_if<OverlapConfig>(&usable.trial->config);
    if (config == nullptr || config->exchange.op != op_ || config->sm_margin != 0) continue;
    if (usable.alone_ns == 0) continue;
    Ratios& ratios = found[config->exchange.ranks][config->timed];
    ratios.ratio.push_back(usable.ns / usable.alone_ns);
    ratios.spread.push_back(usable.spread + usable.alone_spread);
  }
  for (const auto& [ranks, sides] : found) {
    if (sides.size() != 2) continue;
    const Ratios& attention = sides.at(TimedSide::kAttention);
    const Ratios& exchange = sides.at(TimedSide::kExchange);
    by_ranks_[ranks] = {{FactorOf(attention), FactorOf(exchange)},
                        attention.ratio.size() + exchange.ratio.size()};
  }
}

OverlapSlowdownEstimate OverlapSlowdownFit::At(int ranks) const {
  if (by_ranks_.empty()) {
    unmeasured_ = true;
    return {{1, 1, kMostUnmeasured}, {1, 1, kMostUnmeasured}};
  }
  const auto distance = [ranks](const auto& entry) {
    return std::abs(std::log(static_cast<double>(entry.first) / ranks));
  };
  const auto nearest =
      std::min_element(by_ranks_.begin(), by_ranks_.end(), [&](const auto& a, const auto& b) {
        return distance(a) < distance(b);
      });
  const OverlapSlowdownEstimate& contention = nearest->second.contention;
  if (nearest->first == ranks) return contention;
  other_ranks_ = true;
  return {Widened(contention.attention), Widened(contention.exchange)};
}

void OverlapSlowdownFit::AddRemarks(const std::string& profile_command,
                                    std::vector<std::string>& remarks) const {
  for (const auto& [ranks, measured] : by_ranks_) {
    remarks.push_back(
        fmt::format("attention beside {} between {} ranks: it takes {} times as long as alone, the "
                    "exchange {} times; {} trials",
                    op_,
                    ranks,
                    Words(measured.contention.attention),
                    Words(measured.contention.exchange),
                    measured.trials));
  }
  if (unmeasured_) {
    remarks.push_back(
        fmt::format("attention beside {}: not measured; taken to cost neither anything, and at "
                    "worst to take as long as one after the other; measure: {} --suite overlap",
                    op_,
                    profile_command));
  }
  if (other_ranks_) {
    std::vector<int> counts;
    for (const auto& [ranks, measured] : by_ranks_) counts.push_back(ranks);
    remarks.push_back(
        fmt::format("attention beside {}: a rank count that was not measured was needed (measured: "
                    "{}); the nearest was taken and its interval widened; measure: {} --suite "
                    "overlap",
                    op_,
                    fmt::join(counts, ", "),
                    profile_command));
  }
}

}  // namespace dbsp::tuner
