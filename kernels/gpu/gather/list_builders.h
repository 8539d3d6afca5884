// SPDX-License-Identifier: Apache-2.0
// Key lists made on the device: bitmasks to lists, and FG-Attn's two predictors to bitmasks. The
// CPU's forms are in kernels/key_lists.h. All enqueue on `stream` and return; pointers are device
// addresses, rows are tiles as in attention.h.
//
// Rows of bits are words_per_row = KeyWords(k_tokens) 32-bit words, a BlockMask's row as it lies.
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
/// begin = row offsets, list = ascending keys of each row. begin[tiles] is what the lists need: a
/// value above `capacity` says that the list is cut off there and must not be used; 2^31 - 1 may
/// stand for more, then launch fewer heads at a time.
/// errors  Error{kInvalidArgument} for sizes below 0 or missing memory, Error{kUnavailable} in the
///         runtime's words for a refused launch; so with all functions here
void LaunchKeyLists(const KeyListCall& call);

/// to = the lists of `from` with whole pieces of 64 consecutive keys first (ArrangeRuns of
/// kernels/key_lists.h). `from` and `to` are different memory.
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
/// Keys whose probability is above `threshold` for any query of the block (KeysAboveThreshold).
/// lse  [batch][heads][q_tokens] of a dense pass over the same q and k, as attention.h leaves it
/// requires q_block 64 or 128, threshold in (0, 1)
void LaunchThresholdBits(const KeyBitsCall& call, const float* lse, float threshold);

/// The most probable keys of the block's mean query up to `tau` (KeysOfTopCdf).
/// pooled  [tiles][head_dim] bf16, scratch; the means
/// scores  [tiles][32 * KeyWords(k_tokens)] floats, scratch: 0.44 GB per head of 924 blocks and
///         118,272 keys, so a call takes a few heads
/// requires q_block >= 1, tau in (0, 1]
void LaunchTopCdfBits(const KeyBitsCall& call, float tau, void* pooled, float* scores);

}  // namespace dbsp::kernels::gpu
