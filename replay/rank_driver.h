// SPDX-License-Identifier: Apache-2.0
// The order in which one rank does its part of a cell beside the other ranks, for every transport
// in which ranks run at the same time. planner::Simulate times the same program.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/strategy.h"
#include "replay/cell.h"

namespace dbsp::replay {

/// What a transport does for one rank. An exchange or hop that was started may run beside what
/// comes between its start and its finish.
class RankDriver {
 public:
  virtual ~RankDriver() = default;
  virtual void Pack(int round) = 0;
  virtual void StartExchange(int round) = 0;
  virtual void FinishExchange(int round) = 0;
  virtual void Unpack(int round) = 0;
  virtual void Attend(int step) = 0;
  virtual void Merge(int step) = 0;
  /// The hop that fetches the K/V of `step` + 1; only for a rank in a ring.
  virtual void StartHop(int step) = 0;
  virtual void FinishHop(int step) = 0;
};

/// Chunks: exchange c + 1 runs under attention c, and the results leave while later chunks are
/// computed. Otherwise: rounds, ring steps with the next hop beside them, rounds.
void RunSteps(const Cell& cell, bool in_ring, RankDriver& rank);

/// What one rank saw in one run, on a clock of the rank's own.
struct RankTrace {
  std::int64_t start_ns = 0;  ///< when all ranks had come together
  std::vector<Segment> segments;  ///< start_ns on the rank's clock
  std::vector<std::int64_t> hop_posted_ns;  ///< [steps - 1] when the hop's send was offered
};

/// One timeline of all ranks. An exchange counts from the moment the last rank arrived, a hop from
/// the moment both ends were ready: waiting for a slower rank shows as a gap, as in
/// planner::Simulate.
/// one_clock  the ranks' clocks are one; else each log's start is the common zero
[[nodiscard]] Timeline Compose(const Cell& cell, std::span<const RankTrace> logs, bool one_clock);

}  // namespace dbsp::replay
