// SPDX-License-Identifier: Apache-2.0
// One (step, layer) of a plan, ready to run: masks, the schedule of every rank, and the volumes
// that the executed work must equal.
#pragma once

#include <cstdint>
#include <optional>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/plan.h"
#include "core/shape.h"
#include "core/strategy.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/schedule.h"
#include "replay/input_data.h"

namespace dbsp::replay {

/// One guidance pass of one (step, layer). With a cfg degree above 1 this is the part of pass group
/// key.pass, and ranks are numbered within the group.
struct Cell {
  AttentionShape shape;
  LayerMasks masks;  ///< tokens in the order of the plan's layout, which runs
  LayerMasks given;  ///< tokens in the workload's order; outputs are verified against these masks
  Strategy strategy;
  HomeLayout home;
  planner::Schedule schedule;
  planner::LayerVolumes volumes;  ///< bytes are those of dtype(), not of the plan's type
  InputKey key;

  /// Type of Q, K, V and O in this run: fp32 on a CPU, bf16 on a GPU.
  [[nodiscard]] DType dtype() const { return key.dtype; }
  [[nodiscard]] int ranks() const { return schedule.ranks; }
  /// Number of ranks of all pass groups.
  [[nodiscard]] int all_ranks() const { return ranks() * strategy.cfg_degree; }
  /// The plan's number of this group's first rank.
  [[nodiscard]] int first_rank() const { return ranks() * key.pass; }
  /// True when heads run in chunks: round c before attention, step c, and round c after attention
  /// belong to chunk c.
  [[nodiscard]] bool chunked() const { return !schedule.chunk_of_head.empty(); }
  /// True when ranks pass K/V on in a ring and merge partial results.
  [[nodiscard]] bool is_ring() const { return schedule.steps > 1 && !chunked(); }
  [[nodiscard]] int rounds_before() const { return static_cast<int>(schedule.before.size()); }
  [[nodiscard]] int rounds() const {
    return static_cast<int>(schedule.before.size() + schedule.after.size());
  }
  /// A round by index; the rounds before attention come first.
  [[nodiscard]] const planner::ExchangeRound& round(int index) const {
    return index < rounds_before() ? schedule.before[index]
                                   : schedule.after[index - rounds_before()];
  }
};

/// Builds schedule and volumes.
/// masks               tokens in the workload's order
/// partition, strategy tokens in the order of `layout`, in which the cell runs
/// key                 key.dtype is the type of Q, K, V and O in this run
/// errors  Error{kMismatch} when masks, layout and shape disagree; those of planner::BuildSchedule
[[nodiscard]] Cell MakeCell(const AttentionShape& shape,
                            const LayerMasks& masks,
                            const Partition& partition,
                            const Strategy& strategy,
                            const InputKey& key,
                            const TokenLayout& layout = {"given", {}});

/// Bytes of the buffers of all ranks of the cell together on a CPU: Q, K, V, O at home, blocks (K/V
/// twice in a ring), send and receive buffers, partial results and lists.
[[nodiscard]] std::int64_t CellBytes(const Cell& cell);

/// Additional bytes of a verification: one head's K and V in fp64 per thread.
[[nodiscard]] std::int64_t ReferenceBytes(const AttentionShape& shape, int threads);

/// Bytes of Q, K, V, O at home alone; needs no masks or schedule.
[[nodiscard]] std::int64_t HomeBytes(const AttentionShape& shape, DType dtype = DType::kF32);

/// Bytes this process can still allocate: MemAvailable of /proc/meminfo, or the rest of the
/// cgroup's limit where that is less. Absent where the system reports neither.
[[nodiscard]] std::optional<std::int64_t> AvailableMemory();

/// errors  Error{kUnavailable} when `bytes` exceed `available`; the message states both and how to
///         reduce the need
void RequireMemory(std::int64_t bytes, std::optional<std::int64_t> available);

}  // namespace dbsp::replay
