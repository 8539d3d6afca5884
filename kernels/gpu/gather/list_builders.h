// SPDX-License-Identifier: Apache-2.0
// Key lists made on the device: from bitmasks to lists, and from FG-Attn's two predictors to
// bitmasks. kernels/key_lists.h has the CPU functions. All launches are asynchronous on `stream`.
// Pointers are device addresses, and rows are tiles as in attention.h.
//
// A row of bits is KeyWords(k_tokens) 32-bit words, the memory layout of a BlockMask row.
//
// errors  of every function: Error{kInvalidArgument} for negative sizes or missing memory;
//         Error{kUnavailable} with the CUDA runtime's text when the launch fails
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// 32-bit words of a row of bits.
constexpr int KeyWords(int k_tokens) { return (k_tokens + 63) / 64 * 2; }

struct KeyListCall {
  const std::uint32_t* words = nullptr;  ///< [tiles][KeyWords(k_tokens)]
  int tiles = 0;
  int k_tokens = 0;
  std::int32_t* begin = nullptr;  ///< [tiles + 1]
  std::int32_t* list = nullptr;  ///< [capacity]
  std::int32_t capacity = 0;
  void* stream = nullptr;
};
/// Writes row offsets to `begin` and the ascending keys of each row to `list`. begin[tiles] is the
/// length that the list needs. When it exceeds `capacity`, the list is cut off and must not be
/// used. The value 2^31 - 1 means that many keys or more; then launch fewer heads per call.
void LaunchKeyLists(const KeyListCall& call);

/// Writes the lists of `from` to `to` in the order of ArrangeRuns (kernels/key_lists.h): full
/// pieces of 64 consecutive keys first. `from` and `to` must not overlap.
void LaunchArrangeRuns(
    const std::int32_t* begin, const std::int32_t* from, std::int32_t* to, int tiles, void* stream);

struct KeyBitsCall {
  AttentionShape shape;
  TensorView q;
  TensorView k;
  int q_block = 128;
  std::uint32_t* words = nullptr;  ///< [tiles][KeyWords(k_tokens)]
  void* stream = nullptr;
};
/// Sets the bits of keys whose probability exceeds `threshold` for any query of the block
/// (KeysAboveThreshold).
/// lse  [batch][heads][q_tokens] of dense attention over the same q and k (AttentionCall::lse)
/// requires q_block 64 or 128, threshold in (0, 1)
void LaunchThresholdBits(const KeyBitsCall& call, const float* lse, float threshold);

/// Sets the bits of the most probable keys of the block's mean query up to `tau` (KeysOfTopCdf).
/// pooled  [tiles][head_dim] bf16, scratch for the means
/// scores  [tiles][32 * KeyWords(k_tokens)] floats, scratch: 0.44 GB per head of 924 blocks and
///         118,272 keys, so a call takes a few heads
/// requires q_block >= 1, tau in (0, 1]
void LaunchTopCdfBits(const KeyBitsCall& call, float tau, void* pooled, float* scores);

}  // namespace dbsp::kernels::gpu
