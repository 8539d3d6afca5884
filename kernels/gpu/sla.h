// SPDX-License-Identifier: Apache-2.0
// The linear part of SLA on the device (definitions in kernels/sla.h): adds O_l P to the exact
// result of the critical blocks. It has three kernels: the state (h_j, z_j) of every key block; the
// sums of states over the marginal blocks of each query block, as a product with the mask bits; and
// O_s + phi(Q) H / (phi(Q) Z) P. These kernels have not run on a device yet; tests run their source
// on an emulator.
#pragma once

#include <cstdint>

#include "kernels/feature_map.h"
#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

struct SlaCall {
  AttentionShape shape;  ///< scale is ignored; the exact part uses it
  TensorView q;
  TensorView k;
  TensorView v;
  TensorView o;  ///< in: the exact part, from an attention launch on the same stream; out: the sum
  int q_block = 128;  ///< 64 or 128
  int k_block = 64;  ///< 64 or 128
  FeatureMap features = FeatureMap::kSoftmax;
  /// [batch][heads][q_blocks][ceil(k_blocks / 64)], the rows of a BlockMask. Bit j of word w is set
  /// when key block 64 w + j is marginal. Bits beyond the last key block are 0.
  const std::uint64_t* marginal = nullptr;
  /// bf16 [head_dim of O_l][head_dim of O], contiguous: the transpose of a torch.nn.Linear's weight
  const void* projection = nullptr;
  void* states = nullptr;  ///< scratch, SlaStateBytes
  void* sums = nullptr;  ///< scratch, SlaSumBytes
  void* stream = nullptr;
};

/// Bytes of bf16 [batch][heads][key or query blocks][head_dim + 1][head_dim]: H, and Z as the last
/// row.
std::int64_t SlaStateBytes(const SlaCall& call);
std::int64_t SlaSumBytes(const SlaCall& call);

/// errors  Error{kInvalidArgument}, one line naming the field, its value and what is expected
void CheckSla(const SlaCall& call);

/// Asynchronous on call.stream; deterministic.
/// errors  those of CheckSla; Error{kUnavailable} with the CUDA runtime's text when the launch
/// fails
void LaunchSla(const SlaCall& call);

}  // namespace dbsp::kernels::gpu
