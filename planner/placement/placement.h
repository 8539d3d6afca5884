// SPDX-License-Identifier: Apache-2.0
// A placement of rows under way: which rank has which rows of which head, and the moves that level
// the ranks. Used by planner/placement/placed.cpp alone, which holds the contract.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/head_fill.h"
#include "planner/placement/memory_cap.h"
#include "planner/placement/placed_options.h"
#include "planner/placement/row_owners.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {

/// keeps the loads, the masks and the rows' homes
class Placement {
 public:
  /// Whole heads on their ranks. shape head_owner[heads]; totals[heads], the loads' HeadTotals()
  Placement(const RowLoads& loads,
            const LayerMasks& masks,
            std::span<const int> row_home,
            std::span<const int> col_home,
            int ranks,
            const PlacedOptions& options,
            std::span<const int> head_owner,
            std::span<const std::int64_t> totals);

  /// Every row of the head to its home. requires the head whole
  void TakeHome(std::size_t head);

  /// Rows of split heads to the ranks that get a part of them, the smallest parts first: a rank's
  /// own rows first, then those beside them, the other sharers' own last; on the side that moves
  /// less.
  void Fill(std::vector<HeadShare> shares);

  /// Heads, or where none fits elsewhere ranges of their rows, from the fullest rank to others
  /// until all keep within the memory cap. errors Error{kNotFound} where they cannot
  void Relieve();

  /// Rows from the heaviest to the lightest rank until the heaviest is at most `limit`.
  void Level(double mean, double limit);

  /// The same by single rows of heads that both ranks have a part of, so that no part is added;
  /// ends where no such row helps.
  void LevelShared(double limit);

  [[nodiscard]] bool WithinMemory() const;
  [[nodiscard]] std::int64_t Heaviest() const;
  [[nodiscard]] const RowOwners& owner() const { return owner_; }
  [[nodiscard]] Partition Build() const;

 private:
  /// Rows [begin, end) of one head that would go from one rank to another.
  struct Range {
    std::size_t head = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int64_t load = 0;
    std::int64_t moved = 0;  ///< moved more than now, MovedMore()
  };

  /// Any rows of one head that would go from one rank to another.
  struct Rows {
    std::vector<std::size_t> rows;
    std::int64_t load = 0;
  };

  [[nodiscard]] int OwnerOf(std::size_t head, std::size_t row) const {
    return owner_.At(head, row);
  }

  /// The cheapest range whose load is `want` up to half a row; a head that has too little goes
  /// whole only where no head has enough.
  bool FindRange(std::size_t from, std::size_t to, double want, Range& best) const;

  [[nodiscard]] bool Fits(const Range& range, std::size_t from, std::size_t to) const;

  /// The sender's whole part of a head: the least that brings it within the cap, else the most.
  bool FindHead(std::size_t from, Range& best, std::size_t& to) const;

  /// Most of a head's first rows that fit anywhere.
  bool FindPart(std::size_t from, Range& best, std::size_t& to) const;

  /// First rows to try: where the receiver is at home, the first row and about the last possible.
  [[nodiscard]] std::array<std::size_t, 3> Starts(std::size_t head,
                                                  std::size_t from,
                                                  std::size_t to,
                                                  double want) const;

  /// The sender's rows from `start` on, ending where their load is nearest to `want`.
  [[nodiscard]] Range RangeFrom(std::size_t head,
                                std::size_t start,
                                std::size_t from,
                                double want) const;

  /// Rows of `from` for a part of about `want`: from `start` on, round the sequence; those at home
  /// on a rank of `sharers` other than `to` only when there are no others.
  [[nodiscard]] Rows PartFrom(std::size_t start,
                              bool forward,
                              std::size_t from,
                              std::size_t to,
                              const HeadShare& share,
                              const std::vector<char>& sharers) const;

  /// The row of a head that another rank has a part of, too, that brings both nearest to keeping
  /// within the limit; false where none makes the heavier of the two lighter. requires to == from
  bool FindShared(std::size_t from, double limit, Range& best, std::size_t& to) const;

  /// A single row of those that help: of a head the receiver has a part of before others, which
  /// would be split once more, then the nearest to `want`.
  bool FindRow(std::size_t from, std::size_t to, double want, Range& best) const;

  /// A row for rows of another head that come back: where single rows are coarse beside the mean,
  /// as with few heads of which some are dense, differences of rows are not.
  bool FindTrade(std::size_t from, std::size_t to, double want, Range& best, Range& back) const;

  /// What moves more: twice a column's weight for each K/V block that comes to the receiver (all
  /// columns where there are no masks), twice a row's (Q there, O back) for each that leaves home,
  /// less those that come home. Weights as TrafficOf's: a row cols, a column rows.
  [[nodiscard]] std::int64_t MovedMore(const Range& range, std::size_t from, std::size_t to) const;
  [[nodiscard]] std::int64_t MovedMore(std::size_t head,
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
  std::vector<std::uint64_t> away_;  ///< [rank][word]: columns whose home is another rank
  std::vector<std::size_t> first_home_;  ///< [rank] first row at home there, 0 where there is none
  std::vector<std::size_t> last_home_;  ///< [rank] last row at home there
  RowOwners owner_;
  std::vector<std::int64_t> load_;  ///< [rank]
  std::vector<std::int64_t> held_;  ///< [head][rank]
  MemoryCap memory_;
};

}  // namespace dbsp::planner
