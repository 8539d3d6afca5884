// SPDX-License-Identifier: Apache-2.0
// A kernel's outputs against fp64, and fp64 attention on the CPU's cores.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/lists.h"

namespace dbsp::gpu_check {

/// Bounds of issue "NVIDIA GPUs, part one": bf16 outputs and fp32 log-sum-exp.
inline constexpr double kMaxRelativeError = 5e-3;  ///< Frobenius
inline constexpr double kMaxLseError = 1e-4;  ///< absolute

/// Queries, keys and values of one (batch, head), contiguous [tokens][head_dim].
struct HeadInput {
  std::span<const std::uint16_t> q;
  std::span<const std::uint16_t> k;
  std::span<const std::uint16_t> v;
};
/// Rows of results, [rows][head_dim] and [rows].
struct Reference {
  std::vector<double> o;
  std::vector<double> lse;
};

/// Attention of one head in fp64: two passes over each row's keys, nothing clever.
/// tiles    the head's tiles in `lists` start at first_tile
/// threads  works on `threads` threads of its own
[[nodiscard]] Reference ReferenceOnCpu(const HeadInput& input,
                                       int head_dim,
                                       double scale,
                                       const Lists& lists,
                                       std::int64_t first_tile,
                                       const Blocks& blocks,
                                       int threads);

struct Verdict {
  double relative_error = 0.0;  ///< ||o - reference|| / ||reference||, infinite for NaN
  double lse_error = 0.0;  ///< largest absolute, infinite where only one side is -infinity or NaN
  std::int64_t wrong_empty_rows = 0;  ///< rows without keys whose O is not 0 or LSE not -infinity
  [[nodiscard]] bool good() const {
    return relative_error <= kMaxRelativeError && lse_error <= kMaxLseError &&
           wrong_empty_rows == 0;
  }
  [[nodiscard]] std::string Words() const;
};

/// shape    o [rows][head_dim] bf16, lse [rows]; the reference's rows in the same order
/// requires equal sizes
[[nodiscard]] Verdict Compare(std::span<const std::uint16_t> o,
                              std::span<const float> lse,
                              std::span<const double> reference_o,
                              std::span<const double> reference_lse,
                              int head_dim);

}  // namespace dbsp::gpu_check
