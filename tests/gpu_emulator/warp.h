// SPDX-License-Identifier: Apache-2.0
// Collective operations of a warp.
#pragma once

#include <array>
#include <functional>

namespace dbsp::kernels::gpu::isa::emulator {

struct Thread;

/// Waits for the other lanes. The last lane to arrive runs `all` on the operands of all 32 lanes.
/// errors  Error{kInternal} when another lane is in another operation or has another key
void Collective(Thread& self,
                const char* operation,
                int key,
                void* operand,
                const std::function<void(const std::array<void*, 32>&)>& all);

}  // namespace dbsp::kernels::gpu::isa::emulator
