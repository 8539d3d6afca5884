// SPDX-License-Identifier: Apache-2.0
// The gather kernels as rows of the variant table. Lists may be ascending, or in the order of
// ArrangeRuns (kernels/key_lists.h). The kernels for 64 queries run two thread blocks on each of
// the AttentionCall::sm_count SMs.
#pragma once

#include <span>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/gather/tiles.h"

namespace dbsp::kernels::gpu::gather {

std::span<const Variant> Variants();

/// Checks the call, then enqueues kernel `Kernel` of tiles.h. Instantiated in gather_sm90.cu.
template <class Kernel>
void Launch(const AttentionCall& call);
/// Variant::blocks_that_fit of kernel `Kernel`.
template <class Kernel>
int BlocksThatFit();

}  // namespace dbsp::kernels::gpu::gather
