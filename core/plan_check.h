// SPDX-License-Identifier: Apache-2.0
// Checks that a plan is consistent. They run when a plan is read and before it is written, so that
// no tool writes a file that the tools refuse.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/plan.h"
#include "core/workload.h"

namespace dbsp {

/// Upper bounds on sizes, far above real use. They limit the memory that a hostile file can demand,
/// for a few bytes of a run-length list can describe a list of any length.
inline constexpr int kMaxPlanRanks = 1 << 16;
inline constexpr int kMaxPlanHeads = 1 << 16;
inline constexpr int kMaxPlanBlocks = 1 << 24;
inline constexpr std::int64_t kMaxPlanOwners = std::int64_t{1} << 27;
/// Elements of Q, heads x head_dim x tokens: bytes of all tensors on all ranks then fit 64 bits.
inline constexpr std::int64_t kMaxPlanElements = std::int64_t{1} << 42;
/// Nanoseconds or bytes of one number, and of all segments of one prediction.
inline constexpr std::int64_t kMaxPlanAmount = std::int64_t{1} << 52;
/// Nanoseconds or bytes of all cells.
inline constexpr std::int64_t kMaxPlanTotal = std::int64_t{1} << 60;
inline constexpr double kMaxPlanRatio = 1e18;

/// Checks only ranks, passes and the attention shape, which determine all other sizes.
/// errors  Error{code} "ORIGIN: key 'K': what is wrong"
void CheckPlanShape(const Plan& plan, const std::string& origin, ErrorCode code);

/// Checks everything that docs/formats/plan.md requires of a plan, the shape included.
/// errors  Error{code} "ORIGIN: key 'K': what is wrong"
void CheckPlan(const Plan& plan, const std::string& origin, ErrorCode code);

/// Checks that passes, shape and cells of a plan are those of `workload`, which `source` names.
/// errors  Error{code} "ORIGIN: key 'K': expected 7919, as in SOURCE, found 7920"
void CheckFitsWorkload(const Plan& plan,
                       const Workload& workload,
                       const std::string& source,
                       const std::string& origin,
                       ErrorCode code);

}  // namespace dbsp
