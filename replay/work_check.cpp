// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string_view>

#include "replay/rank.h"

namespace dbsp::replay {
namespace {

/// "" or what differs.
std::string Differs(
    int rank, std::string_view what, std::size_t index, std::int64_t expected, std::int64_t found) {
  if (expected == found) return {};
  return fmt::format(
      "rank {}: {} {}: the plan's amounts say {}, run {}", rank, what, index, expected, found);
}

std::string RoundProblem(const Cell& cell, const Rank& rank) {
  const ExecutedWork& done = rank.executed();
  for (std::size_t r = 0; r < done.sent_bytes.size(); ++r) {
    const planner::TrafficMatrix& round = cell.work.rounds.at(r);
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
    const std::int64_t kept = cell.work.attention.at(t).at(at).active_blocks;
    const std::int64_t merged = cell.work.merge_rows.at(t).at(at);
    for (const std::string& problem :
         {Differs(name, "blocks computed in ring step", t, kept, done.active_blocks[t]),
          Differs(name, "rows merged in ring step", t, merged, done.merged_rows[t])}) {
      if (!problem.empty()) return problem;
    }
    if (t + 1 == done.active_blocks.size()) break;
    const std::int64_t hop = cell.work.hop_bytes.at(t).at(at);
    std::string problem = Differs(name, "bytes received in hop", t, hop, done.hop_bytes[t]);
    if (!problem.empty()) return problem;
  }
  return {};
}

}  // namespace

std::string WorkProblem(const Cell& cell, std::span<const Rank* const> ranks) {
  const auto rounds = static_cast<std::size_t>(cell.rounds());
  if (cell.work.rounds.size() != rounds || cell.work.steps != cell.schedule.steps) {
    return fmt::format("lists have {} rounds and {} ring steps, amounts {} and {}",
                       rounds,
                       cell.schedule.steps,
                       cell.work.rounds.size(),
                       cell.work.steps);
  }
  for (const Rank* rank : ranks) {
    std::string problem = RoundProblem(cell, *rank);
    if (problem.empty()) problem = StepProblem(cell, *rank);
    if (!problem.empty()) return problem;
  }
  return {};
}

}  // namespace dbsp::replay
