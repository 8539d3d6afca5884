// SPDX-License-Identifier: Apache-2.0
// Owner rank of every row of every head. Whole heads, which are the majority, have no list of rows,
// so work per row is done for few heads.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dbsp::planner {

class RowOwners {
 public:
  /// Every head whole on its rank. shape head_owner[heads]
  RowOwners(std::span<const int> head_owner, std::size_t rows)
      : rows_(rows), whole_(head_owner.begin(), head_owner.end()), split_(head_owner.size()) {}

  [[nodiscard]] std::size_t heads() const { return whole_.size(); }
  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] int At(std::size_t head, std::size_t row) const {
    return split_[head].empty() ? whole_[head] : split_[head][row];
  }
  /// True if the head has no list of rows. A head with a list may still lie on one rank.
  [[nodiscard]] bool IsWhole(std::size_t head) const { return split_[head].empty(); }
  /// requires IsWhole(head)
  [[nodiscard]] int RankOf(std::size_t head) const { return whole_[head]; }
  /// [rows] rank of every row; empty for a whole head.
  [[nodiscard]] std::span<const int> RowsOf(std::size_t head) const { return split_[head]; }

  void Set(std::size_t head, std::size_t row, int rank) {
    std::vector<int>& ranks = split_[head];
    if (ranks.empty()) ranks.assign(rows_, whole_[head]);
    ranks[row] = rank;
  }

 private:
  std::size_t rows_;
  std::vector<int> whole_;  ///< [head] rank of a whole head
  std::vector<std::vector<int>> split_;  ///< [head][row], empty for a whole head
};

}  // namespace dbsp::planner
