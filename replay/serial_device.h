// SPDX-License-Identifier: Apache-2.0
// The serial transport, and what it needs of the device that plays all ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/strategy.h"
#include "planner/timeline/timeline.h"
#include "replay/rank.h"
#include "replay/transport.h"

namespace dbsp::replay {

/// Which segment a phase is.
struct PhaseKey {
  SegmentKind kind = SegmentKind::kPack;
  int index = 0;
  int rank = 0;
};

/// Times phases and moves data between ranks. What it is given may run at once or later, in order;
/// when Run() returns, it has run and the times are there.
class SerialDevice {
 public:
  virtual ~SerialDevice() = default;
  /// One run: `program` calls the members below.
  virtual void Run(const std::function<void()>& program) = 0;
  /// Runs `phase` and writes to `ns` how long it took, 0 where the phase says that there was
  /// nothing to do: the cost of finding out is no segment. `ns` must outlive Run().
  virtual void Time(const PhaseKey& key, double& ns, const std::function<bool()>& phase) = 0;
  /// Copies words of rank `src`'s send buffer of a round into `dst`'s receive buffer; not timed.
  virtual void CopyRound(int round,
                         int src,
                         std::int64_t from_word,
                         int dst,
                         std::int64_t to_word,
                         std::int64_t words) = 0;
  /// Copies the K/V of `step` on rank `src` into those of `step` + 1 on `dst`; not timed.
  virtual void CopyHop(int step, int src, int dst, std::int64_t words) = 0;
};

/// One more run, whose times are not kept.
void PlayOnce(SerialDevice& device, const Cell& cell, std::span<Rank* const> ranks);

/// As RunSerial in transport.h, on `device`. Ranks are filled already.
[[nodiscard]] Timeline RunSerialOn(SerialDevice& device,
                                   const Cell& cell,
                                   std::span<Rank* const> ranks,
                                   std::span<const Segment> predicted,
                                   const Repeats& repeats,
                                   const Observer& observer);

}  // namespace dbsp::replay
