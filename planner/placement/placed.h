// SPDX-License-Identifier: Apache-2.0
// Family `placed`: every head has its own parallel degree. Whole heads are spread first; where a
// rank is over the mean, a range of one head's query rows goes to a rank below it. Meant for the
// exchange `needed`: K/V blocks go only where a row needs them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {

struct PlacedOptions {
  /// Rows move until the heaviest rank is within this part of the mean, or no row helps.
  double tolerance = 0.0015;
  /// A rank above this part of the mean gets rid of rows even where that makes another part of a
  /// head; below it rows move between ranks that share a head already.
  double part_tolerance = 0.005;
  /// Placements that the first run of the search for less traffic looks at, and its runs at most
  /// (planner/placement/head_fill.h); 0 = it is left out.
  int traffic_scans = 1000;
  int traffic_runs = 4;
  /// What a row with an active block costs beside its blocks, in blocks (RowPrice), for MakePlaced.
  double row_price = 0;
  /// Load of an active block where rows weigh something too: how dense the loads' parts are.
  double load_per_block = 1;
  /// Bytes a rank may hold between the rounds, Q and O of its rows and K and V of the columns they
  /// keep; 0 = any number. Balance gives way to it.
  std::int64_t memory_per_rank = 0;
  std::int64_t row_bytes = 0;  ///< Q and O of a row of one head
  std::int64_t column_bytes = 0;  ///< K and V of a column of one head
};

/// Two placements, of which the one is taken whose busiest rank sends or receives less (TrafficOf).
/// By rows: whole heads by SearchHeadOwners with equal counts, then ranges of rows from the
/// heaviest
///          to the lightest rank, each bringing one of the two to the mean, the one that moves the
///          fewest blocks more first: K/V blocks it needs and the receiver has not, Q and O of rows
///          that are not at home.
/// By heads: heads that fetch less in parts at home than as a whole (NeedsOf) stay there; of the
///          others SearchHeadFills says which are whole and who has a part of the rest (McNaughton
///          1959: P - 1 splits would do). A part's rows are those at home on its rank and those
///          beside them; single rows of shared heads level what whole rows leave. Ranks may differ
///          by most of part_tolerance where masks are known and traffic stays above 1.1 of
///          ulysses'.
/// Contiguous heads within the tolerance stay as they are. Only the first is made where it gets no
/// more than 1.01 of an even share of ulysses' bytes to any rank. docs/design/0017 says why.
/// shape    row_home[rows], col_home[cols]: home rank of the blocks. masks: of the loads' shape, or
///          no head at all where only counts are known; then a range is taken to need every column
/// ensures  every (head, row) on one rank; the heaviest rank holds at most mean + one row, or
///          part_tolerance above the mean; never more than the heaviest rank of contiguous whole
///          heads (ulysses); all of it unless memory_per_rank stands in the way, which every rank
///          keeps
/// returns  a group per split head, and a group of one rank for the whole heads of each rank
/// errors   Error{kInvalidArgument} when ranks < 1 or the sizes do not agree; Error{kNotFound} when
///          no placement within memory_per_rank is found
[[nodiscard]] Partition PlaceHeads(const RowLoads& loads,
                                   const LayerMasks& masks,
                                   std::span<const int> row_home,
                                   std::span<const int> col_home,
                                   int ranks,
                                   const PlacedOptions& options = {});

/// The same from a layer's masks and home layout.
[[nodiscard]] Partition MakePlaced(const AttentionShape& shape,
                                   const LayerMasks& masks,
                                   const HomeLayout& home,
                                   const PlacedOptions& options = {});

}  // namespace dbsp::planner
