// SPDX-License-Identifier: Apache-2.0
// Kernel arguments made from the calls of memory.h, and the grid size of each launch in thread
// blocks.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/gpu/memory.h"
#include "kernels/gpu/memory_index.h"

namespace dbsp::kernels::gpu {

struct MergeArguments {
  MergeCall call;
  int blocks_per_pass = 0;  ///< thread blocks per (batch, head)
};
inline MergeArguments ArgumentsOf(const MergeCall& call) {
  return {call, static_cast<int>(BlocksPerUnit(call.tokens, call.head_dim))};
}
inline std::int64_t MergeBlocks(const MergeArguments& args) {
  return std::int64_t{args.call.batch} * args.call.heads * args.blocks_per_pass;
}

struct CopyArguments {
  CopyCall call;
  std::array<int, CopyCall::kMaxLists> first_block = {};  ///< first thread block of each list
  std::array<int, CopyCall::kMaxLists> blocks_per_item = {};
  int blocks = 0;
};
inline CopyArguments ArgumentsOf(const CopyCall& call) {
  CopyArguments args{.call = call};
  for (int i = 0; i < call.lists; ++i) {
    const CopyList& list = call.list[i];
    args.first_block[i] = args.blocks;
    args.blocks_per_item[i] = static_cast<int>(BlocksPerUnit(list.max_tokens, call.head_dim));
    args.blocks += static_cast<int>(list.item_count) * args.blocks_per_item[i];
  }
  return args;
}

struct PermuteArguments {
  PermuteCall call;
  int blocks_per_pass = 0;
};
inline PermuteArguments ArgumentsOf(const PermuteCall& call) {
  return {call, static_cast<int>(BlocksPerUnit(call.tokens, call.head_dim))};
}
inline std::int64_t PermuteBlocks(const PermuteArguments& args) {
  return std::int64_t{args.call.batch} * args.call.heads * args.blocks_per_pass;
}

}  // namespace dbsp::kernels::gpu
