// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/connected_ranks.h"

#include <memory>

#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

ConnectedRanks FindConnectedRanks(const AttentionShape& shape,
                                  const Partition& partition,
                                  const Strategy& strategy) {
  LayerMasks masks;
  masks.head.assign(
      shape.heads,
      std::make_shared<const BlockMask>(BlockMask::Full(shape.q_blocks(), shape.k_blocks())));
  const HomeLayout home = MakeHomeLayout(shape, partition.ranks);
  LayerVolumes work =
      BuildLayerVolumes(shape, masks, partition, strategy, home, DType::kBf16, /*must_move=*/0);
  ConnectedRanks connected{std::move(work.component), {}};
  for (int rank = 0; rank < work.ranks; ++rank) {
    connected.ring_size.push_back(static_cast<int>(work.RingOf(rank).size()));
  }
  return connected;
}

}  // namespace dbsp::planner
