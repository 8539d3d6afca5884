// SPDX-License-Identifier: Apache-2.0
// Judges what a run left, outputs at home and log-sum-exp where rows were computed, against the
// fp64 reference.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replay/cpu_rank.h"

namespace dbsp::replay {

struct VerifyOptions {
  double max_relative_error = 1e-5;  ///< Frobenius, over all rows compared
  double max_abs_error = 1e-3;  ///< of any element
  /// Of any row's log-sum-exp. It is summed in fp32 everywhere, also of bf16 inputs, so that a
  /// part of the sum that O's rounding hides shows here.
  double max_lse_error = 1e-5;
  /// Multiply-adds the reference may take; above it rows are sampled, spread over all (head, query
  /// block) pairs in a seeded order.
  std::int64_t work_limit = 2'000'000'000;
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0 = as many as the machine has
};

/// What a run left, wherever the ranks and their memory are.
class HomeOutputs {
 public:
  virtual ~HomeOutputs() = default;
  /// O of one token. shape row [head_dim]. threads safe concurrently
  virtual void Row(int head, std::int64_t token, std::span<float> row) const = 0;
  /// Natural log-sum-exp of one token's row on the rank that computed it, after all merges; NaN
  /// when none did. threads safe concurrently
  [[nodiscard]] virtual float LogSumExp(int head, std::int64_t token) const = 0;
  /// How often O of (head, query block) was written at home.
  [[nodiscard]] virtual int Writes(int head, int q_block) const = 0;
};

struct VerifyResult {
  bool passed = true;
  double relative_error = 0;  ///< |O - reference| / |reference|, Frobenius, rows compared
  double max_abs_error = 0;
  double lse_error = 0;  ///< largest |LSE - reference|, rows compared
  std::int64_t rows_checked = 0;  ///< (head, query token) rows compared in value
  std::int64_t rows = 0;  ///< all (head, query token) rows
  /// |O - O'| / |O'| over all rows, O' of a run without any split on the same device.
  std::optional<double> unsplit_error;
  std::optional<double> unsplit_lse_error;  ///< largest |LSE - LSE'| over all rows
  /// "" when passed, else what is wrong and where: rank, head, query block.
  std::string problem;
};

/// Which rank computed a row, and where that rank's log-sum-exp memory, [row slots][block.q], has
/// it.
class RowIndex {
 public:
  struct Place {
    int rank = -1;  ///< -1: no rank computes it
    std::int64_t row = 0;
  };
  /// requires one rank for each (head, query block), as every sound schedule has
  RowIndex(const Cell& cell, std::span<const Rank* const> ranks);
  [[nodiscard]] Place Of(int head, std::int64_t token) const;

 private:
  AttentionShape shape_;
  std::vector<Place> places_;  ///< [heads][query blocks], of the block's first token
};

/// What CPU ranks left.
class RankOutputs final : public HomeOutputs {
 public:
  /// Both must outlive this.
  RankOutputs(const Cell& cell, std::span<const CpuRank> ranks);
  void Row(int head, std::int64_t token, std::span<float> row) const override;
  [[nodiscard]] float LogSumExp(int head, std::int64_t token) const override;
  [[nodiscard]] int Writes(int head, int q_block) const override;

 private:
  const Cell& cell_;
  std::span<const CpuRank> ranks_;
  RowIndex index_;
};

/// The distance of two log-sum-exps: 0 for rows without keys on both sides, infinite for such a row
/// on one, NaN where either is.
[[nodiscard]] double LseDistance(double a, double b);

/// Checks, in this order: that O of every (head, query block) was written at home exactly once,
/// that every element is finite and every log-sum-exp a number (-infinity where a row keeps no
/// key), and that rows agree with the reference within the limits. requires the ranks have run the
/// cell errors   none: a failed check is a value
[[nodiscard]] VerifyResult Verify(const Cell& cell,
                                  const HomeOutputs& outputs,
                                  const VerifyOptions& options);
[[nodiscard]] VerifyResult Verify(const Cell& cell,
                                  std::span<const CpuRank> ranks,
                                  const VerifyOptions& options);

/// A row's place in words: "head 3, query block 7 (computed by rank 2, home rank 0)".
[[nodiscard]] std::string DescribeRow(const Cell& cell, int head, int q_block);

}  // namespace dbsp::replay
