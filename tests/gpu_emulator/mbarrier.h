// SPDX-License-Identifier: Apache-2.0
// Arrivals at an mbarrier, by threads and by asynchronous copies.
#pragma once

#include <cstdint>

namespace dbsp::kernels::gpu::isa::emulator {

struct Block;
struct Thread;

/// Adds `arrivals` arrivals and `bytes` transaction bytes to the mbarrier at `offset` of shared
/// memory, and completes the phase when nothing is pending. Bytes are negative when data landed.
/// self    the arriving thread; null when data landed
/// errors  Error{kInternal} for too many arrivals, or for bytes that do not match the loads
void Arrive(Block& block, int offset, int arrivals, std::int64_t bytes, const Thread* self);

}  // namespace dbsp::kernels::gpu::isa::emulator
