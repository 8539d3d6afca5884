// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "profiler/ranks/exchange_leader.h"
#include "profiler/ranks/lockstep_sampler.h"
#include "profiler/ranks/overlap_rank.h"
#include "profiler/ranks/overlap_trial.h"

namespace dbsp::profiler {

Measurement MeasureOverlapOverNccl(const OverlapConfig& config,
                                   const NcclWorld& world,
                                   const MeasureLimits& limits,
                                   const std::function<bool()>& interrupted) {
  if (world.processes) return world.processes->MeasureOverlap(config, limits);
  const int ranks = config.exchange.ranks;
  if (ranks > world.devices) {
    Fail(ErrorCode::kUnavailable,
         "exchanges between {} ranks need one GPU per rank; there are {}",
         ranks,
         world.devices);
  }
  LockstepSampler sampler(ranks, limits, interrupted);
  std::vector<std::unique_ptr<OverlapRank>> overlap_ranks(ranks);
  const auto queue_of = [&](int rank) {
    auto& mine = overlap_ranks[rank];
    mine = OpenOverlapRank(config, rank, rank);
    return mine->Queue();
  };
  runtime::RunNcclRanks(
      ranks, OverlapOptions(world.options, config), queue_of, [&](runtime::NcclCommunicator& comm) {
        OverlapRank& rank = *overlap_ranks[comm.rank()];
        rank.WarmUp(comm);
        sampler.Run(
            comm.rank(),
            [&] { comm.Barrier(); },
            {[&] { return rank.Alone(comm); }, [&](int n) { return rank.Beside(comm, n); }});
        if (const auto wrong = rank.Wrong()) throw WrongResult(*wrong);
      });
  return std::move(sampler).result();
}

}  // namespace dbsp::profiler
