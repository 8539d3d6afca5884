// SPDX-License-Identifier: Apache-2.0
#include "tuner/attention_fit.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/error.h"
#include "core/statistics.h"

namespace dbsp::tuner {
namespace {

using planner::Estimate;

/// Three coefficients need three points, and one more is needed to check the fit on a held-out
/// point.
constexpr std::size_t kMinTrials = 4;
/// Smallest half width of a prediction: clock changes and other load on a machine change medians by
/// as much.
constexpr double kMinHalf = 0.02;

struct AttentionPoints {
  std::vector<FitRow> x;
  std::vector<double> y;
  std::vector<double> spread;
};

using KernelBlock = std::pair<std::string, std::pair<int, int>>;

bool IsAttention(const UsableTrial& trial, int head_dim, DType dtype) {
  const auto* config = std::get_if<AttentionConfig>(&trial.trial->config);
  return config != nullptr && config->head_dim == head_dim && config->dtype == dtype &&
         config->active_blocks > 0;
}

std::map<KernelBlock, AttentionPoints> CollectAttention(const TrialSelection& selection,
                                                        int head_dim,
                                                        DType dtype) {
  std::map<KernelBlock, AttentionPoints> points;
  for (const UsableTrial& trial : selection.trials) {
    if (!IsAttention(trial, head_dim, dtype)) continue;
    const auto& config = std::get<AttentionConfig>(trial.trial->config);
    AttentionPoints& to = points[{config.kernel, {config.block.q, config.block.k}}];
    to.x.push_back({static_cast<double>(config.heads),
                    static_cast<double>(config.active_rows),
                    static_cast<double>(config.active_blocks)});
    to.y.push_back(trial.ns);
    to.spread.push_back(trial.spread);
  }
  return points;
}

AttentionFit FitAttention(const std::string& kernel, BlockSize block, const AttentionPoints& p) {
  AttentionFit fit;
  fit.kernel = kernel;
  fit.block = block;
  fit.theta = NonNegativeFit(p.x, p.y);
  fit.trials = p.x.size();
  const std::vector<double> errors = HeldOutErrors(p.x, p.y);
  fit.median_error = Quantile(errors, 0.5);
  fit.error_bound = std::max({kMinHalf, ErrorBound(errors, 0.9), Quantile(p.spread, 0.5)});
  fit.min_blocks_per_row = std::numeric_limits<double>::infinity();
  for (const FitRow& row : p.x) {
    const double per_row = row[2] / std::max(row[1], 1.0);
    fit.min_blocks_per_row = std::min(fit.min_blocks_per_row, per_row);
    fit.max_blocks_per_row = std::max(fit.max_blocks_per_row, per_row);
    fit.max_active_blocks = std::max(fit.max_active_blocks, row[2]);
  }
  return fit;
}

const KernelVariant* FindKernel(const FitRequest& request, const std::string& name) {
  const auto found = std::find_if(request.kernels.begin(),
                                  request.kernels.end(),
                                  [&](const KernelVariant& k) { return k.name == name; });
  return found == request.kernels.end() ? nullptr : &*found;
}

/// Text "; measured are ..." with the kernels, blocks and head dimensions of all attention trials;
/// "" without attention trials.
std::string MeasuredAttention(const TrialSelection& selection) {
  constexpr std::size_t kMaxNamed = 6;
  std::map<std::string, int> trials;  // by kernel, blocks and head_dim
  for (const UsableTrial& trial : selection.trials) {
    if (const auto* c = std::get_if<AttentionConfig>(&trial.trial->config)) {
      ++trials[fmt::format("{} on {}x{} of {}", c->kernel, c->block.q, c->block.k, c->head_dim)];
    }
  }
  std::vector<std::string> named;
  for (const auto& [what, count] : trials) {
    if (named.size() == kMaxNamed) break;
    named.push_back(fmt::format("{} ({} trials)", what, count));
  }
  if (named.empty()) return "";
  const std::size_t more = trials.size() - named.size();
  return fmt::format("; measured are {}{}",
                     fmt::join(named, ", "),
                     more > 0 ? fmt::format(" and {} more", more) : "");
}

/// Distance of two block sizes: the sum over both sides of the difference in log2 of the tokens.
double BlockDistance(BlockSize a, BlockSize b) {
  return std::abs(std::log2(static_cast<double>(a.q) / b.q)) +
         std::abs(std::log2(static_cast<double>(a.k) / b.k));
}

}  // namespace

std::map<std::string, AttentionFit> FitKernels(const TrialSelection& selection,
                                               const FitRequest& request,
                                               DType dtype,
                                               std::vector<std::string>& remarks) {
  std::map<std::string, AttentionFit> exact;
  std::map<std::string, AttentionFit> scaled;
  std::size_t most = 0;
  for (const auto& [key, points] : CollectAttention(selection, request.head_dim, dtype)) {
    const BlockSize block{key.second.first, key.second.second};
    if (block == request.block) most = std::max(most, points.x.size());
    if (points.x.size() < kMinTrials) continue;
    const KernelVariant* facts = FindKernel(request, key.first);
    if (facts != nullptr && !Fits(*facts, request.head_dim, block)) {
      remarks.push_back(fmt::format(
          "trials of {} on {}x{} blocks were left out: the kernel does not support them",
          key.first,
          block.q,
          block.k));
      continue;
    }
    // A kernel for lists of single keys says nothing about blocks of several keys.
    if (facts != nullptr && facts->list == "keys" && request.block.k != 1) continue;
    AttentionFit fit = FitAttention(key.first, block, points);
    if (block == request.block) {
      exact.emplace(key.first, std::move(fit));
      continue;
    }
    fit.scale_rows = static_cast<double>(request.block.q) / block.q;
    fit.scale_blocks = fit.scale_rows * request.block.k / block.k;
    const auto held = scaled.find(key.first);
    if (held == scaled.end() ||
        BlockDistance(block, request.block) < BlockDistance(held->second.block, request.block)) {
      scaled.insert_or_assign(key.first, std::move(fit));
    }
  }
  if (!exact.empty()) return exact;
  if (request.allow_scaled && !scaled.empty()) {
    for (auto& [kernel, fit] : scaled) {
      fit.error_bound += kScaledHalf;
      remarks.push_back(fmt::format(
          "attention of {}x{} blocks was not measured: {} is scaled from {}x{}, with an "
          "interval wider by {:.0f}%",
          request.block.q,
          request.block.k,
          kernel,
          fit.block.q,
          fit.block.k,
          100 * kScaledHalf));
    }
    return scaled;
  }
  Fail(ErrorCode::kNotFound,
       "{}: {} of {}x{} blocks and head_dim {} ({}), at least {} needed{}; measure: {}{}",
       request.database,
       most == 0 ? "no attention trial" : fmt::format("only {} attention trials", most),
       request.block.q,
       request.block.k,
       request.head_dim,
       NameOf(dtype),
       kMinTrials,
       MeasuredAttention(selection),
       request.profile_command,
       scaled.empty() ? "" : "; --force scales from another block size");
}

bool AttentionFit::Covers(double active_rows, double active_blocks) const {
  const double per_row = active_blocks / std::max(active_rows, 1.0);
  return per_row >= min_blocks_per_row * 0.999 && per_row <= max_blocks_per_row * 1.001 &&
         active_blocks <= max_active_blocks * 4;
}

Estimate AttentionFit::At(double heads, double active_rows, double active_blocks) const {
  if (!(active_blocks > 0)) return {};
  const double ns = theta[0] * heads + theta[1] * active_rows * scale_rows +
                    theta[2] * active_blocks * scale_blocks;
  return WithInterval(ns, Covers(active_rows, active_blocks) ? error_bound : 2 * error_bound);
}

}  // namespace dbsp::tuner
