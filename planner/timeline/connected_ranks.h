// SPDX-License-Identifier: Apache-2.0
// Which ranks exchange with each other under a strategy, for users that have no masks.
#pragma once

#include <vector>

#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp::planner {

struct ConnectedRanks {
  std::vector<std::vector<int>> component;  ///< [rounds][rank], as LayerVolumes::component
  std::vector<int> ring_size;  ///< [rank] ranks in its ring, 1 without a ring
};

/// Connected ranks if every block is active. With exchange `needed` the masks of a layer may
/// connect fewer ranks; with every other exchange they connect exactly these.
/// errors  Error{kInvalidArgument} as BuildLayerVolumes
[[nodiscard]] ConnectedRanks FindConnectedRanks(const AttentionShape& shape,
                                                const Partition& partition,
                                                const Strategy& strategy);

}  // namespace dbsp::planner
