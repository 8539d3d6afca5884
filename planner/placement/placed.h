// SPDX-License-Identifier: Apache-2.0
// Family `placed`: every head has its own parallel degree. Most heads stay whole on one rank. A
// head whose rank would exceed the mean load is split by query rows. The family is made for the
// exchange `needed`, which sends a K/V block only to the ranks with a row that needs it.
#pragma once

#include <span>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "planner/placement/placed_options.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {

/// Makes two placements and returns the one whose busiest rank sends or receives less (TrafficOf).
///
/// By rows   SearchHeadOwners places whole heads with equal counts. Then ranges of rows move from
///           the heaviest rank to the lightest. Each range brings one of the two to the mean. Among
///           such ranges the one with the fewest additional moved blocks is taken first: K/V blocks
///           that the receiver lacks, and Q and O of rows away from home.
/// By heads  A head stays at home if its parts there fetch less than the whole head would
///           (NeedsOf). For the other heads SearchHeadFills says which are whole and which ranks
///           hold parts of the rest (McNaughton 1959: P - 1 splits suffice). A part consists of the
///           rows at home on its rank and of the rows beside them. Single rows of split heads then
///           even out the loads. If masks are known and traffic stays above 1.1 of ulysses', ranks
///           may differ by most of part_tolerance.
///
/// Contiguous whole heads within the tolerance are returned unchanged. The placement by heads is
/// not made if the one by rows gives every rank at most 1.01 of an even share of ulysses' bytes.
/// docs/design/0017 gives the reasons.
/// shape    row_home[rows], col_home[cols]: home rank of every block. masks: of the loads' shape,
///          or without heads if only counts are known. Without masks every range is taken to need
///          every column.
/// ensures  Every (head, row) lies on one rank. The heaviest rank holds at most the mean plus one
///          row, or the mean plus part_tolerance. It never holds more than the heaviest rank of
///          contiguous whole heads (ulysses). With memory_per_rank only the memory limit holds.
/// returns  one group per split head, and one group of one rank for the whole heads of each rank
/// errors   Error{kInvalidArgument} if ranks < 1 or the sizes do not agree; Error{kNotFound} if no
///          placement within memory_per_rank is found
[[nodiscard]] Partition PlaceHeads(const RowLoads& loads,
                                   const LayerMasks& masks,
                                   std::span<const int> row_home,
                                   std::span<const int> col_home,
                                   int ranks,
                                   const PlacedOptions& options = {});

/// PlaceHeads() for a layer's masks and home layout.
[[nodiscard]] Partition MakePlaced(const AttentionShape& shape,
                                   const LayerMasks& masks,
                                   const HomeLayout& home,
                                   const PlacedOptions& options = {});

}  // namespace dbsp::planner
