// SPDX-License-Identifier: Apache-2.0
// The serial transport: one device runs all ranks one after the other. SerialDevice is the
// interface that a device implements.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/strategy.h"
#include "planner/timeline/timeline.h"
#include "replay/rank.h"
#include "replay/transport.h"

namespace dbsp::replay {

/// Identifies the segment of a phase.
struct PhaseKey {
  SegmentKind kind = SegmentKind::kPack;
  int index = 0;
  int rank = 0;
};

/// Times phases and moves data between ranks. Operations may execute immediately or later, in
/// order. When Run() returns, all operations are complete and the times are written.
class SerialDevice {
 public:
  virtual ~SerialDevice() = default;
  /// Performs one run. `body` calls the functions below.
  virtual void Run(const std::function<void()>& body) = 0;
  /// Runs `phase` and writes its duration to `ns`; 0 when the phase returns false because it had no
  /// work. `ns` must outlive Run().
  virtual void Time(const PhaseKey& key, double& ns, const std::function<bool()>& phase) = 0;
  /// Copies bytes of rank `src`'s send buffer of a round into `dst`'s receive buffer; not timed.
  virtual void CopyRound(int round,
                         int src,
                         std::int64_t from_byte,
                         int dst,
                         std::int64_t to_byte,
                         std::int64_t bytes) = 0;
  /// Copies the K/V of `step` on rank `src` into those of `step` + 1 on `dst`; not timed.
  virtual void CopyHop(int step, int src, int dst) = 0;
};

/// Runs the cell once without keeping times.
void RunOnce(SerialDevice& device, const Cell& cell, std::span<Rank* const> ranks);

/// RunSerial of transport.h on `device`. The inputs of the ranks must have been generated.
[[nodiscard]] Timeline RunSerialOn(SerialDevice& device,
                                   const Cell& cell,
                                   std::span<Rank* const> ranks,
                                   std::span<const Segment> predicted,
                                   const Repeats& repeats,
                                   const Observer& observer);

}  // namespace dbsp::replay
