// SPDX-License-Identifier: Apache-2.0
// The instructions the GPU kernels are written in, one function each. Compiled by nvcc the
// functions are inline PTX (isa/device.cuh); compiled by the host compiler they are an emulator
// (isa/emulator.h) that runs a kernel's own source, thread by thread, so that lists, barriers,
// descriptors, fragments and tails are tested on a machine without a GPU.
//
// A kernel body is a template or inline function marked DBSP_KERNEL_CODE in a header that both
// compilers see; a .cu file holds its __global__ entry and launcher, a test calls
// isa::RunGrid(grid, threads, shared_bytes, options, body) (isa/emulator.h).
#pragma once

#include "kernels/gpu/isa/types.h"

#if defined(__CUDACC__)
#include "kernels/gpu/isa/device.cuh"
#else
#include "kernels/gpu/isa/emulator.h"
#endif
