// SPDX-License-Identifier: Apache-2.0
// What every rank computes and sends in one (step, layer), in the order it happens:
//
//   rounds "before"  pack -> exchange -> unpack   Q, K, V from home to where they are computed
//   ring steps       attention on the K/V at hand, beside the hop that fetches the next; merge
//   rounds "after"   pack -> exchange -> unpack   O back home
//
// Exchanges allgather and needed have no ring: one round before, in which a K/V block may go to
// several ranks, one attention step, one round after.
//
// With heads in chunks (planner/timeline/chunks.h) there is such a sequence per chunk, and they
// overlap.
//
// The amounts here and the lists in planner/timeline/schedule.h come from the same rule; a test
// holds them equal, and replay sends exactly the lists.
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

/// One attention call of one rank: the features a cost model may use.
struct AttentionWork {
  std::string kernel;  ///< variant name, "" = the device's default
  int head_dim = 128;
  BlockSize block;
  std::int64_t active_blocks = 0;  ///< (head, row, column) blocks computed
  std::int64_t active_pairs = 0;  ///< (query, key) token pairs of those blocks, tails exact
  std::int64_t active_rows = 0;  ///< (head, row) with at least one column here
  std::int64_t rows = 0;  ///< (head, row) present, empty ones included
  int heads = 0;  ///< heads present
};

/// bytes[src * ranks + dst], the diagonal (local copies) included.
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
  int steps = 1;  ///< ring steps; with chunks, whose attention is a step each, chunks; else 1
  int chunks = 1;  ///< with more than one there is no ring, and round c before brings chunk c
  std::vector<TrafficMatrix> rounds;  ///< before rounds, then after rounds
  /// [rounds][rank] ranks that exchange with each other, as a component number; a round's
  /// components run side by side.
  std::vector<std::vector<int>> component;
  std::vector<std::vector<AttentionWork>> attention;  ///< [steps][rank]
  std::vector<std::vector<std::int64_t>>
      merge_rows;  ///< [steps][rank] (head, query token) rows, 0 in step 0
  std::vector<std::vector<std::int64_t>>
      hop_bytes;  ///< [steps - 1][rank] K/V bytes received by rank for the next step
  std::vector<int> ring_next;  ///< [rank] rank it receives K/V from, -1 without a ring
  AttentionWork whole;  ///< the same layer as one call on one rank, for lower bounds
  /// Bytes that any placement on these ranks must move between ranks (all ranks together): for a
  /// active block whose row and column have different homes, either Q leaves home and O returns, or
  /// K and V leave theirs. A packing of such blocks, so never above the true minimum.
  std::int64_t must_move_bytes = 0;
  /// Most bytes any rank sends to others over the whole layer, hops included.
  [[nodiscard]] std::int64_t MaxBytesSent() const;
  [[nodiscard]] std::int64_t TotalBytesSent() const;
  /// Most bytes any rank sends to, or receives from, others over the whole layer.
  [[nodiscard]] std::int64_t MaxBytesOneWay() const;
};

/// Amounts of one layer. `must_move` is MustMoveBytes (planner/timeline/moved_bytes.h) where the
/// caller has it: it is the same for every placement, and a third of the work. requires masks,
/// partition and shape agree; ValidatePartition() is ok errors   Error{kInvalidArgument} when
/// they do not, or when a strategy cannot be expressed
[[nodiscard]] LayerVolumes BuildLayerVolumes(const AttentionShape& shape,
                                             const LayerMasks& masks,
                                             const Partition& partition,
                                             const Strategy& strategy,
                                             const HomeLayout& home,
                                             DType dtype,
                                             std::optional<std::int64_t> must_move = std::nullopt);

}  // namespace dbsp::planner
