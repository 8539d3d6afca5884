// SPDX-License-Identifier: Apache-2.0
// Whether a plan can be run and computes what it should: every cell once, every row once, every K/V
// block where and when it is used. Used before a plan is written and before one is replayed.
#pragma once

#include <string>

#include "core/block_mask.h"
#include "core/error.h"
#include "core/partition.h"
#include "core/plan.h"
#include "core/shape.h"
#include "planner/schedule.h"

namespace dbsp::planner {

/// What the lists do wrong, or "" when following them gives exact attention: every Q, K and V block
/// starts at home and is only sent by a rank that has it; Q and O have one place at a time, K and V
/// go to the ranks that use them and no others; every (head, row) is computed on exactly one rank;
/// every kept block exactly once, at a ring step where its K/V are at hand; every O block comes
/// back home. Independent of how the lists were made. requires masks and home fit the shape
[[nodiscard]] std::string ScheduleProblem(const AttentionShape& shape,
                                          const LayerMasks& masks,
                                          const HomeLayout& home,
                                          const Schedule& schedule);

/// CheckPlan() (core/plan_check.h), and: the cells are every (step, layer) of one range of steps
/// and one of layers, all of one token layout, and every strategy's lists are right whatever the
/// masks keep (one head of every group stands for the group, whose heads are all treated alike;
/// exchange needed, whose lists follow the masks, is tried on a full and on a nearly empty one).
/// errors  Error{code} "ORIGIN: key 'K': what is wrong"
void ValidatePlan(const Plan& plan, const std::string& origin, ErrorCode code);

}  // namespace dbsp::planner
