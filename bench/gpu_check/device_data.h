// SPDX-License-Identifier: Apache-2.0
// Random inputs made on the device, and fp64 attention on the device for shapes that would take the
// CPU too long. Plain kernels, shared with nothing that they check.
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"

namespace dbsp::gpu_check {

/// Writes bf16 standard normals to rows of `head_dim` elements; what lies between rows is left.
/// Element i of row r depends on (seed, r, i) alone.
/// errors  Error{kUnavailable} in the runtime's words for a refused launch
void FillNormal(const kernels::gpu::TensorView& view,
                int batch,
                int heads,
                int tokens,
                int head_dim,
                std::uint64_t seed,
                void* stream);

/// A row of results to compute: (batch * heads + head) * q_tokens + query.
/// q_block, k_block  what the call's begin and list mean
/// o    [rows][head_dim], lse [rows], device memory
/// requires  head_dim 64 or 128, 128 threads a block, a block per row
/// errors  as FillNormal
void ReferenceOnDevice(const kernels::gpu::AttentionCall& call,
                       int q_block,
                       int k_block,
                       const std::int64_t* rows,
                       std::int64_t row_count,
                       double* o,
                       double* lse,
                       void* stream);

}  // namespace dbsp::gpu_check
