// SPDX-License-Identifier: Apache-2.0
// SLA's linear part on the device (kernels/sla.h says what it is): adds O_l P to the exact result
// of the critical blocks. Three kernels: the state (h_j, z_j) of every key block, once; its sums
// over each query block's marginal blocks, as a product with the mask's bits; and phi(Q) H /
// (phi(Q) Z) P + O_s. Nothing here has run on a device yet; tests run the kernels' source on an
// emulator.
#pragma once

#include <cstdint>

#include "kernels/feature_map.h"
#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

struct SlaCall {
  AttentionShape shape;  ///< scale is not used: it belongs to the exact part
  TensorView q;
  TensorView k;
  TensorView v;
  TensorView o;  ///< in: the exact part, as an attention launch on the same stream leaves it
  int q_block = 128;  ///< 64 or 128
  int k_block = 64;  ///< 64 or 128
  FeatureMap features = FeatureMap::kSoftmax;
  /// [batch][heads][q_blocks][ceil(k_blocks / 64)], bit j of word w: key block 64 w + j is
  /// marginal; the rows of a BlockMask. Bits beyond the last key block are 0.
  const std::uint64_t* marginal = nullptr;
  /// bf16 [head_dim of O_l][head_dim of O], contiguous: the transpose of a torch.nn.Linear's weight
  const void* projection = nullptr;
  void* states = nullptr;  ///< scratch of SlaStateBytes
  void* sums = nullptr;  ///< scratch of SlaSumBytes
  void* stream = nullptr;
};

/// bf16 [batch][heads][blocks][head_dim + 1][head_dim]: H, and Z as one more row.
std::int64_t SlaStateBytes(const SlaCall& call);
std::int64_t SlaSumBytes(const SlaCall& call);

/// errors  Error{kInvalidArgument}, one line naming the field, its value and what is expected
void CheckSla(const SlaCall& call);

/// Asynchronous on call.stream; deterministic.
/// errors  what CheckSla throws; Error{kUnavailable} in the runtime's words for a refused launch
void LaunchSla(const SlaCall& call);

}  // namespace dbsp::kernels::gpu
