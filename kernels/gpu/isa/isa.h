// SPDX-License-Identifier: Apache-2.0
// Functions for the instructions that the GPU kernels use. With nvcc the functions are inline PTX
// (isa/device.cuh). In tests the host compiler uses an emulator instead (tests/gpu_emulator). It
// runs the source of a kernel thread by thread, so that lists, barriers, descriptors, fragments and
// tails are tested on a machine without a GPU.
//
// A kernel body is a template or inline function marked DBSP_KERNEL_CODE in a header that both
// compilers include. A .cu file has its __global__ entry and launcher; a test calls
// isa::RunGrid(grid, threads, shared_bytes, options, body) (tests/gpu_emulator/emulator.h).
#pragma once

#include "kernels/gpu/isa/types.h"

#if defined(__CUDACC__)
#include "kernels/gpu/isa/device.cuh"
#elif defined(DBSP_GPU_EMULATOR_HEADER)
#include DBSP_GPU_EMULATOR_HEADER
#else
#error "Kernel code is compiled by nvcc, or in tests against the emulator (tests/gpu_emulator)."
#endif
