// SPDX-License-Identifier: Apache-2.0
// Which of several measured kernels a (step, layer) runs.
#pragma once

#include <span>
#include <string>

#include "planner/timeline/costs.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::tuner {

/// Makes every attention call of `work` name the kernel under which the layer's timeline is
/// shortest, and its whole the one that is fastest on it, which the lower bound is taken from.
/// Exact: a kernel that is at least as slow on every rank in every step cannot make a shorter
/// timeline, because start times only grow with durations; the others are simulated.
/// kernels  at least one; of equal times the first is taken
/// returns  index into kernels
/// errors   whatever the costs throw
[[nodiscard]] int ChooseKernel(planner::LayerVolumes& work,
                               std::span<const std::string> kernels,
                               const planner::Costs& costs);

}  // namespace dbsp::tuner
