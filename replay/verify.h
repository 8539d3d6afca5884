// SPDX-License-Identifier: Apache-2.0
// Judges the outputs that a run left at home against the fp64 reference.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "replay/executor.h"

namespace dbsp::replay {

struct VerifyOptions {
  double max_relative_error = 1e-5;  ///< Frobenius, over all rows compared
  double max_abs_error = 1e-3;  ///< of any element
  /// Multiply-adds the reference may take; above it rows are sampled, spread over all (head, query
  /// block) pairs in a seeded order.
  std::int64_t work_limit = 2'000'000'000;
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0 = as many as the machine has
};

/// What a run left at home, wherever the ranks and their memory are.
class HomeOutputs {
 public:
  virtual ~HomeOutputs() = default;
  /// O of one token. shape row [head_dim]. threads safe concurrently
  virtual void Row(int head, std::int64_t token, std::span<float> row) const = 0;
  /// How often O of (head, query block) was written at home.
  [[nodiscard]] virtual int Writes(int head, int q_block) const = 0;
};

struct VerifyResult {
  bool passed = true;
  double relative_error = 0;  ///< |O - reference| / |reference|, Frobenius, rows compared
  double max_abs_error = 0;
  std::int64_t rows_checked = 0;  ///< (head, query token) rows compared in value
  std::int64_t rows = 0;  ///< all (head, query token) rows
  /// |O - O'| / |O'| over all rows, O' of a run without any split on the same device.
  std::optional<double> unsplit_error;
  /// "" when passed, else what is wrong and where: rank, head, query block.
  std::string problem;
};

/// Checks, in this order: that O of every (head, query block) was written at home exactly once,
/// that every element is finite, and that rows agree with the reference within the limits.
/// requires the ranks have run the cell
/// errors   none: a failed check is a value
[[nodiscard]] VerifyResult Verify(const Cell& cell,
                                  const HomeOutputs& outputs,
                                  const VerifyOptions& options);
[[nodiscard]] VerifyResult Verify(const Cell& cell,
                                  std::span<const RankExecutor> ranks,
                                  const VerifyOptions& options);

/// A row's place in words: "head 3, query block 7 (computed by rank 2, home rank 0)".
[[nodiscard]] std::string DescribeRow(const Cell& cell, int head, int q_block);

}  // namespace dbsp::replay
