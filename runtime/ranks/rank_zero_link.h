// SPDX-License-Identifier: Apache-2.0
// The connection of another rank to rank 0. Internal to runtime/.
#pragma once

#include <vector>

#include "runtime/ranks/group_options.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::runtime {

/// Joins rank 0's run. A program at rank 0's address that does not know the token is skipped.
/// ranks    receives every rank's process
/// returns  the connection to rank 0
/// errors   as ProcessGroup::Join
[[nodiscard]] LineChannel ConnectToRankZero(const GroupOptions& options,
                                            std::vector<RankProcess>& ranks);

}  // namespace dbsp::runtime
