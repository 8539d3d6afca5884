// SPDX-License-Identifier: Apache-2.0
// Kernel arguments of the list builders. list_builders.cpp checks calls and list_builders.cu
// launches the kernels, because nvcc cannot parse the headers that core/error.h includes.
//
// Rows of bits are 32-bit words. A row of a BlockMask has 2 * words_per_row() of them.
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu::gather {

struct BitListArgs {
  const std::uint32_t* words = nullptr;  ///< [rows][words_per_row], bits past the last key are 0
  std::int32_t* begin = nullptr;  ///< [rows + 1]
  std::int32_t* list = nullptr;  ///< [capacity]
  int rows = 0;
  int words_per_row = 0;
  std::int32_t capacity = 0;
};

struct ArrangeArgs {
  const std::int32_t* begin = nullptr;  ///< [rows + 1]
  const std::int32_t* from = nullptr;  ///< ascending within a row
  std::int32_t* to = nullptr;  ///< same shape; must not overlap from
  int rows = 0;
};

/// Shapes and addresses of both predictors.
struct KeyBitsArgs {
  TensorView q;
  TensorView k;
  std::uint32_t* words = nullptr;  ///< [tiles][words_per_row]
  int tiles = 0;
  int q_blocks = 0;  ///< per head
  int q_block = 128;
  int heads = 0;
  int q_tokens = 0;
  int k_tokens = 0;
  int words_per_row = 0;  ///< 2 * ceil(k_tokens / 64)
};

struct ThresholdArgs : KeyBitsArgs {
  const float* lse = nullptr;  ///< [batch][heads][q_tokens], natural log; -infinity keeps no key
  float log_threshold = 0.0F;
  float inverse_scale = 1.0F;
};

struct TopCdfArgs : KeyBitsArgs {
  std::uint32_t* pooled = nullptr;  ///< [tiles][head_dim] bf16
  float* scores = nullptr;  ///< [tiles][words_per_row * 32], without the factor scale
  float scale = 1.0F;
  float tau = 0.9F;
};

/// Defined in list_builders.cu.
/// errors  Error{kUnavailable} when the launch fails
void EnqueueKeyLists(const BitListArgs& args, void* stream);
void EnqueueArrangeRuns(const ArrangeArgs& args, void* stream);
void EnqueueThresholdBits(const ThresholdArgs& args, int head_dim, void* stream);
void EnqueueTopCdfBits(const TopCdfArgs& args, int head_dim, void* stream);

}  // namespace dbsp::kernels::gpu::gather
