// SPDX-License-Identifier: Apache-2.0
// Arithmetic and index rules that the CPU and the GPU sources of merge and copy share.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define DBSP_HOST_DEVICE __host__ __device__
#else
#define DBSP_HOST_DEVICE
#endif

namespace dbsp::kernels {

/// How two partial results of one row combine: o = o * kept + part_o * added.
struct MergeWeights {
  float kept = 0.0F;
  float added = 0.0F;
  float lse = 0.0F;
};

/// L = ln(e^a + e^b), weights e^(a - L) and e^(b - L), without overflow. Both -infinity (no key on
/// either side): weights 0, so that o becomes 0, and L = -infinity.
/// source  the definition in kernels/attention.h, MergePartial
DBSP_HOST_DEVICE inline MergeWeights WeightsOf(float a, float b) {
  const float max = a > b ? a : b;
  if (max == -INFINITY) return {0.0F, 0.0F, max};
  const float ea = std::exp(a - max);  // e^-inf is 0: a side without keys has no weight
  const float eb = std::exp(b - max);
  const float sum = ea + eb;
  return {ea / sum, eb / sum, max + std::log(sum)};
}

}  // namespace dbsp::kernels
