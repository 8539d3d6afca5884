// SPDX-License-Identifier: Apache-2.0
// What makes a plan legal, beyond the types of its fields. Used when a plan is read and before it
// is written, so that no tool can leave a file that no tool accepts.
#pragma once

#include <string>

#include "core/error.h"
#include "core/plan.h"

namespace dbsp {

/// Largest sizes a plan may have. A run-length list of a few bytes could ask for any amount of
/// memory; these bounds are far above real use and keep a hostile file small in memory.
inline constexpr int kMaxPlanRanks = 1 << 16;
inline constexpr int kMaxPlanHeads = 1 << 16;
inline constexpr int kMaxPlanBlocks = 1 << 24;
inline constexpr std::int64_t kMaxPlanOwners = std::int64_t{1} << 27;

/// Checks ranks, passes and the attention shape alone: what the sizes of all else follow from.
/// errors  Error{code} "ORIGIN: key 'K': what is wrong"
void CheckPlanShape(const Plan& plan, const std::string& origin, ErrorCode code);

/// Checks everything docs/formats/plan.md asks of a plan, the shape included.
/// errors  Error{code} "ORIGIN: key 'K': what is wrong"
void CheckPlan(const Plan& plan, const std::string& origin, ErrorCode code);

}  // namespace dbsp
