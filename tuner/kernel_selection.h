// SPDX-License-Identifier: Apache-2.0
// Choice among several measured kernels for one (step, layer).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/strategy.h"
#include "planner/timeline/costs.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::tuner {

/// Sets the kernel of all attention calls of `work` to the one with the shortest timeline of the
/// layer. Sets the kernel of work.whole, which the lower bound is computed from, to the fastest one
/// on that call. Kernels that are at least as slow as another one on every rank in every step are
/// skipped, because a timeline does not become shorter when a duration grows; all others are
/// simulated.
/// kernels  at least one; of equal times the first one is chosen
/// returns  index into kernels
/// errors   whatever the costs throw
[[nodiscard]] int ChooseKernel(planner::LayerVolumes& work,
                               std::span<const std::string> kernels,
                               const planner::Costs& costs);

/// True when ranks merge partial results of a row by their log-sum-exp: a ring of two or more.
[[nodiscard]] bool MergesPartialResults(const Strategy& strategy);

/// The same among the kernels that can run the strategy.
/// returns  index into kernels
/// errors   Error{kNotFound} when the strategy merges and every kernel is in without_lse
[[nodiscard]] int ChooseKernelFor(const Strategy& strategy,
                                  planner::LayerVolumes& work,
                                  std::span<const std::string> kernels,
                                  std::span<const std::string> without_lse,
                                  const planner::Costs& costs);

}  // namespace dbsp::tuner
