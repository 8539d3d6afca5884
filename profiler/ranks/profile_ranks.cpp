// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/profile_ranks.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/cli.h"
#include "core/error.h"
#include "profiler/duration.h"
#include "profiler/interrupt.h"
#include "profiler/ranks/check_exchanges.h"

namespace dbsp::profiler {

void AddRankFlags(CLI::App& app, RankFlags& flags) {
  app.add_flag("--processes",
               flags.processes,
               "Collectives, overlaps: start a process for each rank, on this host");
  app.add_option("--rendezvous",
                 flags.rendezvous,
                 "Under mpirun or srun: where ranks meet, host:port or file:PATH");
  app.add_option("--deadline",
                 flags.deadline,
                 "Longest wait for a rank, or for a trial of --tune-kernels past its time")
      ->capture_default_str();
  app.add_flag("--check", flags.check, "Collectives: whether values are right; takes no times");
  app.add_flag("--one-gpu",
               flags.one_gpu,
               "Collectives: --check with all ranks on device 0, through sockets");
}

bool HasSeveral(const RankFlags& flags) {
  const auto place = runtime::FindRankPlace();
  return flags.processes || (place && place->size > 1);
}

std::unique_ptr<LaunchedRank> RanksOf(const RankFlags& flags, const RankedRun& run) {
  const auto place = runtime::FindRankPlace();
  const bool several = HasSeveral(flags);
  if ((flags.check || flags.one_gpu) && !several) {
    Fail(ErrorCode::kInvalidArgument, "--check, --one-gpu: take --processes, mpirun or srun");
  }
  if (!run.measures || !several) return nullptr;
  if (!run.exchanges) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: only --suite collectives or overlap with --device cuda is measured between processes",
         flags.processes ? "--processes"
                         : fmt::format("{} started {} ranks", place->launcher, place->size));
  }
  CatchSigint();
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
    if (Interrupted()) DieBySigint();
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
