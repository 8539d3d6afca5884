// SPDX-License-Identifier: Apache-2.0
// Launches of the list builders and of SLA in a build without CUDA. They throw Error{kUnavailable}.
#include "kernels/gpu/gather/list_args.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/sla.h"

namespace dbsp::kernels::gpu {

void LaunchSla(const SlaCall&) { LaunchUnavailable({}); }

namespace gather {
void EnqueueKeyLists(const BitListArgs&, void*) { LaunchUnavailable({}); }
void EnqueueArrangeRuns(const ArrangeArgs&, void*) { LaunchUnavailable({}); }
void EnqueueThresholdBits(const ThresholdArgs&, int, void*) { LaunchUnavailable({}); }
void EnqueueTopCdfBits(const TopCdfArgs&, int, void*) { LaunchUnavailable({}); }
}  // namespace gather

}  // namespace dbsp::kernels::gpu
