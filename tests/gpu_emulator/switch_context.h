// SPDX-License-Identifier: Apache-2.0
// Leaving one stack for another. By hand on x86-64, where swapcontext's two system calls per switch
// would be most of an emulated kernel's time; ucontext elsewhere.
#pragma once

#include <cstddef>

namespace dbsp::kernels::gpu::isa::emulator {

/// A context that will call `start` on the stack of `bytes` bytes at `stack`; start never returns.
void* NewContext(std::byte* stack, std::size_t bytes, void (*start)());
void DeleteContext(void* context);

/// Stores where the caller stands in *from and goes on where `to` stands.
void SwitchContext(void** from, void* to);

}  // namespace dbsp::kernels::gpu::isa::emulator
