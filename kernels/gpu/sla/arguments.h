// SPDX-License-Identifier: Apache-2.0
// Kernel arguments made from an SlaCall, and the sizes of its three launches.
#pragma once

#include "kernels/gpu/sla.h"
#include "kernels/gpu/sm80/arguments.h"

namespace dbsp::kernels::gpu::sla {

struct Arguments {
  sm80::TensorBytes q;
  sm80::TensorBytes k;
  sm80::TensorBytes v;
  sm80::TensorBytes o;
  const std::uint64_t* marginal = nullptr;
  const std::uint8_t* projection = nullptr;
  std::uint8_t* states = nullptr;
  std::uint8_t* sums = nullptr;
  FeatureMap features = FeatureMap::kSoftmax;
  int passes = 0;  ///< batch * heads
  int heads = 1;
  int q_tokens = 0;
  int k_tokens = 0;
  int q_blocks = 0;
  int k_blocks = 0;
  int words = 0;  ///< 64-bit words of a mask row
};

inline Arguments ArgumentsOf(const SlaCall& call) {
  const AttentionShape& shape = call.shape;
  const int k_blocks = (shape.k_tokens - 1) / call.k_block + 1;
  return {.q = sm80::BytesOf(call.q),
          .k = sm80::BytesOf(call.k),
          .v = sm80::BytesOf(call.v),
          .o = sm80::BytesOf(call.o),
          .marginal = call.marginal,
          .projection = static_cast<const std::uint8_t*>(call.projection),
          .states = static_cast<std::uint8_t*>(call.states),
          .sums = static_cast<std::uint8_t*>(call.sums),
          .features = call.features,
          .passes = shape.batch * shape.heads,
          .heads = shape.heads,
          .q_tokens = shape.q_tokens,
          .k_tokens = shape.k_tokens,
          .q_blocks = (shape.q_tokens - 1) / call.q_block + 1,
          .k_blocks = k_blocks,
          .words = (k_blocks + 63) / 64};
}

/// Bytes of one state: H, then Z.
constexpr std::int64_t StateBytes(int head_dim) {
  return std::int64_t{head_dim} * (head_dim + 1) * 2;
}

constexpr int kSumRows = 128;  ///< query blocks per thread block of SumKernel

/// Thread blocks of StateKernel, SumKernel and CombineKernel.
inline std::int64_t StateBlocks(const Arguments& args) {
  return std::int64_t{args.passes} * args.k_blocks;
}
inline std::int64_t SumBlocks(const Arguments& args, int head_dim) {
  return std::int64_t{args.passes} * (head_dim + 1) * ((args.q_blocks - 1) / kSumRows + 1);
}
inline std::int64_t CombineBlocks(const Arguments& args) {
  return std::int64_t{args.passes} * args.q_blocks;
}

}  // namespace dbsp::kernels::gpu::sla
