// SPDX-License-Identifier: Apache-2.0
// Bytes that the ranks of a placement send and receive with exchange `needed`, without building its
// lists.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/matrix.h"
#include "planner/placement/row_owners.h"

namespace dbsp::planner {

class LayerCounts;

struct PlacedTraffic {
  std::vector<std::int64_t> sent;  ///< [rank] sent to other ranks
  std::vector<std::int64_t> received;  ///< [rank] received from other ranks
  [[nodiscard]] std::int64_t Busiest() const;
};

/// Counts TrafficOf() for several placements of one layer. The needs of whole heads are read from
/// the masks once. keeps the masks and the homes
class TrafficCounter {
 public:
  /// shape row_home[rows], col_home[cols]; masks of that shape, or no head. `counts` are theirs if
  /// the caller has them.
  TrafficCounter(const LayerMasks& masks,
                 std::span<const int> row_home,
                 std::span<const int> col_home,
                 int ranks,
                 const LayerCounts* counts = nullptr);
  [[nodiscard]] PlacedTraffic Of(const RowOwners& owner);

 private:
  void AddWhole(std::size_t head, std::size_t rank, PlacedTraffic& traffic);
  void AddSplit(std::size_t head, std::span<const int> owner, PlacedTraffic& traffic);
  /// [rank] columns at home there that the head's rows need.
  std::span<const std::int64_t> WholeNeed(std::size_t head);
  void AddColumns(std::size_t rank,
                  std::span<const std::int64_t> columns,
                  PlacedTraffic& traffic) const;

  const LayerMasks& masks_;
  const LayerCounts* counts_;
  std::span<const int> row_home_;
  std::size_t ranks_;
  std::size_t cols_;
  std::size_t words_;
  Matrix<std::uint64_t> home_;  ///< [rank][word] columns at home there
  std::vector<std::int64_t> rows_at_;  ///< [rank] rows at home there
  std::vector<std::int64_t> cols_at_;  ///< [rank] columns at home there
  Matrix<std::int64_t> whole_;  ///< [head][rank] WholeNeed, -1 if not computed yet
  Matrix<std::uint64_t> need_;  ///< [rank][word] columns of one head
  std::vector<std::int64_t> columns_;  ///< [rank] scratch
};

/// Traffic of Q to the rank of its row, of O back, and of K/V of the columns that a rank's rows
/// need. One head's Q, K, V or O of the whole sequence counts rows * cols units: a row has `cols`
/// units and a column `rows`, so block sizes do not matter. Every block counts as a full one.
/// Without masks every row is taken to need all columns.
/// shape    owner[head * rows + row], row_home[rows], col_home[cols]; masks of that shape, or no
///          head
[[nodiscard]] PlacedTraffic TrafficOf(std::span<const int> owner,
                                      const LayerMasks& masks,
                                      std::span<const int> row_home,
                                      std::span<const int> col_home,
                                      int ranks);

}  // namespace dbsp::planner
