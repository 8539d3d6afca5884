// SPDX-License-Identifier: Apache-2.0
// Launches of merges, copies, permutations and timing kernels, and device queries, in a build
// without CUDA. They throw Error{kUnavailable}.
#include "kernels/gpu/memory.h"

#include "kernels/gpu/device_query.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/timing_kernels.h"

namespace dbsp::kernels::gpu {

void LaunchMerge(const MergeCall&) { LaunchUnavailable({}); }
void LaunchCopy(const CopyCall&) { LaunchUnavailable({}); }
void LaunchPermute(const PermuteCall&) { LaunchUnavailable({}); }
void LaunchHold(const std::int32_t*, std::int32_t*, std::int64_t, void*) { LaunchUnavailable({}); }
void LaunchClockStamp(ClockStamp*, int, void*) { LaunchUnavailable({}); }
int DeviceArch(const char*) { LaunchUnavailable({}); }
int DeviceSms(const char*) { LaunchUnavailable({}); }

}  // namespace dbsp::kernels::gpu
