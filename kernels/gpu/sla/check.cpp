// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/sla.h"
#include "kernels/gpu/sla/arguments.h"

namespace dbsp::kernels::gpu {
namespace {

void Require(bool good, const char* what, std::int64_t value, const char* expected) {
  if (good) return;
  Fail(ErrorCode::kInvalidArgument, "SLA: {} is {}, expected {}", what, value, expected);
}

void RequireAligned(const char* what, const void* pointer, std::uintptr_t bytes) {
  if (pointer != nullptr && reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0) return;
  Fail(ErrorCode::kInvalidArgument,
       "SLA: {} is {}, expected device memory at a multiple of {} bytes",
       what,
       pointer,
       bytes);
}

void CheckView(const char* what, const TensorView& view) {
  RequireAligned(what, view.data, 16);
  for (const std::int64_t stride : {view.batch_stride, view.head_stride, view.token_stride}) {
    Require(stride % 8 == 0, what, stride, "strides in multiples of 8 elements");
  }
}

bool IsBlock(int tokens) { return tokens == 64 || tokens == 128; }

}  // namespace

void CheckSla(const SlaCall& call) {
  const AttentionShape& shape = call.shape;
  Require(IsBlock(shape.head_dim), "head_dim", shape.head_dim, "64 or 128");
  Require(IsBlock(call.q_block), "q_block", call.q_block, "64 or 128");
  Require(IsBlock(call.k_block), "k_block", call.k_block, "64 or 128");
  Require(shape.batch >= 1, "batch", shape.batch, "at least 1");
  Require(shape.heads >= 1, "heads", shape.heads, "at least 1");
  const char* const tokens = "1 to 2^31 - 513";
  Require(
      shape.q_tokens >= 1 && shape.q_tokens < kMaxInt - 512, "q_tokens", shape.q_tokens, tokens);
  Require(
      shape.k_tokens >= 1 && shape.k_tokens < kMaxInt - 512, "k_tokens", shape.k_tokens, tokens);
  CheckView("q", call.q);
  CheckView("k", call.k);
  CheckView("v", call.v);
  CheckView("o", call.o);
  RequireAligned("marginal", call.marginal, alignof(std::uint64_t));
  RequireAligned("projection", call.projection, 16);
  RequireAligned("states", call.states, 16);
  RequireAligned("sums", call.sums, 16);
  const std::int64_t passes = std::int64_t{shape.batch} * shape.heads;
  Require(passes < kMaxInt, "batch * heads", passes, "below 2^31");
  const sla::Arguments args = sla::ArgumentsOf(call);
  for (const std::int64_t blocks :
       {sla::StateBlocks(args), sla::SumBlocks(args, shape.head_dim), sla::CombineBlocks(args)}) {
    Require(blocks <= kMaxInt, "thread blocks", blocks, "below 2^31; split the batch or the heads");
  }
}

std::int64_t SlaStateBytes(const SlaCall& call) {
  return sla::StateBlocks(sla::ArgumentsOf(call)) * sla::StateBytes(call.shape.head_dim);
}

std::int64_t SlaSumBytes(const SlaCall& call) {
  return sla::CombineBlocks(sla::ArgumentsOf(call)) * sla::StateBytes(call.shape.head_dim);
}

}  // namespace dbsp::kernels::gpu
