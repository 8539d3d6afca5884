// SPDX-License-Identifier: Apache-2.0
// A cell on all its pass groups. A group is a cell of its own with the Q, K and V of its pass; the
// groups exchange nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replay/runner.h"

namespace dbsp::replay {

/// `cell` as `group` runs it.
[[nodiscard]] Cell OfPassGroup(const Cell& cell, int group);

/// Runners of cells that run side by side, each with a communicator of its own.
class PassGroups {
 public:
  /// cells  of GroupsAtOnce() groups, in order; must outlive this
  /// errors as MakeRunner()
  PassGroups(std::span<const Cell> cells,
             const ExecutionTarget& on,
             bool verify,
             const VerifyOptions& limits,
             std::optional<std::int64_t> memory_limit);

  /// Fills and runs; once. returns [kept runs] one timeline of all these groups, ranks numbered in
  /// the plan; over serial one, of medians
  /// errors  those of the group that failed first, after all have ended
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

/// Adds a timeline of other ranks that ran at the same time.
void AddTimeline(Timeline timeline, Timeline& sum);

/// Adds what was found on another pass group: the largest errors, and the first problem.
void AddVerified(const VerifyResult& result, VerifyResult& sum);

}  // namespace dbsp::replay
