// SPDX-License-Identifier: Apache-2.0
// A rank process other than rank 0 while exchanges are measured: it does what rank 0 orders.
#pragma once

#include <functional>

#include "profiler/ranks/nccl_world.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::profiler {

/// Follows rank 0's orders until it orders the end.
/// errors  Error{kMeasurement} when rank 0 is gone; any error of this rank that breaks the group
void FollowRankZero(runtime::ProcessGroup& group,
                    const NcclWorld& world,
                    int device,
                    const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
