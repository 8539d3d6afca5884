// SPDX-License-Identifier: Apache-2.0
// Runs one cell on all its pass groups. Each group runs the cell with the Q, K and V of its
// guidance pass. Groups exchange no data with each other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replay/runner.h"

namespace dbsp::replay {

/// Copy of `cell` for pass group `group`.
[[nodiscard]] Cell OfPassGroup(const Cell& cell, int group);

/// Runs the cells of several pass groups at the same time. Each group has its own communicator.
class PassGroups {
 public:
  /// cells  of ConcurrentGroups() groups, in order; must outlive this
  /// errors those of MakeRunner()
  PassGroups(std::span<const Cell> cells,
             const ExecutionTarget& target,
             bool verify,
             const VerifyOptions& limits,
             std::optional<std::int64_t> memory_limit);

  /// Generates the inputs and runs. Call it once.
  /// returns one timeline per kept run over all these groups, with the plan's rank numbers; with
  /// the
  ///         serial transport a single timeline of medians
  /// errors  the error of the group that failed first, thrown after all groups have ended
  [[nodiscard]] std::vector<Timeline> Run(std::span<const Segment> predicted,
                                          const Repeats& repeats,
                                          const Observer& observer);
  [[nodiscard]] std::span<const std::unique_ptr<CellRunner>> runners() const { return runners_; }
  [[nodiscard]] std::int64_t memory_bytes() const;

 private:
  std::vector<std::vector<Timeline>> RunAll(std::span<const Segment> predicted,
                                            const Repeats& repeats,
                                            const Observer& observer);

  std::span<const Cell> cells_;
  std::vector<std::unique_ptr<CellRunner>> runners_;
};

/// Adds the timeline of other ranks that ran at the same time to `sum`.
void AddTimeline(Timeline timeline, Timeline& sum);

/// Adds the verification of another pass group to `sum`: keeps the largest errors and the first
/// problem.
void AddVerified(const VerifyResult& result, VerifyResult& sum);

}  // namespace dbsp::replay
