// SPDX-License-Identifier: Apache-2.0
// Two ways to drive a cell's ranks. Both run every kernel, pack, merge and copy between ranks for
// real and leave the outputs in the executors; they differ in what the clock says.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/plan.h"
#include "core/strategy.h"
#include "planner/timeline/timeline.h"
#include "replay/cpu_rank.h"

namespace dbsp::replay {

class AbortableBarrier;

/// Called before each attention call of a rank; throwing stops the run. For tests and progress.
/// threads  in the threads transport, concurrently from every rank's thread
using Observer = std::function<void(int rank, int step)>;

/// `warmups` runs that are thrown away, then `runs` that are kept.
struct Repeats {
  int warmups = 1;
  int runs = 3;
  /// Where pass groups run side by side: rank 0 of each meets the others before every run, while
  /// its own group waits for it.
  AbortableBarrier* gate = nullptr;
};

/// One thread per rank, exchanges through runtime::Communicator, wall-clock times of one common
/// clock. A round's exchange counts from the moment the last rank arrived, a hop from the moment
/// both ends were ready: waiting for a slower rank shows as a gap, as in planner::Simulate. The CPU
/// communicator copies a hop when the receiver waits for it, so hops do not hide under attention.
/// returns  one timeline per kept run
/// errors   Error{kMeasurement} "rank N: ..." when a rank fails; every rank has then stopped
[[nodiscard]] std::vector<Timeline> RunThreads(const Cell& cell,
                                               std::span<CpuRank> ranks,
                                               const Repeats& repeats,
                                               const Observer& observer);

/// One thread plays all ranks one after the other, phase by phase. Packs, attention, merges and
/// unpacks are timed; data go from rank to rank by untimed copies, and the time of exchanges and
/// hops is taken from `predicted` (a plan's segments, matched by rank, kind and index; segments
/// that move nothing need no prediction). Attention that the plan has slowed down by what runs
/// beside it (Segment::alone_ns) counts as much more than it took here, where nothing did.
/// planner::Simulate composes the timeline.
/// returns  the timeline of every segment's median over the kept runs: ranks that run one after
///          the other are disturbed independently, and the slowest of many disturbed ranks in one
///          run would be later than any undisturbed one
/// errors   Error{kMismatch} naming the segment when one that moves bytes has no prediction;
///          Error{kInternal} when two ranks disagree on what is exchanged;
///          Error{kMeasurement} "rank N: ..." when a rank fails
[[nodiscard]] Timeline RunSerial(const Cell& cell,
                                 std::span<CpuRank> ranks,
                                 std::span<const Segment> predicted,
                                 const Repeats& repeats,
                                 const Observer& observer);

/// Every segment's median over the runs.
/// requires at least one run, all of one layer
[[nodiscard]] planner::LayerDurations MedianDurations(
    const std::vector<planner::LayerDurations>& runs);

/// Index of the run whose makespan is nearest to the median. Of two at the same distance the
/// shorter run is taken. requires at least one run
[[nodiscard]] std::size_t MedianRun(std::span<const Timeline> runs);

}  // namespace dbsp::replay
