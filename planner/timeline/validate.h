// SPDX-License-Identifier: Apache-2.0
// Whether a plan can be run and computes what it should: every cell once, every row once, every K/V
// block where and when it is used. Used before a plan is written and before one is replayed.
#pragma once

#include <string>

#include "core/error.h"
#include "core/plan.h"

namespace dbsp::planner {

/// CheckPlan() (core/plan_check.h), which wants one cfg degree in a plan, and: the cells are every
/// (step, layer) of one range of steps and one of layers, all of one token layout, and every
/// strategy's lists, of the ranks of one pass group, are right whatever the masks keep (one head of
/// every group stands for the group, whose heads are all treated alike; exchange needed, whose
/// lists follow the masks, is tried on a full and on a nearly empty one).
/// errors  Error{code} "ORIGIN: key 'K': what is wrong"
void ValidatePlan(const Plan& plan, const std::string& origin, ErrorCode code);

}  // namespace dbsp::planner
