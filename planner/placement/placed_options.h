// SPDX-License-Identifier: Apache-2.0
// Options of family `placed`.
#pragma once

#include <cstdint>

namespace dbsp::planner {

class LayerCounts;

struct PlacedOptions {
  /// Rows move until the heaviest rank is at most this fraction above the mean, or until no row
  /// helps.
  double tolerance = 0.0015;
  /// A rank further above the mean than this fraction gives rows away even if that splits another
  /// head. Below it, rows move only between ranks that share a head already.
  double part_tolerance = 0.005;
  /// Placements that the first run of the search for less traffic evaluates
  /// (planner/placement/head_fill_search.h). 0 turns the search off.
  int traffic_scans = 1000;
  int traffic_runs = 4;  ///< largest number of runs of that search
  /// Cost of a row with an active block beside its blocks, in blocks (RowPrice). For MakePlaced.
  double row_price = 0;
  /// Load of one active block. It differs from 1 if loads contain the price of rows.
  double load_per_block = 1;
  /// Largest number of bytes on a rank between the rounds: Q and O of its rows, and K and V of the
  /// columns that those rows need. 0 means no limit. The limit comes before balance.
  std::int64_t memory_per_rank = 0;
  std::int64_t row_bytes = 0;  ///< Q and O of one row of one head
  std::int64_t column_bytes = 0;  ///< K and V of one column of one head
  /// Counts of the masks if the caller has them (planner/workload/layer_counts.h).
  const LayerCounts* counts = nullptr;
};

}  // namespace dbsp::planner
