// SPDX-License-Identifier: Apache-2.0
// The rows that each rank computes, and the moves that even out the ranks. Used only by PlaceHeads
// (planner/placement/placed.h), which holds the contract.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "planner/placement/head_fill.h"
#include "planner/placement/memory_cap.h"
#include "planner/placement/placed_options.h"
#include "planner/placement/row_owners.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {

/// Load is in active blocks. keeps the loads, the masks and the rows' homes
class Placement {
 public:
  /// Places whole heads on their ranks. shape head_owner[heads]; totals[heads], the loads'
  /// HeadTotals()
  Placement(const RowLoads& loads,
            const LayerMasks& masks,
            std::span<const int> row_home,
            std::span<const int> col_home,
            int ranks,
            const PlacedOptions& options,
            std::span<const int> head_owner,
            std::span<const std::int64_t> totals);

  /// Moves every row of a head to its home. requires a whole head
  void TakeHome(std::size_t head);

  /// Moves rows of split heads to the ranks that get a part of them, the smallest parts first. A
  /// rank takes its own rows first, then the rows beside them, and rows at home on other ranks with
  /// a part last. It takes them from the side on which fewer blocks move.
  void Fill(std::vector<HeadShare> shares);

  /// Moves heads from the fullest rank to others until all ranks are within the memory limit, or
  /// ranges of rows if no head fits elsewhere.
  /// errors  Error{kNotFound} if no move helps
  void Relieve();

  /// Moves rows from the heaviest to the lightest rank until the heaviest load is at most `limit`.
  void Level(double mean, double limit);

  /// Moves single rows of split heads between ranks that have a part of the head already, until the
  /// heaviest load is at most `limit` or no such row helps.
  void LevelShared(double limit);

  [[nodiscard]] bool WithinMemory() const;
  [[nodiscard]] std::int64_t Heaviest() const;
  [[nodiscard]] const RowOwners& owner() const { return owner_; }
  [[nodiscard]] Partition Build() const;

 private:
  /// Rows [begin, end) of one head that would move from one rank to another.
  struct Range {
    std::size_t head = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int64_t load = 0;
    std::int64_t moved = 0;  ///< additional traffic, AddedTraffic()
  };

  /// Any rows of one head that would move from one rank to another.
  struct Rows {
    std::vector<std::size_t> rows;
    std::int64_t load = 0;
  };

  [[nodiscard]] int OwnerOf(std::size_t head, std::size_t row) const {
    return owner_.At(head, row);
  }

  /// Finds the cheapest range whose load is `want` up to half a row. A head with a smaller load
  /// moves whole, but only if no head has enough.
  bool FindRange(std::size_t from, std::size_t to, double want, Range& best) const;

  [[nodiscard]] bool Fits(const Range& range, std::size_t from, std::size_t to) const;

  /// Finds a part of a head whose departure brings `from` within the limit, the smallest such part;
  /// otherwise the largest part.
  bool FindHead(std::size_t from, Range& best, std::size_t& to) const;

  /// Finds the longest run of a head's first rows that fits on another rank.
  bool FindPart(std::size_t from, Range& best, std::size_t& to) const;

  /// First rows to try for a range: the sender's first row, the receiver's first home row, and
  /// about the last possible row.
  [[nodiscard]] std::array<std::size_t, 3> Starts(std::size_t head,
                                                  std::size_t from,
                                                  std::size_t to,
                                                  double want) const;

  /// The sender's rows from `start` on whose load is nearest to `want`.
  [[nodiscard]] Range RangeFrom(std::size_t head,
                                std::size_t start,
                                std::size_t from,
                                double want) const;

  /// Rows of `from` for a part of about share.load, from `start` on and around the sequence. Rows
  /// at home on another rank of `sharers` come only if there are no others.
  [[nodiscard]] Rows PartFrom(std::size_t start,
                              bool forward,
                              std::size_t from,
                              std::size_t to,
                              const HeadShare& share,
                              const std::vector<char>& sharers) const;

  /// Finds the row of a split head that brings its two ranks nearest to the limit. Returns false if
  /// no row makes the heavier of the two lighter. requires to == from
  bool FindShared(std::size_t from, double limit, Range& best, std::size_t& to) const;

  /// Finds a single row that helps: the one nearest to `want`. A head that the receiver has a part
  /// of comes before others, which would be split once more.
  bool FindRow(std::size_t from, std::size_t to, double want, Range& best) const;

  /// Finds a row to move and rows of another head to move back. Differences of rows are finer than
  /// single rows, which are coarse for few dense heads.
  bool FindTrade(std::size_t from, std::size_t to, double want, Range& best, Range& back) const;

  /// Additional traffic of a move, in TrafficOf's units: twice a column for each K/V block that the
  /// receiver lacks (all columns without masks), twice a row (Q there, O back) for each row that
  /// leaves home, less twice a row for each that returns home.
  [[nodiscard]] std::int64_t AddedTraffic(const Range& range,
                                          std::size_t from,
                                          std::size_t to) const;
  [[nodiscard]] std::int64_t AddedTraffic(std::size_t head,
                                          std::span<const std::size_t> rows,
                                          std::size_t from,
                                          std::size_t to) const;

  void Move(const Range& range, std::size_t from, std::size_t to);
  void Move(std::size_t head, const Rows& rows, std::size_t from, std::size_t to);

  const RowLoads& loads_;
  const LayerMasks& masks_;
  std::span<const int> row_home_;
  std::size_t rows_;
  std::size_t ranks_;
  std::int64_t cols_;
  std::size_t words_;
  Matrix<std::uint64_t> away_;  ///< [rank][word] columns whose home is another rank
  std::vector<std::size_t> first_home_;  ///< [rank] first row at home there, 0 if there is none
  std::vector<std::size_t> last_home_;  ///< [rank] last row at home there
  RowOwners owner_;
  std::vector<std::int64_t> load_;  ///< [rank]
  Matrix<std::int64_t> held_;  ///< [head][rank] load
  MemoryCap memory_;
};

}  // namespace dbsp::planner
