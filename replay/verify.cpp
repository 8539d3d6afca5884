// SPDX-License-Identifier: Apache-2.0
#include "replay/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "core/parallel_for.h"
#include "replay/reference.h"

namespace dbsp::replay {
namespace {

int HomeOf(const Cell& cell, int q_block) {
  return cell.home.RankOf(static_cast<std::int64_t>(q_block) * cell.shape.block.q);
}

std::string WriteProblem(const Cell& cell, const HomeOutputs& outputs) {
  for (int head = 0; head < cell.shape.heads; ++head) {
    for (int block = 0; block < cell.shape.q_blocks(); ++block) {
      const int writes = outputs.Writes(head, block);
      if (writes != 1) {
        return fmt::format(
            "{}: O written {} times, expected once", DescribeRow(cell, head, block), writes);
      }
    }
  }
  return {};
}

/// True for a finite log-sum-exp of a row with keys, and for -infinity of a row without keys.
bool IsLse(float lse, bool keys) {
  return keys ? std::isfinite(lse) : lse == -std::numeric_limits<float>::infinity();
}

/// Describes the first element that is not finite or log-sum-exp that is invalid, by head and
/// token.
std::string FiniteProblem(const Cell& cell,
                          const HomeOutputs& outputs,
                          const VerifyOptions& options) {
  std::vector<std::string> problems(cell.shape.heads);
  ParallelFor(cell.shape.heads, options.threads, [&](int head) {
    std::vector<float> row(cell.shape.head_dim);
    for (std::int64_t token = 0; token < cell.shape.tokens; ++token) {
      outputs.Row(head, token, row);
      std::string& problem = problems[head];
      const auto block = static_cast<int>(token / cell.shape.block.q);
      for (const float value : row) {
        if (std::isfinite(value)) continue;
        problem =
            fmt::format("{}: token {} of O is {}", DescribeRow(cell, head, block), token, value);
        return;
      }
      if (!options.check_lse) continue;
      const float lse = outputs.LogSumExp(head, token);
      const bool keys = cell.masks.head[head]->RowCount(block) > 0;
      if (IsLse(lse, keys)) continue;
      problem = fmt::format("{}: log-sum-exp of token {} is {}, expected {}",
                            DescribeRow(cell, head, block),
                            token,
                            lse,
                            keys ? "a finite number" : "-inf, because the row has no key");
      return;
    }
  });
  for (std::string& problem : problems) {
    if (!problem.empty()) return std::move(problem);
  }
  return {};
}

/// Tokens to compare, for each head.
using Rows = std::vector<std::vector<std::int64_t>>;

Rows AllRows(const Cell& cell) {
  std::vector<std::int64_t> tokens(cell.shape.tokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int64_t>(i);
  return Rows(static_cast<std::size_t>(cell.shape.heads), tokens);
}

/// Selects rows until the work limit is reached. Each pass over the (head, query block) pairs, in a
/// seeded order, takes one new token of every pair. At least one row is selected.
Rows SampleRows(const Cell& cell, const VerifyOptions& options) {
  const int blocks = cell.shape.q_blocks();
  std::vector<std::pair<int, int>> pairs;
  for (int head = 0; head < cell.shape.heads; ++head) {
    for (int block = 0; block < blocks; ++block) pairs.emplace_back(head, block);
  }
  std::mt19937_64 random(options.seed);
  std::shuffle(pairs.begin(), pairs.end(), random);
  Rows rows(static_cast<std::size_t>(cell.shape.heads));
  std::int64_t work = 0;
  const int shift = static_cast<int>(random() % static_cast<std::uint64_t>(cell.shape.block.q));
  for (int pass = 0; pass < cell.shape.block.q; ++pass) {
    for (const auto& [head, block] : pairs) {
      if (work > options.work_limit) return rows;
      const BlockMask& mask = *cell.masks.head[head];
      const int tokens = cell.shape.q_tokens(block);
      if (pass >= tokens) continue;
      const std::int64_t token =
          static_cast<std::int64_t>(block) * cell.shape.block.q + (pass + shift) % tokens;
      rows[head].push_back(token);
      work += ReferenceRowWork(cell.shape, mask, block);
    }
  }
  return rows;
}

std::int64_t TotalWork(const Cell& cell) {
  std::int64_t work = 0;
  for (const BlockMaskPtr& mask : cell.masks.head) {
    for (int block = 0; block < cell.shape.q_blocks(); ++block) {
      work += cell.shape.q_tokens(block) * ReferenceRowWork(cell.shape, *mask, block);
    }
  }
  return work;
}

/// Sums of squares and largest differences over rows.
struct Differences {
  double error_squares = 0;
  double reference_squares = 0;
  double max_abs = 0;
  int head = 0;  ///< head of the largest difference
  std::int64_t token = 0;
  double lse = 0;
  int lse_head = 0;  ///< head of the largest log-sum-exp error
  std::int64_t lse_token = 0;

  void Add(double got, double expected, int at_head, std::int64_t at_token) {
    const double difference = std::abs(got - expected);
    error_squares += difference * difference;
    reference_squares += expected * expected;
    if (difference > max_abs) {
      max_abs = difference;
      head = at_head;
      token = at_token;
    }
  }
  void AddLse(double distance, int at_head, std::int64_t at_token) {
    if (distance > lse) {
      lse = distance;
      lse_head = at_head;
      lse_token = at_token;
    }
  }
  void Add(const Differences& other) {
    AddLse(other.lse, other.lse_head, other.lse_token);
    error_squares += other.error_squares;
    reference_squares += other.reference_squares;
    if (other.max_abs > max_abs) {
      max_abs = other.max_abs;
      head = other.head;
      token = other.token;
    }
  }
};

Differences CompareHead(const Cell& cell,
                        const HomeOutputs& outputs,
                        int head,
                        const std::vector<std::int64_t>& tokens,
                        bool check_lse) {
  Differences sum;
  if (tokens.empty()) return sum;
  InputKey given = cell.key;  // the reference uses the workload's order of tokens
  given.order = nullptr;
  const HeadReference reference(cell.shape, *cell.given.head[head], given, head);
  std::vector<double> expected(cell.shape.head_dim);
  std::vector<double> scratch;
  std::vector<float> got(expected.size());
  for (const std::int64_t token : tokens) {
    const double lse =
        reference.Row(cell.key.order ? cell.key.order->TokenAt(token) : token, expected, scratch);
    outputs.Row(head, token, got);
    for (std::size_t i = 0; i < expected.size(); ++i) sum.Add(got[i], expected[i], head, token);
    if (check_lse) sum.AddLse(LseDistance(outputs.LogSumExp(head, token), lse), head, token);
  }
  return sum;
}

/// Sums are added in head order, so that the result does not depend on the number of threads.
Differences Compare(const Cell& cell,
                    const HomeOutputs& outputs,
                    const Rows& rows,
                    const VerifyOptions& options) {
  std::vector<Differences> per_head(rows.size());
  ParallelFor(static_cast<int>(rows.size()), options.threads, [&](int head) {
    const auto at = static_cast<std::size_t>(head);
    per_head[at] = CompareHead(cell, outputs, head, rows[at], options.check_lse);
  });
  Differences sum;
  for (const Differences& head : per_head) sum.Add(head);
  return sum;
}

}  // namespace

std::string DescribeRow(const Cell& cell, int head, int q_block) {
  std::string computed;
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    for (const planner::HeadRows& rows : cell.schedule.rank[rank].heads) {
      if (rows.head == head && std::ranges::binary_search(rows.rows, q_block)) {
        computed += fmt::format(
            "{}computed by rank {}", computed.empty() ? "" : ", ", cell.first_rank() + rank);
      }
    }
  }
  return fmt::format("head {}, query block {} ({}, home rank {})",
                     head,
                     q_block,
                     computed.empty() ? "computed by no rank" : computed,
                     cell.first_rank() + HomeOf(cell, q_block));
}

RankOutputs::RankOutputs(const Cell& cell, std::span<const CpuRank> ranks)
    : cell_(cell), ranks_(ranks), index_(cell, RanksOf(ranks)) {}

void RankOutputs::Row(int head, std::int64_t token, std::span<float> row) const {
  std::ranges::copy(ranks_[cell_.home.RankOf(token)].Output(head, token), row.begin());
}

float RankOutputs::LogSumExp(int head, std::int64_t token) const {
  const RowIndex::Location location = index_.Of(head, token);
  if (location.rank < 0) return std::numeric_limits<float>::quiet_NaN();
  return ranks_[location.rank].log_sum_exp()[location.row];
}

int RankOutputs::Writes(int head, int q_block) const {
  return ranks_[HomeOf(cell_, q_block)].Writes(head, q_block);
}

RowIndex::RowIndex(const Cell& cell, std::span<const Rank* const> ranks)
    : shape_(cell.shape),
      locations_(static_cast<std::size_t>(cell.shape.heads) *
                 static_cast<std::size_t>(cell.shape.q_blocks())) {
  for (const Rank* rank : ranks) {
    const RankBuffers& buffers = rank->buffers();
    const std::vector<planner::HeadRows>& heads = buffers.schedule().heads;
    for (std::size_t h = 0; h < heads.size(); ++h) {
      std::int64_t slot = buffers.slots[h].first;
      for (const int block : heads[h].rows) {
        locations_[static_cast<std::size_t>(heads[h].head) *
                       static_cast<std::size_t>(shape_.q_blocks()) +
                   static_cast<std::size_t>(block)] = {rank->rank(), slot++ * shape_.block.q};
      }
    }
  }
}

RowIndex::Location RowIndex::Of(int head, std::int64_t token) const {
  const std::int64_t block = token / shape_.block.q;
  Location location = locations_[head * shape_.q_blocks() + block];
  location.row += token % shape_.block.q;
  return location;
}

double LseDistance(double a, double b) { return a == b ? 0 : std::abs(a - b); }

VerifyResult Verify(const Cell& cell,
                    std::span<const CpuRank> ranks,
                    const VerifyOptions& options) {
  return Verify(cell, RankOutputs(cell, ranks), options);
}

VerifyResult Verify(const Cell& cell, const HomeOutputs& outputs, const VerifyOptions& options) {
  VerifyResult result;
  result.rows = cell.shape.tokens * cell.shape.heads;
  result.lse_checked = options.check_lse;
  result.problem = WriteProblem(cell, outputs);
  if (result.problem.empty()) result.problem = FiniteProblem(cell, outputs, options);
  result.passed = result.problem.empty();
  if (!result.passed) return result;

  const bool whole = TotalWork(cell) <= options.work_limit;
  const Rows rows = whole ? AllRows(cell) : SampleRows(cell, options);
  for (const auto& tokens : rows) result.rows_checked += static_cast<std::int64_t>(tokens.size());
  const Differences sum = Compare(cell, outputs, rows, options);
  result.max_abs_error = sum.max_abs;
  result.lse_error = sum.lse;
  // The relative error is infinite when the reference is all zero and the output is not.
  result.relative_error = sum.error_squares == 0 ? 0
                          : sum.reference_squares > 0
                              ? std::sqrt(sum.error_squares / sum.reference_squares)
                              : std::numeric_limits<double>::infinity();
  const bool outputs_passed = result.relative_error <= options.max_relative_error &&
                              result.max_abs_error <= options.max_abs_error;
  result.passed = outputs_passed && result.lse_error <= options.max_lse_error;
  if (outputs_passed && !result.passed) {
    result.problem = fmt::format(
        "{}: log-sum-exp of token {} has an error of {:.3g} (limit {:.3g}); O is within its limits",
        DescribeRow(cell, sum.lse_head, static_cast<int>(sum.lse_token / cell.shape.block.q)),
        sum.lse_token,
        result.lse_error,
        options.max_lse_error);
  } else if (!result.passed) {
    result.problem = fmt::format(
        "{}: relative error {:.3g} (limit {:.3g}), largest difference {:.3g} (limit {:.3g})",
        DescribeRow(cell, sum.head, static_cast<int>(sum.token / cell.shape.block.q)),
        result.relative_error,
        options.max_relative_error,
        result.max_abs_error,
        options.max_abs_error);
  }
  return result;
}

}  // namespace dbsp::replay
