// SPDX-License-Identifier: Apache-2.0
// The threads and the serial transport on a CPU. Both execute every kernel, pack, merge and copy,
// and the outputs stay in the ranks. They differ in how times are measured.
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

/// Called before each attention call of a rank, for tests and progress. An exception stops the run.
/// threads  the threads transport calls it concurrently from every rank's thread
using Observer = std::function<void(int rank, int step)>;

/// Number of discarded warm-up runs and of kept runs.
struct Repeats {
  int warmups = 1;
  int runs = 3;
  /// Barrier of pass groups that run concurrently; null for a single group. Rank 0 of every group
  /// waits at it before every run, and the other ranks of the group wait for rank 0.
  AbortableBarrier* barrier = nullptr;
};

/// The threads transport: one thread per rank, exchanges through runtime::Communicator, wall-clock
/// times of one clock. An exchange starts when the last rank has arrived, a hop when both ends are
/// ready. Waiting for a slower rank is a gap, as in planner::Simulate. The CPU communicator copies
/// a hop when the receiver waits for it, so hops do not overlap attention. returns  one timeline
/// per kept run
/// errors  Error{kMeasurement} "rank N: ..." when a rank fails; every rank has then stopped
[[nodiscard]] std::vector<Timeline> RunThreads(const Cell& cell,
                                               std::span<CpuRank> ranks,
                                               const Repeats& repeats,
                                               const Observer& observer);

/// The serial transport: one thread runs all ranks one after the other, phase by phase. Packs,
/// attention, merges and unpacks are timed. Data move between ranks by untimed copies. The times of
/// exchanges and hops are taken from `predicted`, the plan's segments, matched by rank, kind and
/// index; segments that move nothing need no prediction. Where the plan predicts that exchanges
/// slow attention down (Segment::alone_ns), the measured time of attention is multiplied by that
/// factor. planner::Simulate composes the timeline. returns  the timeline of every segment's median
/// over the kept runs. Ranks that run one after the
///          other are disturbed independently, and the slowest of many disturbed ranks in one
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
