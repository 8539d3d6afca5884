// SPDX-License-Identifier: Apache-2.0
// Rank processes of dbsp-profile: the flags, and the work of rank 0 and of the other ranks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/launched_rank.h"

namespace CLI {
class App;
}

namespace dbsp::profiler {

struct RankFlags {
  bool processes = false;
  bool one_gpu = false;
  bool check = false;  ///< also set by one_gpu
  std::optional<std::string> rendezvous;
  std::string deadline = "60s";
};
void AddRankFlags(CLI::App& app, RankFlags& flags);

/// Whether ranks are processes, by flag or by launcher. errors as runtime::FindLauncherRank
[[nodiscard]] bool HasRankProcesses(const RankFlags& flags);

/// Properties of a run that decide whether it may have rank processes.
struct RankedRun {
  bool exchanges = false;  ///< --suite collectives or overlap with --device cuda
  bool measures = true;  ///< neither --list nor --dry-run
  int ranks = 8;
  bool ranks_given = false;
  std::optional<std::string> database;
  std::vector<std::string> argv;
};

/// Joins the other rank processes; null when there are none. Ctrl-C is caught from then on.
/// errors  as LaunchedRank::Start; Error{kInvalidArgument} when the run measures nothing between
///         processes
[[nodiscard]] std::unique_ptr<LaunchedRank> JoinRanks(const RankFlags& flags, const RankedRun& run);

/// Follows rank 0's orders on the other ranks, without output. returns the exit code
[[nodiscard]] int Follow(LaunchedRank& ranks, const NcclWorld& world);

/// --check on rank 0. returns the exit code
[[nodiscard]] int Check(const RankFlags& flags,
                        const LaunchedRank& ranks,
                        ExchangeLeader& leader,
                        const std::vector<TrialConfig>& suite,
                        bool json);

/// Why the rank processes cannot continue; nothing while they can, and without rank processes.
[[nodiscard]] std::optional<std::string> LostRank(const NcclWorld* world);

/// True when any rank was interrupted (SIGINT).
[[nodiscard]] bool InterruptedAnywhere(const NcclWorld* world);

}  // namespace dbsp::profiler
