// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gather/list_builders.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/gpu/gather/list_args.h"

namespace dbsp::kernels::gpu {
namespace {

void RequireMemory(const char* what, const void* pointer, const char* name) {
  if (pointer != nullptr) return;
  Fail(ErrorCode::kInvalidArgument, "{}: {} is null, expected device memory", what, name);
}

void RequireCount(const char* what, const char* name, std::int64_t value, std::int64_t least) {
  if (value >= least && value <= std::numeric_limits<std::int32_t>::max() - 64) return;
  Fail(ErrorCode::kInvalidArgument,
       "{}: {} is {}, expected {} to 2^31 - 65",
       what,
       name,
       value,
       least);
}

void RequireView(const char* what, const char* name, const TensorView& view) {
  RequireMemory(what, view.data, name);
  const bool aligned = reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 &&
                       view.token_stride % 8 == 0 && view.head_stride % 8 == 0 &&
                       view.batch_stride % 8 == 0;
  if (aligned) return;
  Fail(ErrorCode::kInvalidArgument,
       "{}: {} starts at {} with strides {}, {}, {} elements; expected multiples of 16 bytes",
       what,
       name,
       view.data,
       view.batch_stride,
       view.head_stride,
       view.token_stride);
}

/// Checks the call and fills the arguments of both predictors. Returns false when there are no
/// tiles.
bool FillArgs(const char* what, const KeyBitsCall& call, gather::KeyBitsArgs& args) {
  const AttentionShape& shape = call.shape;
  if (shape.head_dim != 64 && shape.head_dim != 128) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: head_dim is {}, expected 64 or 128",
         what,
         shape.head_dim);
  }
  if (!(shape.scale > 0.0F) || !std::isfinite(shape.scale)) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: scale is {}, expected a finite number above 0",
         what,
         shape.scale);
  }
  RequireCount(what, "q_tokens", shape.q_tokens, 1);
  RequireCount(what, "k_tokens", shape.k_tokens, 1);
  RequireCount(what, "q_block", call.q_block, 1);
  const std::int64_t heads = std::int64_t{shape.batch} * shape.heads;
  RequireCount(what, "batch * heads", heads, 0);
  const std::int64_t q_blocks = (std::int64_t{shape.q_tokens} + call.q_block - 1) / call.q_block;
  RequireCount(what, "batch * heads * query blocks", heads * q_blocks, 0);
  RequireView(what, "q", call.q);
  RequireView(what, "k", call.k);
  RequireMemory(what, call.words, "words");
  args.q = call.q;
  args.k = call.k;
  args.words = call.words;
  args.tiles = static_cast<int>(heads * q_blocks);
  args.q_blocks = static_cast<int>(q_blocks);
  args.q_block = call.q_block;
  args.heads = shape.heads;
  args.q_tokens = shape.q_tokens;
  args.k_tokens = shape.k_tokens;
  args.words_per_row = KeyWords(shape.k_tokens);
  return args.tiles > 0;
}

}  // namespace

void LaunchKeyLists(const KeyListCall& call) {
  const char* const what = "key lists";
  RequireCount(what, "tiles", call.tiles, 1);
  RequireCount(what, "k_tokens", call.k_tokens, 1);
  RequireCount(what, "capacity", call.capacity, 0);
  RequireMemory(what, call.words, "words");
  RequireMemory(what, call.begin, "begin");
  if (call.capacity > 0) RequireMemory(what, call.list, "list");
  gather::BitListArgs args;
  args.words = call.words;
  args.begin = call.begin;
  args.list = call.list;
  args.rows = call.tiles;
  args.words_per_row = KeyWords(call.k_tokens);
  args.capacity = call.capacity;
  gather::EnqueueKeyLists(args, call.stream);
}

void LaunchArrangeRuns(const std::int32_t* begin,
                       const std::int32_t* from,
                       std::int32_t* to,
                       int tiles,
                       void* stream) {
  const char* const what = "arranged key lists";
  RequireCount(what, "tiles", tiles, 0);
  if (tiles == 0) return;
  RequireMemory(what, begin, "begin");
  RequireMemory(what, from, "from");
  RequireMemory(what, to, "to");
  if (from == to) {
    Fail(ErrorCode::kInvalidArgument, "{}: from and to are the same memory", what);
  }
  gather::EnqueueArrangeRuns({begin, from, to, tiles}, stream);
}

void LaunchThresholdBits(const KeyBitsCall& call, const float* lse, float threshold) {
  const char* const what = "threshold bits";
  gather::ThresholdArgs args;
  if (!FillArgs(what, call, args)) return;
  if (call.q_block != 64 && call.q_block != 128) {
    Fail(ErrorCode::kInvalidArgument, "{}: q_block is {}, expected 64 or 128", what, call.q_block);
  }
  if (!(threshold > 0.0F && threshold < 1.0F)) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: threshold is {}, expected a probability between 0 and 1, both excluded",
         what,
         threshold);
  }
  RequireMemory(what, lse, "lse");
  args.lse = lse;
  args.log_threshold = std::log(threshold);
  args.inverse_scale = 1.0F / call.shape.scale;
  gather::EnqueueThresholdBits(args, call.shape.head_dim, call.stream);
}

void LaunchTopCdfBits(const KeyBitsCall& call, float tau, void* pooled, float* scores) {
  const char* const what = "top-CDF bits";
  gather::TopCdfArgs args;
  if (!FillArgs(what, call, args)) return;
  if (!(tau > 0.0F && tau <= 1.0F)) {
    Fail(ErrorCode::kInvalidArgument, "{}: tau is {}, expected a number in (0, 1]", what, tau);
  }
  RequireMemory(what, pooled, "pooled");
  RequireMemory(what, scores, "scores");
  args.pooled = static_cast<std::uint32_t*>(pooled);
  args.scores = scores;
  args.scale = call.shape.scale;
  args.tau = tau;
  gather::EnqueueTopCdfBits(args, call.shape.head_dim, call.stream);
}

}  // namespace dbsp::kernels::gpu
