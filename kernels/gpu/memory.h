// SPDX-License-Identifier: Apache-2.0
// What a step of sequence parallelism does to memory beside attention, on the device: merge partial
// results, pack and unpack blocks for exchanges, permute tokens. All of it is bound by memory; a
// thread has four rows in flight. No vendor type is named here: a pointer is a device address, a
// stream a void*. Nothing here has run on a device yet; tests run the kernels' source on an
// emulator.
//
// Every Launch.. is asynchronous on `stream`, deterministic, and throws before it launches:
// Error{kInvalidArgument} for what its Check.. refuses; Error{kUnavailable} in the runtime's words
// when the launch is refused.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// bf16 O and fp32 LSE [batch][heads][tokens] of some of a row's keys. LSE -infinity: no key; O is
/// not looked at then.
struct Partial {
  TensorView o = {};
  const float* lse = nullptr;
};

/// L = ln sum_i e^(l_i);  o = sum_i e^(l_i - L) o_i;  without any key o = 0 and L = -infinity.
/// source  the definition of MergePartial in kernels/attention.h, for any number of parts
struct MergeCall {
  static constexpr int kMaxParts = 8;
  int batch = 1;
  int heads = 1;
  int tokens = 0;
  int head_dim = 128;  ///< 64 or 128
  std::array<Partial, kMaxParts> part = {};
  int parts = 0;  ///< 1 .. kMaxParts, or 0 where the accumulator alone is rounded
  /// fp32 [batch][heads][tokens][head_dim] and its LSE. Over the hops of a ring the sum stays here
  /// and is rounded to bf16 once, at the end.
  float* sum = nullptr;
  float* sum_lse = nullptr;
  bool read_sum = false;  ///< what the accumulator holds is one more part
  /// The result: rounded, into o and lse; or, where o.data is null, into the accumulator.
  TensorView o = {};
  float* lse = nullptr;
  void* stream = nullptr;
};
void CheckMerge(const MergeCall& call);
void LaunchMerge(const MergeCall& call);

/// Copies of blocks between two bf16 tensors; the items (kernels/attention.h) are in device memory
/// and count in elements, all offsets and strides multiples of 8.
struct CopyList {
  const void* from = nullptr;
  std::int64_t from_stride = 0;  ///< elements between successive tokens
  void* to = nullptr;
  std::int64_t to_stride = 0;
  const CopyItem* items = nullptr;
  std::int64_t item_count = 0;
  int max_tokens = 0;  ///< no item has more
};
/// Several tensors in one launch: Q, K and V of a pack, O of an unpack.
struct CopyCall {
  static constexpr int kMaxLists = 4;
  std::array<CopyList, kMaxLists> list = {};
  int lists = 0;
  int head_dim = 128;  ///< 64 or 128
  void* stream = nullptr;
};
void CheckCopy(const CopyCall& call);
/// For the host, before it uploads items. errors Error{kInvalidArgument} naming the first bad one
void CheckItems(std::span<const CopyItem> items, int max_tokens);
void LaunchCopy(const CopyCall& call);

/// A token layout applied, to[t] = from[source[t]], or undone, to[source[t]] = from[t], in every
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

/// `source` of a permutation of blocks: block i of the new order is block order[i] of the old one.
/// Only the sequence's last block may be short; wherever it goes, the blocks behind it move up.
/// errors  Error{kInvalidArgument} when order is not a permutation of the sequence's blocks
std::vector<std::int32_t> TokenSources(std::span<const int> order, int block, int tokens);

}  // namespace dbsp::kernels::gpu
