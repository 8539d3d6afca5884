// SPDX-License-Identifier: Apache-2.0
// Compares the outputs of a kernel with fp64, and computes fp64 attention on the CPU.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/lists.h"

namespace dbsp::gpu_check {

/// Largest errors of bf16 outputs and of the fp32 log-sum-exp; docs/gpu.md, What is checked.
inline constexpr double kMaxRelativeError = 5e-3;  ///< relative Frobenius error of O
inline constexpr double kMaxLseError = 1e-4;  ///< absolute error of one row

/// Queries, keys and values of one (batch, head), contiguous [tokens][head_dim].
struct HeadInput {
  std::span<const std::uint16_t> q;
  std::span<const std::uint16_t> k;
  std::span<const std::uint16_t> v;
};
/// Results of attention: o [rows][head_dim], lse [rows].
struct Reference {
  std::vector<double> o;
  std::vector<double> lse;
};

/// Attention of one head in fp64, by two passes over the keys of each row.
/// lists    the head's tiles start at first_tile
/// threads  starts `threads` threads and joins them
[[nodiscard]] Reference ReferenceOnCpu(const HeadInput& input,
                                       int head_dim,
                                       double scale,
                                       const Lists& lists,
                                       std::int64_t first_tile,
                                       const Blocks& blocks,
                                       int threads);

struct Verdict {
  double relative_error = 0.0;  ///< ||o - reference|| / ||reference||, infinite for NaN
  double lse_error = 0.0;  ///< largest of a row; infinite for NaN or if one side is -infinity
  std::int64_t wrong_empty_rows = 0;  ///< rows without keys whose O is not 0 or LSE not -infinity
  [[nodiscard]] bool IsRight() const {
    return relative_error <= kMaxRelativeError && lse_error <= kMaxLseError &&
           wrong_empty_rows == 0;
  }
  [[nodiscard]] std::string Text() const;
};

/// Compares outputs with a reference.
/// shape    o and reference_o [rows][head_dim], o in bf16; lse and reference_lse [rows]
[[nodiscard]] Verdict Compare(std::span<const std::uint16_t> o,
                              std::span<const float> lse,
                              std::span<const double> reference_o,
                              std::span<const double> reference_lse,
                              int head_dim);

}  // namespace dbsp::gpu_check
