// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/profile_ranks.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/cli.h"
#include "core/error.h"
#include "core/stop_signals.h"
#include "profiler/duration.h"
#include "profiler/ranks/check_exchanges.h"

namespace dbsp::profiler {

void AddRankFlags(CLI::App& app, RankFlags& flags) {
  const std::string group = "Rank processes (suites collectives and overlap)";
  app.add_flag("--processes", flags.processes, "Start one process per rank on this host")
      ->group(group);
  app.add_option("--rendezvous",
                 flags.rendezvous,
                 "Under mpirun or srun: address of rank 0, host:port or file:PATH")
      ->group(group);
  app.add_option("--deadline",
                 flags.deadline,
                 "Longest wait for a rank; with --tune-kernels, for a trial past its budget")
      ->capture_default_str()
      ->group(group);
  app.add_flag("--check",
               flags.check,
               "Collectives: check the received values only, without measuring times")
      ->group(group);
  app.add_flag("--one-gpu",
               flags.one_gpu,
               "Collectives: --check with all ranks on device 0, connected through sockets")
      ->group(group);
}

bool HasRankProcesses(const RankFlags& flags) {
  const auto launched = runtime::FindLauncherRank();
  return flags.processes || (launched && launched->size > 1);
}

std::unique_ptr<LaunchedRank> JoinRanks(const RankFlags& flags, const RankedRun& run) {
  const auto launched = runtime::FindLauncherRank();
  const bool several = HasRankProcesses(flags);
  if ((flags.check || flags.one_gpu) && !several) {
    Fail(ErrorCode::kInvalidArgument,
         "--check and --one-gpu need rank processes: use --processes, mpirun or srun");
  }
  if (!run.measures || !several) return nullptr;
  if (!run.exchanges) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: only --suite collectives and overlap with --device cuda measure between processes",
         flags.processes ? "--processes"
                         : fmt::format("{} started {} ranks", launched->launcher, launched->size));
  }
  NoteSignals();
  try {
    return LaunchedRank::Start({.start = flags.processes,
                                .one_gpu = flags.one_gpu,
                                .ranks = run.ranks,
                                .ranks_given = run.ranks_given,
                                .rendezvous = flags.rendezvous,
                                .database = run.database,
                                .deadline_ns = ParseDurationNs(flags.deadline, "--deadline"),
                                .argv = run.argv,
                                .interrupted = Interrupted});
  } catch (const Error&) {
    if (Interrupted()) DieBySignal();
    throw;
  }
}

int Follow(LaunchedRank& ranks, const NcclWorld& world) {
  try {
    ranks.Follow(world);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("rank {}: {}", ranks.rank(), error.what()));
  }
  return 0;
}

int Check(const RankFlags& flags,
          const LaunchedRank& ranks,
          ExchangeLeader& leader,
          const std::vector<TrialConfig>& suite,
          bool json) {
  const auto checks = CheckExchanges(leader, suite, ranks.size());
  WriteStdout(json ? ChecksJson(checks, ranks.size(), flags.one_gpu) : ChecksText(checks));
  if (const auto lost = leader.lost()) Progress("stopped: " + *lost);
  if (leader.Interrupted()) NoteInterrupt();
  const bool right = !checks.empty() &&
                     std::all_of(checks.begin(), checks.end(), [](const CheckedExchange& check) {
                       return check.outcome == TrialOutcome::kOk;
                     });
  return right ? 0 : 1;
}

std::optional<std::string> LostRank(const NcclWorld* world) {
  return world != nullptr && world->processes ? world->processes->lost() : std::nullopt;
}

bool InterruptedAnywhere(const NcclWorld* world) {
  if (world != nullptr && world->processes && world->processes->Interrupted()) NoteInterrupt();
  return Interrupted();
}

}  // namespace dbsp::profiler
