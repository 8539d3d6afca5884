// SPDX-License-Identifier: Apache-2.0
// Checks of the calls of memory.h, and TokenSources.
#include "kernels/gpu/memory.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "kernels/gpu/memory_index.h"

namespace dbsp::kernels::gpu {
namespace {

constexpr std::int64_t kMaxBlocks = std::numeric_limits<std::int32_t>::max();
constexpr int kVector = 8;  ///< elements of 16 bytes

void Require(
    bool good, const char* call, const char* what, std::int64_t value, const char* expected) {
  if (good) return;
  Fail(ErrorCode::kInvalidArgument, "{}: {} is {}, expected {}", call, what, value, expected);
}

void RequireAligned(const char* call, const char* what, const void* pointer, std::int64_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (pointer != nullptr && address % static_cast<std::uintptr_t>(bytes) == 0) return;
  Fail(ErrorCode::kInvalidArgument,
       "{}: {} is {}, expected device memory at a multiple of {} bytes",
       call,
       what,
       pointer,
       bytes);
}

void CheckHeadDim(const char* call, int head_dim) {
  Require(head_dim == 64 || head_dim == 128, call, "head_dim", head_dim, "64 or 128");
}

void CheckView(const char* call, const char* what, const TensorView& view) {
  RequireAligned(call, what, view.data, 16);
  for (const std::int64_t stride : {view.batch_stride, view.head_stride, view.token_stride}) {
    Require(stride % kVector == 0, call, what, stride, "strides in multiples of 8 elements");
  }
}

void CheckRows(const char* call, int batch, int heads, int tokens, int head_dim) {
  CheckHeadDim(call, head_dim);
  Require(batch >= 1, call, "batch", batch, "at least 1");
  Require(heads >= 1, call, "heads", heads, "at least 1");
  Require(tokens >= 1, call, "tokens", tokens, "at least 1");
  const std::int64_t passes = std::int64_t{batch} * heads;
  const std::int64_t blocks = BlocksPerUnit(tokens, head_dim);
  Require(passes <= kMaxBlocks / blocks, call, "batch * heads", passes, "a grid below 2^31 blocks");
}

}  // namespace

void CheckMerge(const MergeCall& call) {
  const char* const name = "merge";
  CheckRows(name, call.batch, call.heads, call.tokens, call.head_dim);
  const int least = call.read_sum ? 0 : 1;
  Require(call.parts >= least && call.parts <= MergeCall::kMaxParts,
          name,
          "parts",
          call.parts,
          "1 to 8, or 0 with an accumulator to read");
  for (int i = 0; i < call.parts; ++i) {
    CheckView(name, "a part's o", call.part[i].o);
    RequireAligned(name, "a part's lse", call.part[i].lse, alignof(float));
  }
  if (call.read_sum || call.o.data == nullptr) {
    RequireAligned(name, "sum", call.sum, 16);
    RequireAligned(name, "sum_lse", call.sum_lse, alignof(float));
  }
  if (call.o.data != nullptr) {
    CheckView(name, "o", call.o);
    RequireAligned(name, "lse", call.lse, alignof(float));
  }
}

void CheckCopy(const CopyCall& call) {
  const char* const name = "copy";
  CheckHeadDim(name, call.head_dim);
  Require(
      call.lists >= 1 && call.lists <= CopyCall::kMaxLists, name, "lists", call.lists, "1 to 4");
  std::int64_t blocks = 0;
  for (int i = 0; i < call.lists; ++i) {
    const CopyList& list = call.list[i];
    Require(list.item_count >= 0, name, "item_count", list.item_count, "at least 0");
    if (list.item_count == 0) continue;
    RequireAligned(name, "from", list.from, 16);
    RequireAligned(name, "to", list.to, 16);
    RequireAligned(name, "items", list.items, alignof(CopyItem));
    Require(
        list.from_stride % kVector == 0, name, "from_stride", list.from_stride, "a multiple of 8");
    Require(list.to_stride % kVector == 0, name, "to_stride", list.to_stride, "a multiple of 8");
    Require(list.max_tokens >= 0, name, "max_tokens", list.max_tokens, "at least 0");
    const std::int64_t per_item = BlocksPerUnit(list.max_tokens, call.head_dim);
    Require(list.item_count <= kMaxBlocks,
            name,
            "item_count",
            list.item_count,
            "below 2^31 thread blocks over all lists");
    blocks += list.item_count * per_item;
    Require(blocks <= kMaxBlocks, name, "thread blocks", blocks, "below 2^31 over all lists");
  }
}

void CheckItems(std::span<const CopyItem> items, int max_tokens) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const CopyItem& item = items[i];
    const bool aligned = item.from % kVector == 0 && item.to % kVector == 0;
    if (aligned && item.from >= 0 && item.to >= 0 && item.tokens >= 0 &&
        item.tokens <= max_tokens) {
      continue;
    }
    Fail(ErrorCode::kInvalidArgument,
         "copy: item {} is from {} to {} with {} tokens, expected offsets in multiples of 8 "
         "elements "
         "and at most {} tokens",
         i,
         item.from,
         item.to,
         item.tokens,
         max_tokens);
  }
}

void CheckPermute(const PermuteCall& call) {
  const char* const name = "permute";
  CheckRows(name, call.batch, call.heads, call.tokens, call.head_dim);
  CheckView(name, "from", call.from);
  CheckView(name, "to", call.to);
  Require(call.from.data != call.to.data, name, "to", 0, "other memory than from");
  RequireAligned(name, "source", call.source, alignof(std::int32_t));
}

std::vector<std::int32_t> TokenSources(std::span<const int> order, int block, int tokens) {
  Require(block >= 1, "token layout", "block", block, "at least 1 token");
  Require(tokens >= 1, "token layout", "tokens", tokens, "at least 1");
  const std::int64_t blocks = (std::int64_t{tokens} - 1) / block + 1;
  std::vector<bool> seen(blocks);
  std::vector<std::int32_t> source;
  source.reserve(tokens);
  for (const int old : order) {
    if (old < 0 || old >= blocks || seen[old]) {
      Fail(ErrorCode::kInvalidArgument,
           "token layout: block {} is listed twice or is not one of the {} blocks; list each block "
           "once",
           old,
           blocks);
    }
    seen[old] = true;
    const std::int64_t first = std::int64_t{old} * block;
    const std::int64_t last = std::min<std::int64_t>(first + block, tokens);
    for (std::int64_t t = first; t < last; ++t) source.push_back(static_cast<std::int32_t>(t));
  }
  Require(static_cast<std::int64_t>(order.size()) == blocks,
          "token layout",
          "blocks listed",
          static_cast<std::int64_t>(order.size()),
          "each block of the sequence once");
  return source;
}

}  // namespace dbsp::kernels::gpu
