// SPDX-License-Identifier: Apache-2.0
#include "tuner/cost_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/error.h"
#include "core/group_sizes.h"
#include "core/plugin_facts.h"
#include "core/suggest.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {
namespace {

using planner::Estimate;

/// Half width that is added to the interval for a rank count that was not measured.
constexpr double kBetweenRanksHalf = 0.5;

/// Curve of a local operation, from the trials of `head_dim` or else from those of the first other
/// head_dim. found_head_dim receives the head_dim of the trials.
Curve LocalCurve(const TrialSelection& selection,
                 const std::string& op,
                 int head_dim,
                 int& found_head_dim) {
  std::vector<CurvePoint> same;
  std::vector<CurvePoint> any;
  found_head_dim = head_dim;
  int other_head_dim = head_dim;
  for (const UsableTrial& trial : selection.trials) {
    const auto* config = std::get_if<LocalConfig>(&trial.trial->config);
    if (config == nullptr || config->op != op) continue;
    if (config->head_dim == head_dim) {
      AddPoint(same, config->amount, trial);
    } else {
      if (any.empty()) other_head_dim = config->head_dim;
      if (config->head_dim == other_head_dim) AddPoint(any, config->amount, trial);
    }
  }
  if (!same.empty()) return Curve(std::move(same));
  found_head_dim = other_head_dim;
  return Curve(std::move(any));
}

/// Kernels of plugins that write no log-sum-exp. One whose facts the database lacks counts as such.
std::vector<std::string> WithoutLse(std::span<const db::StoredEnvironment> environments,
                                    const std::vector<std::string>& kernels) {
  std::vector<std::string> without;
  for (const std::string& kernel : kernels) {
    if (PluginNameOf(kernel).empty()) continue;
    bool lse = false;
    for (const db::StoredEnvironment& stored : environments) {
      const auto& extra = stored.provenance.extra;
      const auto facts = extra.find(PluginFactName(kernel));
      if (facts != extra.end()) lse = PluginFactsFrom(facts->second).lse;
    }
    if (!lse) without.push_back(kernel);
  }
  return without;
}

/// Keeps the kernels of the requested plugins.
/// errors  Error{kNotFound} when none is left
void KeepPlugins(const FitRequest& request, std::map<std::string, AttentionFit>& fits) {
  if (request.plugin_hashes.empty()) return;
  std::vector<std::string> all;
  for (const auto& [name, fit] : fits) all.push_back(name);
  std::erase_if(fits, [&](const auto& entry) {
    const std::string_view hash = PluginHashOf(entry.first);
    return std::ranges::find(request.plugin_hashes, hash) == request.plugin_hashes.end();
  });
  if (!fits.empty()) return;
  Fail(ErrorCode::kNotFound,
       "--kernels {}: no kernel of this file was measured on these blocks (measured are {}); "
       "measure: "
       "{} --kernels {}",
       request.plugin_files,
       fmt::join(all, ", "),
       request.profile_command,
       request.plugin_files);
}

}  // namespace

FittedCosts::FittedCosts(std::span<const db::StoredTrial> trials,
                         std::span<const db::StoredEnvironment> environments,
                         const FitRequest& request)
    : allow_scaled_(request.allow_scaled),
      profile_command_{request.profile_command, request.profile_without_ranks, request.ranks} {
  const TrialSelection selection =
      SelectTrials(trials, environments, request.device, request.database, request.profile_command);
  device_ = selection.device;
  dtype_ = device_.device_kind == "cpu" ? DType::kF32 : DType::kBf16;
  remarks_ = selection.remarks;
  fits_ = FitKernels(selection, request, dtype_, remarks_);
  KeepPlugins(request, fits_);
  if (!request.kernel) {
    double best = std::numeric_limits<double>::infinity();
    for (const auto& [name, fit] : fits_) {
      const planner::AttentionWork& work = request.typical;
      const double ns = fit.At(work.heads,
                               static_cast<double>(work.active_rows),
                               static_cast<double>(work.active_blocks))
                            .ns;
      if (ns < best) {
        best = ns;
        kernel_ = name;
      }
    }
  } else {
    kernel_ = *request.kernel;
    (void)attention_fit(kernel_);
  }
  kernels_ = {kernel_};
  for (const auto& [name, fit] : fits_) {
    if (!request.kernel && fit.block == request.block && name != kernel_) {
      kernels_.push_back(name);
    }
  }
  kernels_without_lse_ = WithoutLse(environments, kernels_);
  if (!kernels_without_lse_.empty()) {
    remarks_.push_back(
        fmt::format("{}: no log-sum-exp, so that rings, which merge partial results, do not run {}",
                    fmt::join(kernels_without_lse_, ", "),
                    kernels_without_lse_.size() == 1 ? "this kernel" : "these kernels"));
  }
  for (const std::string& name : kernels_) {
    const AttentionFit& fit = attention_fit(name);
    remarks_.push_back(fmt::format(
        "attention {} {}x{} d{}: {:.0f} ns per head + {:.1f} per row + {:.1f} per block; {} "
        "trials, held-out error {:.1f}% (median), {:.1f}% (bound of 90%)",
        name,
        fit.block.q,
        fit.block.k,
        request.head_dim,
        fit.theta[0],
        fit.theta[1],
        fit.theta[2],
        fit.trials,
        100 * fit.median_error,
        100 * fit.error_bound));
  }
  gather_fits_ = FitGathers(selection, request.head_dim, dtype_, remarks_);
  int copy_head_dim = 0;
  copy_ = LocalCurve(selection, "pack", request.head_dim, copy_head_dim);
  merge_ = LocalCurve(selection, "merge", request.head_dim, merge_head_dim_);
  if (copy_.empty()) {
    Fail(ErrorCode::kNotFound,
         "{}: no trial of pack; measure: {}",
         request.database,
         request.profile_command);
  }
  FillRankCurves(selection, "alltoall", request.ranks_per_node, all_to_all_, remarks_);
  FillRankCurves(selection, "hop", request.ranks_per_node, hop_, remarks_);
  beside_all_to_all_.emplace(selection, planner::Traffic::kAllToAll);
  beside_hop_.emplace(selection, planner::Traffic::kHop);
  remarks_.push_back(Describe(all_to_all_));
  remarks_.push_back(Describe(hop_));
}

const AttentionFit& FittedCosts::attention_fit(const std::string& kernel) const {
  const auto found = fits_.find(kernel.empty() ? kernel_ : kernel);
  if (found != fits_.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, fit] : fits_) known.push_back(name);
  throw Error(ErrorCode::kInvalidArgument, UnknownName("measured kernel", kernel, known));
}

Estimate FittedCosts::Attention(const planner::AttentionWork& work) const {
  const AttentionFit& fit = attention_fit(work.kernel);
  const auto rows = static_cast<double>(work.active_rows);
  const auto blocks = static_cast<double>(work.active_blocks);
  if (work.active_blocks > 0 && !fit.Covers(rows, blocks)) attention_outside_ = true;
  return fit.At(work.heads, rows, blocks);
}

Estimate FittedCosts::Copy(std::int64_t bytes) const {
  if (bytes <= 0) return {};
  const auto size = static_cast<double>(bytes);
  if (!copy_.Covers(size)) copy_outside_ = true;
  return copy_.At(size);
}

Estimate FittedCosts::Merge(std::int64_t rows, int head_dim) const {
  if (rows <= 0) return {};
  if (merge_.empty()) {
    Fail(ErrorCode::kNotFound, "no trial of merge; measure: {}", profile_command_.text);
  }
  const auto size = static_cast<double>(rows);
  if (!merge_.Covers(size)) merge_outside_ = true;
  Estimate estimate = merge_.At(size);
  // Merging is memory-bound, so its time is proportional to the bytes of a row.
  if (head_dim != merge_head_dim_) {
    const double ratio = static_cast<double>(head_dim) / merge_head_dim_;
    estimate = {estimate.ns * ratio,
                estimate.low_ns * ratio * (1 - kScaledHalf),
                estimate.high_ns * ratio * (1 + kScaledHalf)};
  }
  return estimate;
}

Estimate FittedCosts::Exchange(const RankCurves& curves,
                               std::span<const int> members,
                               double bytes) const {
  if (!(bytes > 0)) return {};
  const auto ranks = static_cast<int>(members.size());
  const int hosts = curves.Hosts(members);
  const auto at = [&](const Curve& curve) {
    if (!curve.Covers(bytes)) curves.outside = true;
    return curve.At(bytes);
  };
  // Rank counts are interpolated only among measurements on the same number of hosts.
  static const std::map<int, Curve> kNone;
  const auto found = curves.by_hosts.find(hosts);
  const std::map<int, Curve>& by_ranks = found == curves.by_hosts.end() ? kNone : found->second;
  const auto above = by_ranks.lower_bound(ranks);
  if (above != by_ranks.end() && above->first == ranks) return at(above->second);
  const bool bracketed = above != by_ranks.end() && above != by_ranks.begin();
  if (!bracketed && !(allow_scaled_ && !by_ranks.empty())) {
    Fail(ErrorCode::kNotFound,
         "no {} between {} ranks{} was measured (rank counts measured: {}); measure: {}",
         curves.op,
         ranks,
         hosts > 1 ? fmt::format(" on {} hosts", hosts) : "",
         Measured(curves),
         profile_command_.For({ranks}, MeasuredSizes(std::max(profile_command_.ranks, 1)), ""));
  }
  curves.between.Add(ranks);
  double ns = 0;
  double half = kBetweenRanksHalf;
  if (bracketed) {
    const auto below = std::prev(above);
    const Estimate low = at(below->second);
    const Estimate high = at(above->second);
    const double u = (std::log(ranks) - std::log(below->first)) /
                     (std::log(above->first) - std::log(below->first));
    ns = std::exp((1 - u) * std::log(low.ns) + u * std::log(high.ns));
    half += std::max(low.high_ns / low.ns, high.high_ns / high.ns) - 1;
  } else {
    const Estimate nearest = at(above == by_ranks.end() ? std::prev(above)->second : above->second);
    ns = nearest.ns;
    half += kBetweenRanksHalf + nearest.high_ns / nearest.ns - 1;
  }
  return WithInterval(ns, half);
}

Estimate FittedCosts::AllToAll(std::span<const int> ranks, std::int64_t max_rank_bytes) const {
  return Exchange(all_to_all_, ranks, static_cast<double>(max_rank_bytes));
}

Estimate FittedCosts::Hop(std::span<const int> ring, std::int64_t bytes) const {
  return Exchange(hop_, ring, static_cast<double>(bytes));
}

planner::OverlapSlowdownEstimate FittedCosts::Slowdown(planner::Traffic traffic, int ranks) const {
  return (traffic == planner::Traffic::kHop ? beside_hop_ : beside_all_to_all_)->At(ranks);
}

double FittedCosts::BandwidthBoundNs(std::int64_t bytes) const {
  double best = 0;
  for (const RankCurves* curves : {&all_to_all_, &hop_}) {
    for (const auto& [hosts, by_ranks] : curves->by_hosts) {
      for (const auto& [ranks, curve] : by_ranks) best = std::max(best, curve.best_rate());
    }
  }
  return best > 0 && bytes > 0 ? static_cast<double>(bytes) / best : 0;
}

std::vector<std::string> FittedCosts::Remarks() const {
  std::vector<std::string> remarks = remarks_;
  for (const RankCurves* curves : {&all_to_all_, &hop_}) {
    if (curves->outside) {
      remarks.push_back(
          fmt::format("{}: sizes outside the measured range were priced, with the slope at the end "
                      "of the range and a wider interval",
                      curves->op));
    }
    const std::vector<int> between = curves->between.Sorted();
    if (!between.empty()) {
      remarks.push_back(fmt::format(
          "{}: a rank count that was not measured was priced (measured: {}): {}, with an interval "
          "wider by {:.0f}% or more; measure: {}",
          curves->op,
          Measured(*curves),
          fmt::join(between, ", "),
          100 * kBetweenRanksHalf,
          profile_command_.For(between, MeasuredSizes(std::max(profile_command_.ranks, 1)), "")));
    }
  }
  beside_all_to_all_->AddRemarks(profile_command_, remarks);
  beside_hop_->AddRemarks(profile_command_, remarks);
  if (attention_outside_) {
    remarks.push_back(
        fmt::format("attention: calls with other numbers of blocks per row than measured, or more "
                    "than four times as large, were priced, with an interval twice as wide; "
                    "measure: {}",
                    profile_command_.text));
  }
  if (copy_outside_) remarks.emplace_back("pack: sizes outside the measured range were priced");
  if (merge_outside_) remarks.emplace_back("merge: sizes outside the measured range were priced");
  return remarks;
}

std::vector<CostFit> FittedCosts::Fits() const {
  std::vector<CostFit> fits;
  for (const std::string& name : kernels_) {
    const AttentionFit& fit = attention_fit(name);
    fits.push_back({"attention",
                    name,
                    static_cast<std::int64_t>(fit.trials),
                    fit.error_bound,
                    fit.median_error});
  }
  const auto add = [&](const char* operation, const std::string& name, const Curve& curve) {
    if (curve.empty()) return;
    const auto points = static_cast<std::int64_t>(curve.points().size());
    fits.push_back({operation, name, points, curve.held_out_error(), std::nullopt});
  };
  add("pack", "", copy_);
  add("merge", "", merge_);
  for (const RankCurves* curves : {&all_to_all_, &hop_}) {
    for (const auto& [hosts, by_ranks] : curves->by_hosts) {
      for (const auto& [ranks, curve] : by_ranks) {
        const std::string on = hosts > 1 ? fmt::format(" on {} hosts", hosts) : "";
        add(curves->op.c_str(), fmt::format("{} ranks{}", ranks, on), curve);
      }
    }
  }
  return fits;
}

}  // namespace dbsp::tuner
