// SPDX-License-Identifier: Apache-2.0
// What every rank computes and sends in one (step, layer), in the order of execution:
//
//   rounds before    pack -> exchange -> unpack   Q, K, V from home to the ranks that compute them
//   ring steps       attention on the K/V present, beside the hop that fetches the next; merge
//   rounds after     pack -> exchange -> unpack   O back home
//
// Exchanges allgather and needed have no ring: one round before, in which a K/V block may go to
// several ranks, one attention step, and one round after.
//
// With heads in chunks (planner/timeline/chunks.h) every chunk has such a sequence, and the
// sequences overlap.
//
// The volumes here and the lists in planner/timeline/schedule.h follow the same rule. A test holds
// them equal, and replay sends exactly the lists.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp::planner {

class LayerCounts;

/// One attention call of one rank: the features that a cost model may use.
struct AttentionWork {
  std::string kernel;  ///< variant name; "" is the device's default
  int head_dim = 128;
  BlockSize block;
  std::int64_t active_blocks = 0;  ///< computed (head, row, column) blocks
  std::int64_t active_pairs = 0;  ///< (query, key) token pairs of those blocks; short blocks exact
  std::int64_t active_rows = 0;  ///< (head, row) pairs with an active block in this call
  std::int64_t rows = 0;  ///< (head, row) pairs on the rank, with or without an active block
  int heads = 0;  ///< heads on the rank
};

/// bytes[src * ranks + dst]. The diagonal holds local copies.
struct TrafficMatrix {
  int ranks = 0;
  std::vector<std::int64_t> bytes;
  [[nodiscard]] std::int64_t At(int src, int dst) const {
    return bytes[static_cast<std::size_t>(src) * ranks + dst];
  }
  [[nodiscard]] std::int64_t Sent(int src) const;  ///< to other ranks
  [[nodiscard]] std::int64_t Received(int dst) const;  ///< from other ranks
  [[nodiscard]] std::int64_t Packed(int src) const;  ///< row sum, local copies included
  [[nodiscard]] std::int64_t Unpacked(int dst) const;  ///< column sum, local copies included
};

struct LayerVolumes {
  int ranks = 1;
  int rounds_before = 1;
  int steps = 1;  ///< ring steps; with chunks one step per chunk; else 1
  int chunks = 1;  ///< with several chunks there is no ring, and round c before brings chunk c
  std::vector<TrafficMatrix> rounds;  ///< rounds before, then rounds after
  /// [rounds][rank] number of the component of ranks that exchange with each other. Components of a
  /// round run at the same time. They are numbered in the order of their lowest ranks.
  std::vector<std::vector<int>> component;
  std::vector<std::vector<AttentionWork>> attention;  ///< [steps][rank]
  std::vector<std::vector<std::int64_t>>
      merge_rows;  ///< [steps][rank] (head, query token) rows, 0 in step 0
  std::vector<std::vector<std::int64_t>>
      hop_bytes;  ///< [steps - 1][rank] K/V bytes that the rank receives for the next step
  std::vector<int> ring_next;  ///< [rank] rank that sends it K/V; -1 without a ring
  AttentionWork whole;  ///< the same layer as one call on one rank, for lower bounds
  std::int64_t must_move_bytes = 0;  ///< MustMoveBytes (planner/timeline/moved_bytes.h)
  /// The rank and the ranks whose K/V reach it, in the order of the ring steps. Only the rank
  /// itself without a ring.
  [[nodiscard]] std::vector<int> RingOf(int rank) const;
  /// Most bytes any rank sends to others over the whole layer, hops included.
  [[nodiscard]] std::int64_t MaxBytesSent() const;
  [[nodiscard]] std::int64_t TotalBytesSent() const;
  /// Most bytes any rank sends to, or receives from, others over the whole layer.
  [[nodiscard]] std::int64_t MaxBytesOneWay() const;
};

/// Volumes of one layer.
/// must_move  MustMoveBytes, if the caller has it: it takes a third of the work and is the same for
///            every placement
/// counts     of the masks, if the caller has them: of the same layer, or of one that has its masks
/// errors     Error{kInvalidArgument} if masks, partition, strategy and shape do not agree, or if
///            the partition is not legal (ValidatePartition)
[[nodiscard]] LayerVolumes BuildLayerVolumes(const AttentionShape& shape,
                                             const LayerMasks& masks,
                                             const Partition& partition,
                                             const Strategy& strategy,
                                             const HomeLayout& home,
                                             DType dtype,
                                             std::optional<std::int64_t> must_move = std::nullopt,
                                             const LayerCounts* counts = nullptr);

}  // namespace dbsp::planner
