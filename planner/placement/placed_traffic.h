// SPDX-License-Identifier: Apache-2.0
// What the ranks of a placement send and receive with exchange `needed`, without building its
// lists.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "planner/placement/row_owners.h"

namespace dbsp::planner {

struct PlacedTraffic {
  std::vector<std::int64_t> sent;  ///< [rank] to other ranks
  std::vector<std::int64_t> received;  ///< [rank] from other ranks
  [[nodiscard]] std::int64_t Busiest() const;
};

/// Counts placements of one layer's heads, each as TrafficOf does; what whole heads need is looked
/// up in the masks once. keeps  the masks and the homes
class TrafficCounter {
 public:
  /// shape row_home[rows], col_home[cols]; masks of that shape, or none
  TrafficCounter(const LayerMasks& masks,
                 std::span<const int> row_home,
                 std::span<const int> col_home,
                 int ranks);
  [[nodiscard]] PlacedTraffic Of(const RowOwners& owner);

 private:
  void AddWhole(std::size_t head, std::size_t rank, PlacedTraffic& traffic);
  void AddSplit(std::size_t head, std::span<const int> owner, PlacedTraffic& traffic);
  /// Columns of the head at home on each rank that its rows need. shape [ranks]
  std::span<const std::int64_t> WholeNeed(std::size_t head);
  void AddColumns(std::size_t rank,
                  std::span<const std::int64_t> columns,
                  PlacedTraffic& traffic) const;

  const LayerMasks& masks_;
  std::span<const int> row_home_;
  std::size_t ranks_;
  std::size_t cols_;
  std::size_t words_;
  std::vector<std::uint64_t> home_;  ///< [rank][word] columns at home there
  std::vector<std::int64_t> rows_at_;  ///< [rank] rows at home there
  std::vector<std::int64_t> cols_at_;  ///< [rank]
  std::vector<std::int64_t> whole_;  ///< [head][rank] WholeNeed, -1 where nobody asked
  std::vector<std::uint64_t> need_;  ///< [rank][word] columns of one head
  std::vector<std::int64_t> columns_;  ///< [rank]
};

/// Q to the rank of its row and O back, K/V of the columns that a rank's rows keep. A unit is one
/// head's Q, K, V or O of rows * cols blocks of a sequence of rows x cols blocks: a row weighs
/// `cols` and a column `rows`, so that block sizes do not matter; every block counts as a full one.
/// Where there are no masks every row is taken to need all columns.
/// shape    owner[head * rows + row], row_home[rows], col_home[cols]; masks of that shape, or none
[[nodiscard]] PlacedTraffic TrafficOf(std::span<const int> owner,
                                      const LayerMasks& masks,
                                      std::span<const int> row_home,
                                      std::span<const int> col_home,
                                      int ranks);

}  // namespace dbsp::planner
