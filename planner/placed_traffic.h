// SPDX-License-Identifier: Apache-2.0
// What the ranks of a placement send and receive with exchange `needed`, without building its
// lists.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::planner {

struct PlacedTraffic {
  std::vector<std::int64_t> sent;  ///< [rank] to other ranks
  std::vector<std::int64_t> received;  ///< [rank] from other ranks
  [[nodiscard]] std::int64_t Busiest() const;
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
