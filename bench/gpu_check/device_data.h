// SPDX-License-Identifier: Apache-2.0
// Random inputs and fp64 attention, both computed on the device, because the CPU would take too
// long for large shapes. These simple kernels share no code with the kernels that they check.
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"

namespace dbsp::gpu_check {

/// Writes bf16 standard normals to rows of `head_dim` elements and leaves the gaps between rows.
/// Element i of row r depends only on (seed, r, i).
/// errors   Error{kUnavailable} with the CUDA runtime's message when the launch fails
void FillNormal(const kernels::gpu::TensorView& view,
                int batch,
                int heads,
                int tokens,
                int head_dim,
                std::uint64_t seed,
                void* stream);

/// Attention in fp64 of chosen rows of `call`.
/// rows     row numbers (batch * heads + head) * q_tokens + query, device memory
/// q_block, k_block  block sizes of the call's begin and list
/// shape    o [row_count][head_dim], lse [row_count], device memory
/// launch   one thread block of 128 threads per row
/// requires head_dim 64 or 128
/// errors   as FillNormal
void ReferenceOnDevice(const kernels::gpu::AttentionCall& call,
                       int q_block,
                       int k_block,
                       const std::int64_t* rows,
                       std::int64_t row_count,
                       double* o,
                       double* lse,
                       void* stream);

}  // namespace dbsp::gpu_check
