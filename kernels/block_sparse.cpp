// SPDX-License-Identifier: Apache-2.0
// Checks a call of block-sparse or gather attention and dispatches it to the best instruction set
// of this machine. The arithmetic is in block_sparse-inl.h. Scalable vectors (SVE, RVV) cannot be
// members of a struct, so those machines run NEON or the portable target.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_sparse.cpp"
#include <hwy/foreach_target.h>
// foreach_target includes this file once per target and has to come first.
#include <hwy/highway.h>

#include "kernels/block_sparse-inl.h"

#if HWY_ONCE
#include <fmt/format.h>
#include <hwy/aligned_allocator.h>

#include "core/error.h"
#include "kernels/attention.h"

namespace dbsp::kernels {
namespace {

HWY_EXPORT(RunBlockSparse);
HWY_EXPORT(RunGather);

void RequireSupported(const AttentionArgs& args, const char* kernel, int most_k) {
  const bool dim_ok = args.head_dim >= 8 && args.head_dim <= 256 && args.head_dim % 8 == 0;
  const bool block_ok =
      args.block.q >= 1 && args.block.q <= 512 && args.block.k >= 1 && args.block.k <= most_k;
  if (dim_ok && block_ok) return;
  Fail(
      ErrorCode::kInvalidArgument,
      "kernel {}: head_dim {} with blocks {}x{}; expected head_dim 8, 16, .. 256, 1 to 512 queries "
      "per block and {} per block",
      kernel,
      args.head_dim,
      args.block.q,
      args.block.k,
      most_k == 1 ? "1 key" : fmt::format("1 to {} keys", most_k));
}

}  // namespace

void AttentionBlockSparse(const AttentionArgs& args) {
  RequireSupported(args, "cpu.block_sparse", 512);
  HWY_DYNAMIC_DISPATCH(RunBlockSparse)(args);
}

void AttentionGather(const AttentionArgs& args) {
  RequireSupported(args, "cpu.gather", 1);
  HWY_DYNAMIC_DISPATCH(RunGather)(args);
}

}  // namespace dbsp::kernels
#endif  // HWY_ONCE
