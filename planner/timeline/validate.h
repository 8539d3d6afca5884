// SPDX-License-Identifier: Apache-2.0
// Checks that a plan can be run and computes the right result: every cell once, every row once,
// every K/V block where and when it is used. Used before a plan is written and before it is
// replayed.
#pragma once

#include <string>

#include "core/error.h"
#include "core/plan.h"

namespace dbsp::planner {

/// Runs CheckPlan() (core/plan_check.h), which requires one cfg degree per plan, and checks in
/// addition:
///   - The cells are every (step, layer) of one range of steps and one range of layers.
///   - All cells have one token layout.
///   - The lists of every strategy, for the ranks of one pass group, are right for any masks. One
///     head of every group stands for the group, because all its heads are treated alike. Lists of
///     exchange needed depend on the masks; they are checked for a full and a nearly empty mask.
/// errors  Error{code} "ORIGIN: key 'K': problem"; Error{kInvalidArgument} for a plan that is too
///         large to check
void ValidatePlan(const Plan& plan, const std::string& origin, ErrorCode code);

}  // namespace dbsp::planner
