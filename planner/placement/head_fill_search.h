// SPDX-License-Identifier: Apache-2.0
// Search for the heads that stay whole and the heads that are split, such that the rank with the
// most traffic receives little. The search sees the loads of heads, not of rows.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "planner/placement/head_fill.h"

namespace dbsp::planner {

/// Places whole heads on ranks up to the load limit. The remaining heads are split: they fill the
/// ranks one after the other (McNaughton 1959). Both the ranks and the split heads have an order.
///
/// A move swaps two heads, swaps a head for the heaviest one that still fits, swaps two ranks or
/// two split heads in their order, or assigns a head to another rank. Most moves take a head from
/// the busiest rank. A move is kept if the busiest rank receives no more than before; early in a
/// run also if it receives slightly more (threshold accepting, Dueck and Scheuer 1990). The volume
/// that a rank receives follows ReceiveVolumeModel.
///
/// shape    totals[heads] active blocks; owner[heads] ranks to start from
/// done     receives the best placement of each run. The search stops when it returns true, or when
///          a run ends near ReceiveVolumeModel::SplitLowerBound.
/// requires limit * ranks >= the load of all heads, columns >= 1, ranks >= 1, owner in [0, ranks)
void SearchHeadFills(std::span<const std::int64_t> totals,
                     std::span<const int> owner,
                     int ranks,
                     const HeadFillOptions& options,
                     const std::function<bool(const HeadFill&)>& done);

}  // namespace dbsp::planner
