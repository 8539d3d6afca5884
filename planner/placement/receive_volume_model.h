// SPDX-License-Identifier: Apache-2.0
// Model of the volume that a rank receives for whole heads and for parts of heads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Volume that a rank receives for a head. 1 is Q of all rows of one head.
///
/// A whole head needs Q of the rows whose home is another rank, and K and V of the columns that
/// `needs` gives. The homes of rows are taken to be spread evenly over the ranks. A part of a head
/// consists of the rows at home on its rank and of the rows after them. It needs no more columns
/// than the same number of blocks at random positions. O of a rank's own rows comes back from the
/// rank that computes them.
class ReceiveVolumeModel {
 public:
  /// shape  totals[heads] active blocks; columns: key blocks times the load of one active block
  /// needs  NeedsOf() the masks. If it is empty, blocks are taken to be at random columns.
  ReceiveVolumeModel(std::span<const std::int64_t> totals,
                     int ranks,
                     double columns,
                     std::span<const double> needs = {});

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] std::size_t heads() const { return total_.size(); }
  [[nodiscard]] double Total(int head) const { return total_[head]; }
  /// Volume that a rank without work receives: O of its own rows of every head.
  [[nodiscard]] double Idle() const { return static_cast<double>(heads()) * home_; }
  /// Volume for a whole head, less O of the rank's own rows, which does not come back. The value is
  /// a multiple of 2^-30, so sums are exact in any order.
  [[nodiscard]] double Whole(int head) const { return whole_[head]; }
  /// Whole() for a part of `load` active blocks. requires 0 < load <= Total(head)
  [[nodiscard]] double Part(double load, int head) const;
  /// Volume that each rank receives for a head whose rows all stay at home. requires needs
  [[nodiscard]] double AtHome(int head) const;
  /// Lower bound on the volume that the busiest rank receives in a placement with a split head. It
  /// takes all heads to be the one whose parts cost least. Some rank holds at least heads / ranks
  /// heads. If one of them is a part, the rank holds one more part than whole heads are missing.
  [[nodiscard]] double SplitLowerBound(const std::vector<bool>& at_home) const;

 private:
  std::vector<double> total_;
  std::vector<double> per_load_;  ///< [head] 1 / total
  std::vector<double> whole_;
  std::vector<double> needs_;
  int ranks_;
  double per_column_;
  double home_;  ///< fraction of blocks whose home is one given rank
  double away_;  ///< 1 - home_
};

}  // namespace dbsp::planner
