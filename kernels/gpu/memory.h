// SPDX-License-Identifier: Apache-2.0
// Device kernels of sequence parallelism beside attention: merge of partial results, pack and
// unpack of blocks for exchanges, permutation of tokens. All are bound by memory bandwidth; a
// thread has four rows in flight. The header names no vendor type: pointers are device addresses
// and a stream is a void*. These kernels have not run on a device yet; tests run their source on an
// emulator.
//
// Every Launch function is asynchronous on `stream` and deterministic.
// errors  Error{kInvalidArgument} of its Check function before the launch; Error{kUnavailable} with
//         the CUDA runtime's text when the launch fails
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gpu/attention.h"
#include "kernels/memory.h"

namespace dbsp::kernels::gpu {

/// Partial result over some of a row's keys: bf16 O and fp32 LSE [batch][heads][tokens]. Where LSE
/// is -infinity the row has no key and O is ignored.
struct Partial {
  TensorView o = {};
  const float* lse = nullptr;
};

/// L = ln sum_i e^(l_i);  o = sum_i e^(l_i - L) o_i;  without any key o = 0 and L = -infinity.
/// source  the definition of MergePartial in kernels/memory.h, for any number of parts
struct MergeCall {
  static constexpr int kMaxParts = 8;
  int batch = 1;
  int heads = 1;
  int tokens = 0;
  int head_dim = 128;  ///< 64 or 128
  std::array<Partial, kMaxParts> part = {};
  int parts = 0;  ///< 1 .. kMaxParts; 0 rounds the accumulator alone
  /// Accumulator: fp32 [batch][heads][tokens][head_dim] and its LSE. It holds the sum over the hops
  /// of a ring, which is rounded to bf16 once, at the end.
  float* sum = nullptr;
  float* sum_lse = nullptr;
  bool read_sum = false;  ///< the accumulator is one more part
  /// Destination of the result: o and lse in bf16 and fp32, or the accumulator where o.data is
  /// null.
  TensorView o = {};
  float* lse = nullptr;
  void* stream = nullptr;
};
void CheckMerge(const MergeCall& call);
void LaunchMerge(const MergeCall& call);

/// Copies of blocks between two bf16 tensors. The items (kernels/memory.h) are in device memory.
/// Offsets and strides are in elements and multiples of 8.
struct CopyList {
  const void* from = nullptr;
  std::int64_t from_stride = 0;  ///< elements between successive tokens
  void* to = nullptr;
  std::int64_t to_stride = 0;
  const CopyItem* items = nullptr;
  std::int64_t item_count = 0;
  int max_tokens = 0;  ///< upper bound of CopyItem::tokens
};
/// Copies of several tensors in one launch: Q, K and V of a pack, O of an unpack.
struct CopyCall {
  static constexpr int kMaxLists = 4;
  std::array<CopyList, kMaxLists> list = {};
  int lists = 0;
  int head_dim = 128;  ///< 64 or 128
  void* stream = nullptr;
};
void CheckCopy(const CopyCall& call);
/// Checks items on the host before their upload.
/// errors Error{kInvalidArgument} naming the first invalid item
void CheckItems(std::span<const CopyItem> items, int max_tokens);
void LaunchCopy(const CopyCall& call);

/// Applies a token layout, to[t] = from[source[t]], or undoes it, to[source[t]] = from[t], in every
/// batch and head. `from` and `to` must not overlap.
struct PermuteCall {
  int batch = 1;
  int heads = 1;
  int tokens = 0;
  int head_dim = 128;  ///< 64 or 128
  TensorView from = {};
  TensorView to = {};
  const std::int32_t* source = nullptr;  ///< [tokens] in device memory, a permutation
  bool undo = false;
  void* stream = nullptr;
};
void CheckPermute(const PermuteCall& call);
void LaunchPermute(const PermuteCall& call);

/// PermuteCall::source of a permutation of blocks: block i of the new order is block order[i] of
/// the old one. Only the last block of the old order may be short; the blocks that follow it in the
/// new order are shifted accordingly.
/// errors  Error{kInvalidArgument} when order is not a permutation of the sequence's blocks
std::vector<std::int32_t> TokenSources(std::span<const int> order, int block, int tokens);

}  // namespace dbsp::kernels::gpu
