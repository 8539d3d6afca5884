// SPDX-License-Identifier: Apache-2.0
// Checks that the predictions of a plan are of the masks that a replay runs.
#pragma once

#include <span>
#include <string>

#include "core/plan.h"
#include "planner/workload/mask_source.h"
#include "replay/options.h"

namespace dbsp::replay {

/// For every selected cell: bytes, rounds, steps and active blocks of its prediction must be those
/// that its strategy has on its masks. It runs nothing.
/// With other masks than those of the plan, which --force allows, only the bytes per rank, the
/// rounds and the steps must fit: a replay relies on them.
/// requires a plan that planner::ValidatePlan accepts
/// errors   Error{kCorruptInput} "ORIGIN: key 'predictions[3].bytes_per_rank': ..."; those of the
///          masks and of planner::BuildLayerVolumes
void CheckPredictions(const Plan& plan,
                      planner::MaskSource& masks,
                      std::span<const SelectedCell> cells,
                      bool own_masks,
                      const std::string& origin);

}  // namespace dbsp::replay
