// SPDX-License-Identifier: Apache-2.0
#include "tuner/overlap_slowdown_fit.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/group_sizes.h"
#include "core/statistics.h"

namespace dbsp::tuner {
namespace {

using planner::OverlapSlowdownEstimate;
using planner::SlowdownEstimate;

/// Upper bound of a slowdown that was not measured: overlapping takes as long as running one after
/// the other.
constexpr double kMaxUnmeasured = 2;
/// Factor by which the interval above 1 grows for a rank count that was not measured.
constexpr double kOtherRanksGrowth = 1.5;

/// Slowdowns of attention or of the exchange, one entry per trial.
struct TrialSlowdowns {
  std::vector<double> ratio;  ///< median time overlapped over median time alone
  std::vector<double> spread;  ///< relative spread of the samples behind the ratio
};

SlowdownEstimate EstimateOf(const TrialSlowdowns& trials) {
  const double spread = Quantile(trials.spread, 0.5);
  SlowdownEstimate slowdown;
  slowdown.value = std::max(1.0, Quantile(trials.ratio, 0.5));
  slowdown.low = std::clamp(Quantile(trials.ratio, 0.1) * (1 - spread), 1.0, slowdown.value);
  slowdown.high = std::max(slowdown.value, Quantile(trials.ratio, 0.9) * (1 + spread));
  return slowdown;
}

SlowdownEstimate Widened(const SlowdownEstimate& slowdown) {
  return {slowdown.value, 1, 1 + kOtherRanksGrowth * (slowdown.high - 1)};
}

std::string TextOf(const SlowdownEstimate& slowdown) {
  return fmt::format("{:.2f} ({:.2f} to {:.2f})", slowdown.value, slowdown.low, slowdown.high);
}

}  // namespace

OverlapSlowdownFit::OverlapSlowdownFit(const TrialSelection& selection, planner::Traffic traffic)
    : op_(traffic == planner::Traffic::kHop ? "hop" : "alltoall") {
  std::map<int, std::map<TimedSide, TrialSlowdowns>> found;  // by ranks
  for (const UsableTrial& usable : selection.trials) {
    const auto* config = std::get_if<OverlapConfig>(&usable.trial->config);
    if (config == nullptr || config->exchange.op != op_ || config->sm_margin != 0) continue;
    if (usable.alone_ns == 0) continue;
    TrialSlowdowns& trials = found[config->exchange.ranks][config->timed];
    trials.ratio.push_back(usable.ns / usable.alone_ns);
    trials.spread.push_back(usable.spread + usable.alone_spread);
  }
  for (const auto& [ranks, sides] : found) {
    if (sides.size() != 2) continue;
    const TrialSlowdowns& attention = sides.at(TimedSide::kAttention);
    const TrialSlowdowns& exchange = sides.at(TimedSide::kExchange);
    by_ranks_[ranks] = {{EstimateOf(attention), EstimateOf(exchange)},
                        attention.ratio.size() + exchange.ratio.size()};
  }
}

OverlapSlowdownEstimate OverlapSlowdownFit::At(int ranks) const {
  if (by_ranks_.empty()) {
    unmeasured_.Add(ranks);
    return {{1, 1, kMaxUnmeasured}, {1, 1, kMaxUnmeasured}};
  }
  const auto distance = [ranks](const auto& entry) {
    return std::abs(std::log(static_cast<double>(entry.first) / ranks));
  };
  const auto nearest =
      std::min_element(by_ranks_.begin(), by_ranks_.end(), [&](const auto& a, const auto& b) {
        return distance(a) < distance(b);
      });
  const OverlapSlowdownEstimate& slowdown = nearest->second.slowdown;
  if (nearest->first == ranks) return slowdown;
  other_ranks_.Add(ranks);
  return {Widened(slowdown.attention), Widened(slowdown.exchange)};
}

void OverlapSlowdownFit::AddRemarks(const ProfileCommand& profile_command,
                                    std::vector<std::string>& remarks) const {
  for (const auto& [ranks, measured] : by_ranks_) {
    remarks.push_back(
        fmt::format("attention beside {} between {} ranks takes {} times as long as alone, and the "
                    "exchange {} times; {} trials",
                    op_,
                    ranks,
                    TextOf(measured.slowdown.attention),
                    TextOf(measured.slowdown.exchange),
                    measured.trials));
  }
  const std::set<int> groups = GroupSizes(std::max(profile_command.ranks, 1));
  if (const std::vector<int> unmeasured = unmeasured_.Sorted(); !unmeasured.empty()) {
    remarks.push_back(fmt::format(
        "attention beside {} was not measured; no slowdown is assumed, and at worst the "
        "time of running one after the other; measure: {}",
        op_,
        profile_command.For(unmeasured, groups, " --suite overlap")));
  }
  if (const std::vector<int> others = other_ranks_.Sorted(); !others.empty()) {
    std::vector<int> counts;
    for (const auto& [ranks, measured] : by_ranks_) counts.push_back(ranks);
    remarks.push_back(
        fmt::format("attention beside {} was priced for a rank count that was not measured "
                    "(measured: {}): {}, as the nearest one with a wider interval; measure: {}",
                    op_,
                    fmt::join(counts, ", "),
                    fmt::join(others, ", "),
                    profile_command.For(others, groups, " --suite overlap")));
  }
}

}  // namespace dbsp::tuner
