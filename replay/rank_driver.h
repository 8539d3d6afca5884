// SPDX-License-Identifier: Apache-2.0
// The order of phases of one rank, for every transport in which ranks run concurrently.
// planner::Simulate computes the time of the same order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/strategy.h"
#include "replay/cell.h"

namespace dbsp::replay {

/// Operations of a transport for one rank. An exchange or hop may run concurrently with the phases
/// between its start and its finish.
class RankDriver {
 public:
  virtual ~RankDriver() = default;
  virtual void Pack(int round) = 0;
  virtual void StartExchange(int round) = 0;
  virtual void FinishExchange(int round) = 0;
  virtual void Unpack(int round) = 0;
  virtual void Attend(int step) = 0;
  virtual void Merge(int step) = 0;
  /// The hop that receives the K/V of `step` + 1; called only for a rank in a ring.
  virtual void StartHop(int step) = 0;
  virtual void FinishHop(int step) = 0;
};

/// Calls the phases of one rank. With chunks, exchange c + 1 runs during attention c, and results
/// are sent while later chunks are computed. Otherwise: the rounds before attention, the ring steps
/// with the next hop during each, the rounds after attention.
void DriveRank(const Cell& cell, bool in_ring, RankDriver& driver);

/// Times of one rank in one run, on the rank's own clock.
struct RankTrace {
  std::int64_t start_ns = 0;  ///< after the barrier at the start of the run
  std::vector<Segment> segments;  ///< start_ns is on the rank's clock
  std::vector<std::int64_t> hop_posted_ns;  ///< [steps - 1] time at which the hop's send was posted
};

/// One timeline of all ranks. An exchange starts when the last rank has arrived, a hop when both
/// ends are ready. Waiting for a slower rank is a gap, as in planner::Simulate. one_clock  true
/// when all ranks use the same clock; else every trace's start_ns is time 0
[[nodiscard]] Timeline Compose(const Cell& cell, std::span<const RankTrace> traces, bool one_clock);

}  // namespace dbsp::replay
