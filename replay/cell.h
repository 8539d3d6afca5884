// SPDX-License-Identifier: Apache-2.0
// One (step, layer) ready to be run: masks, the lists of every rank, and the amounts that the
// lists must come to.
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
#include "replay/fill.h"

namespace dbsp::replay {

/// One pass: with a cfg degree above 1, what the pass group key.pass runs, ranks numbered in it.
struct Cell {
  AttentionShape shape;
  LayerMasks masks;  ///< in the order of tokens that runs
  LayerMasks given;  ///< in the order that the workload gives: what outputs are judged by
  Strategy strategy;
  HomeLayout home;
  planner::Schedule schedule;
  planner::LayerVolumes work;  ///< in bytes of dtype(): what runs here, whatever the plan's type
  FillKey key;

  /// Type of Q, K, V and O in this run: fp32 on a CPU, bf16 on a GPU.
  [[nodiscard]] DType dtype() const { return key.dtype; }
  [[nodiscard]] int ranks() const { return schedule.ranks; }
  /// Ranks of all pass groups, and the first one of this group as the plan numbers them.
  [[nodiscard]] int all_ranks() const { return ranks() * strategy.cfg_degree; }
  [[nodiscard]] int first_rank() const { return ranks() * key.pass; }
  /// Heads in chunks: round c before, step c and round c after are of chunk c.
  [[nodiscard]] bool chunked() const { return !schedule.chunk_of_head.empty(); }
  /// A ring turns: K/V are passed on and partial results merged.
  [[nodiscard]] bool turns() const { return schedule.steps > 1 && !chunked(); }
  [[nodiscard]] int rounds_before() const { return static_cast<int>(schedule.before.size()); }
  [[nodiscard]] int rounds() const {
    return static_cast<int>(schedule.before.size() + schedule.after.size());
  }
  /// Lists of a round, the rounds before attention first.
  [[nodiscard]] const planner::ExchangeRound& round(int index) const {
    return index < rounds_before() ? schedule.before[index]
                                   : schedule.after[index - rounds_before()];
  }
};

/// Builds lists and amounts; `key.dtype` is the type that runs. Masks are as the workload gives
/// them; partition and strategy are of tokens in the order of `layout`, in which the cell runs.
/// errors  Error{kMismatch} when masks, layout and shape disagree; as planner::BuildSchedule
/// otherwise
[[nodiscard]] Cell MakeCell(const AttentionShape& shape,
                            const LayerMasks& masks,
                            const Partition& partition,
                            const Strategy& strategy,
                            const FillKey& key,
                            const TokenLayout& layout = {"given", {}});

/// Bytes of buffers that all ranks of the cell hold together on a CPU: home Q, K, V, O, blocks, K/V
/// twice where a ring turns, send and receive buffers, partial results and lists.
[[nodiscard]] std::int64_t CellBytes(const Cell& cell);

/// Bytes a verification takes beside the cell's own: one head's K and V in fp64 per thread.
[[nodiscard]] std::int64_t ReferenceBytes(const AttentionShape& shape, int threads);

/// Bytes of home Q, K, V, O alone, known before masks and lists are made.
[[nodiscard]] std::int64_t HomeBytes(const AttentionShape& shape, DType dtype = DType::kF32);

/// Bytes this process may still take: MemAvailable of /proc/meminfo, less where a cgroup says so.
/// Absent where the system does not say.
[[nodiscard]] std::optional<std::int64_t> AvailableMemory();

/// errors  Error{kUnavailable} when `bytes` exceed `available`, saying how much is needed and how
///         to need less
void RequireMemory(std::int64_t bytes, std::optional<std::int64_t> available);

}  // namespace dbsp::replay
