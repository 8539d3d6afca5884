// SPDX-License-Identifier: Apache-2.0
#include "replay/work_check.h"

#include <fmt/format.h>

#include <string_view>

namespace dbsp::replay {
namespace {

/// Text of a difference; "" when `expected` and `found` are equal.
std::string Differs(
    int rank, std::string_view what, std::size_t index, std::int64_t expected, std::int64_t found) {
  if (expected == found) return {};
  return fmt::format(
      "rank {}: {} {}: expected {}, executed {}", rank, what, index, expected, found);
}

std::string RoundProblem(const Cell& cell, const Rank& rank) {
  const ExecutedWork& done = rank.executed();
  for (std::size_t r = 0; r < done.sent_bytes.size(); ++r) {
    const planner::TrafficMatrix& round = cell.volumes.rounds.at(r);
    const int at = rank.rank();
    const int name = cell.first_rank() + at;
    for (const std::string& problem :
         {Differs(name, "bytes packed in round", r, round.Packed(at), done.packed_bytes[r]),
          Differs(name, "bytes sent in round", r, round.Sent(at), done.sent_bytes[r]),
          Differs(
              name, "bytes unpacked in round", r, round.Unpacked(at), done.unpacked_bytes[r])}) {
      if (!problem.empty()) return problem;
    }
  }
  return {};
}

std::string StepProblem(const Cell& cell, const Rank& rank) {
  const ExecutedWork& done = rank.executed();
  const auto at = static_cast<std::size_t>(rank.rank());
  const int name = cell.first_rank() + rank.rank();
  for (std::size_t t = 0; t < done.active_blocks.size(); ++t) {
    const std::int64_t active = cell.volumes.attention.at(t).at(at).active_blocks;
    const std::int64_t merged = cell.volumes.merge_rows.at(t).at(at);
    for (const std::string& problem :
         {Differs(name, "blocks computed in ring step", t, active, done.active_blocks[t]),
          Differs(name, "rows merged in ring step", t, merged, done.merged_rows[t])}) {
      if (!problem.empty()) return problem;
    }
    if (t + 1 == done.active_blocks.size()) break;
    const std::int64_t hop = cell.volumes.hop_bytes.at(t).at(at);
    std::string problem = Differs(name, "bytes received in hop", t, hop, done.hop_bytes[t]);
    if (!problem.empty()) return problem;
  }
  return {};
}

}  // namespace

std::string WorkProblem(const Cell& cell, std::span<const Rank* const> ranks) {
  const auto rounds = static_cast<std::size_t>(cell.rounds());
  if (cell.volumes.rounds.size() != rounds || cell.volumes.steps != cell.schedule.steps) {
    return fmt::format("the schedule has {} rounds and {} ring steps, the volumes have {} and {}",
                       rounds,
                       cell.schedule.steps,
                       cell.volumes.rounds.size(),
                       cell.volumes.steps);
  }
  for (const Rank* rank : ranks) {
    std::string problem = RoundProblem(cell, *rank);
    if (problem.empty()) problem = StepProblem(cell, *rank);
    if (!problem.empty()) return problem;
  }
  return {};
}

std::string WorkProblem(const Cell& cell, std::span<const CpuRank> ranks) {
  return WorkProblem(cell, RanksOf(ranks));
}

}  // namespace dbsp::replay
