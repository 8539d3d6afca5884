// SPDX-License-Identifier: Apache-2.0
// Verification of a run against the fp64 reference: outputs at home, and log-sum-exp on the rank
// that computed the row.
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
  double max_abs_error = 1e-3;  ///< of any element of O
  /// Absolute error of any row's log-sum-exp. Log-sum-exp is fp32 for every input type, so it
  /// detects a missing part of the sum that the rounding of O hides.
  double max_lse_error = 1e-5;
  bool check_lse = true;  ///< false for a kernel that writes no log-sum-exp
  /// Largest number of multiply-adds of the reference. Above it, rows are sampled over all (head,
  /// query block) pairs in a seeded order.
  std::int64_t work_limit = 2'000'000'000;
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0 = one per processor of the machine
};

/// Access to the results of a run, for any kind of rank.
class HomeOutputs {
 public:
  virtual ~HomeOutputs() = default;
  /// Copies O of one token to `row`. shape row [head_dim]. threads safe concurrently
  virtual void Row(int head, std::int64_t token, std::span<float> row) const = 0;
  /// Natural log-sum-exp of one token's row after all merges, from the rank that computed the row;
  /// NaN when no rank did. threads safe concurrently
  [[nodiscard]] virtual float LogSumExp(int head, std::int64_t token) const = 0;
  /// Number of times that O of (head, query block) was written at home.
  [[nodiscard]] virtual int Writes(int head, int q_block) const = 0;
};

struct VerifyResult {
  bool passed = true;
  double relative_error = 0;  ///< |O - reference| / |reference|, Frobenius, over the rows compared
  double max_abs_error = 0;
  double lse_error = 0;  ///< largest |LSE - reference| of the rows compared
  bool lse_checked = true;  ///< as VerifyOptions::check_lse
  std::int64_t rows_checked =
      0;  ///< number of (head, query token) rows compared with the reference
  std::int64_t rows = 0;  ///< number of all (head, query token) rows
  /// |O - O'| / |O'| over all rows, where O' is the output of an unsplit run on the same device.
  std::optional<double> unsplit_error;
  std::optional<double> unsplit_lse_error;  ///< largest |LSE - LSE'| over all rows
  /// Text that names the fault, rank, head and query block; "" when passed.
  std::string problem;
};

/// Finds the rank that computed a row, and the row's index in that rank's log-sum-exp memory, [row
/// slots][block.q].
class RowIndex {
 public:
  struct Location {
    int rank = -1;  ///< -1: no rank computes it
    std::int64_t row = 0;
  };
  /// requires at most one rank computes each (head, query block)
  RowIndex(const Cell& cell, std::span<const Rank* const> ranks);
  [[nodiscard]] Location Of(int head, std::int64_t token) const;

 private:
  AttentionShape shape_;
  std::vector<Location> locations_;  ///< [heads][query blocks], location of the block's first token
};

/// Results of CPU ranks.
class RankOutputs final : public HomeOutputs {
 public:
  /// Both must outlive this object.
  RankOutputs(const Cell& cell, std::span<const CpuRank> ranks);
  void Row(int head, std::int64_t token, std::span<float> row) const override;
  [[nodiscard]] float LogSumExp(int head, std::int64_t token) const override;
  [[nodiscard]] int Writes(int head, int q_block) const override;

 private:
  const Cell& cell_;
  std::span<const CpuRank> ranks_;
  RowIndex index_;
};

/// |a - b| of two log-sum-exps: 0 when both are -infinity, infinity when one is, NaN when either is
/// NaN.
[[nodiscard]] double LseDistance(double a, double b);

/// Checks in this order: O of every (head, query block) was written at home exactly once; every
/// element of O is finite; every log-sum-exp is finite (-infinity for a row without keys); the rows
/// equal the reference within the limits. requires the ranks have run the cell errors   none: a
/// failed check is a result with passed = false
[[nodiscard]] VerifyResult Verify(const Cell& cell,
                                  const HomeOutputs& outputs,
                                  const VerifyOptions& options);
[[nodiscard]] VerifyResult Verify(const Cell& cell,
                                  std::span<const CpuRank> ranks,
                                  const VerifyOptions& options);

/// Text for messages: "head 3, query block 7 (computed by rank 2, home rank 0)".
[[nodiscard]] std::string DescribeRow(const Cell& cell, int head, int q_block);

}  // namespace dbsp::replay
