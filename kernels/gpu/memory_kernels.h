// SPDX-License-Identifier: Apache-2.0
// Merge and block copy on a CUDA device: the semantics of MergePartial and CopyBlocks in
// kernels/attention.h. Compiled wherever nvcc is; no tool calls them yet and nothing here has been
// run on a device: only the index arithmetic (kernels/gpu/index.h) and the merge weights
// (kernels/merge_weights.h) are tested, on the CPU.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace dbsp::kernels::gpu {

/// Adds a partial result into an accumulator, as MergePartial does.
/// launch   256 threads a block, a warp per row, grid-stride over rows
/// shape    o, part_o [rows][head_dim], lse, part_lse [rows]; device pointers, no alignment beyond
///          float
/// order    asynchronous on `stream` (a cudaStream_t; null is the default stream)
/// errors   Error{kUnavailable} with the runtime's words when the launch is refused
/// deterministic  each output is written by one thread in one order
void LaunchMergePartial(std::int64_t rows,
                        int head_dim,
                        float* o,
                        float* lse,
                        const float* part_o,
                        const float* part_lse,
                        void* stream);

/// Copies `item_count` items as CopyBlocks does; from, to and items are device pointers.
/// launch   one block of 256 threads per item, the items' floats spread over its threads
/// order, errors  as above
void LaunchCopyBlocks(const float* from,
                      std::int64_t from_stride,
                      float* to,
                      std::int64_t to_stride,
                      int head_dim,
                      const CopyItem* items,
                      std::int64_t item_count,
                      void* stream);

}  // namespace dbsp::kernels::gpu
