// SPDX-License-Identifier: Apache-2.0
#include "replay/work_check.h"

#include <string_view>

namespace dbsp::replay {
namespace {

/// Ok when `expected` and `found` are equal.
Status CheckEqual(
    int rank, std::string_view what, std::size_t index, std::int64_t expected, std::int64_t found) {
  if (expected == found) return {};
  return Problem("rank {}: {} {}: expected {}, executed {}", rank, what, index, expected, found);
}

Status CheckRounds(const Cell& cell, const Rank& rank) {
  const ExecutedWork& done = rank.executed();
  for (std::size_t r = 0; r < done.sent_bytes.size(); ++r) {
    const planner::TrafficMatrix& round = cell.volumes.rounds.at(r);
    const int at = rank.rank();
    const int name = cell.first_rank() + at;
    for (const Status& equal :
         {CheckEqual(name, "bytes packed in round", r, round.Packed(at), done.packed_bytes[r]),
          CheckEqual(name, "bytes sent in round", r, round.Sent(at), done.sent_bytes[r]),
          CheckEqual(
              name, "bytes unpacked in round", r, round.Unpacked(at), done.unpacked_bytes[r])}) {
      if (!equal.ok()) return equal;
    }
  }
  return {};
}

Status CheckSteps(const Cell& cell, const Rank& rank) {
  const ExecutedWork& done = rank.executed();
  const auto at = static_cast<std::size_t>(rank.rank());
  const int name = cell.first_rank() + rank.rank();
  for (std::size_t t = 0; t < done.active_blocks.size(); ++t) {
    const std::int64_t active = cell.volumes.attention.at(t).at(at).active_blocks;
    const std::int64_t merged = cell.volumes.merge_rows.at(t).at(at);
    for (const Status& equal :
         {CheckEqual(name, "blocks computed in ring step", t, active, done.active_blocks[t]),
          CheckEqual(name, "rows merged in ring step", t, merged, done.merged_rows[t])}) {
      if (!equal.ok()) return equal;
    }
    if (t + 1 == done.active_blocks.size()) break;
    const std::int64_t hop = cell.volumes.hop_bytes.at(t).at(at);
    Status equal = CheckEqual(name, "bytes received in hop", t, hop, done.hop_bytes[t]);
    if (!equal.ok()) return equal;
  }
  return {};
}

}  // namespace

Status CheckWork(const Cell& cell, std::span<const Rank* const> ranks) {
  const auto rounds = static_cast<std::size_t>(cell.rounds());
  if (cell.volumes.rounds.size() != rounds || cell.volumes.steps != cell.schedule.steps) {
    return Problem("the schedule has {} rounds and {} ring steps, the volumes have {} and {}",
                   rounds,
                   cell.schedule.steps,
                   cell.volumes.rounds.size(),
                   cell.volumes.steps);
  }
  for (const Rank* rank : ranks) {
    Status work = CheckRounds(cell, *rank);
    if (work.ok()) work = CheckSteps(cell, *rank);
    if (!work.ok()) return work;
  }
  return {};
}

Status CheckWork(const Cell& cell, std::span<const CpuRank> ranks) {
  return CheckWork(cell, RanksOf(ranks));
}

}  // namespace dbsp::replay
