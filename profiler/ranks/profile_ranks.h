// SPDX-License-Identifier: Apache-2.0
// The part of dbsp-profile that knows of ranks that are processes: flags, and who does what.
#pragma once

#include <memory>
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
  std::string rendezvous;
  std::string deadline = "60s";
};
void AddRankFlags(CLI::App& app, RankFlags& flags);

/// Whether ranks are processes, by flag or launcher. errors as runtime::FindRankPlace
[[nodiscard]] bool HasSeveral(const RankFlags& flags);

/// What of a run decides whether it has ranks.
struct RankedRun {
  bool exchanges = false;  ///< --suite collectives --device cuda
  bool measures = true;  ///< neither --list nor --dry-run
  int ranks = 8;
  bool ranks_given = false;
  std::string database;
  std::vector<std::string> argv;
};

/// This process among others, or null when it is alone. Ctrl-C is caught from then on.
/// errors  as LaunchedRank::Start; Error{kInvalidArgument} where nothing is measured between
/// processes
[[nodiscard]] std::unique_ptr<LaunchedRank> RanksOf(const RankFlags& flags, const RankedRun& run);

/// What ranks other than 0 do: nothing of their own, and silently. returns the exit code
[[nodiscard]] int Follow(LaunchedRank& ranks, const NcclWorld& world);

/// Rank 0's --check. returns the exit code
[[nodiscard]] int Check(const RankFlags& flags,
                        const LaunchedRank& ranks,
                        ExchangeLeader& leader,
                        const std::vector<TrialConfig>& suite,
                        bool json);

/// Why ranks that are processes cannot go on; nothing where there are none.
[[nodiscard]] std::optional<std::string> LostRank(const NcclWorld* world);

/// The user's word on this rank or any other.
[[nodiscard]] bool InterruptedAnywhere(const NcclWorld* world);

}  // namespace dbsp::profiler
