// SPDX-License-Identifier: Apache-2.0
// dbsp-profile as one of several ranks that are processes: started by mpirun, srun or torchrun, or
// by dbsp-profile itself on one host.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/exchange_processes.h"
#include "runtime/child_process.h"
#include "runtime/ranks/launcher_rank.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::profiler {

struct RankRunOptions {
  bool start = false;  ///< --processes: this process is rank 0 and starts the others
  /// All ranks on device 0, each a host of its own to NCCL: to see that exchanges are right where
  /// there is one GPU. Never for times.
  bool one_gpu = false;
  int ranks = 8;  ///< to start; where a launcher started them, its number counts
  bool ranks_given = false;
  std::string rendezvous;  ///< "" for what the launcher says
  std::string database;  ///< ranks that were told of no place meet beside it
  std::int64_t deadline_ns = 60'000'000'000;
  std::vector<std::string> argv;
  std::function<bool()> interrupted = [] { return false; };
};

/// owns     the processes it started: they end with it
/// threads  the one that made it
class LaunchedRank {
 public:
  /// Nothing when this process is alone and is to start none.
  /// errors  as ProcessGroup::Join; Error{kInvalidArgument} for --ranks that are not the
  ///         launcher's, or --processes under one
  static std::unique_ptr<LaunchedRank> Start(RankRunOptions options);
  ~LaunchedRank();
  LaunchedRank(const LaunchedRank&) = delete;
  LaunchedRank& operator=(const LaunchedRank&) = delete;

  [[nodiscard]] int rank() const { return group_->rank(); }
  [[nodiscard]] int size() const { return group_->size(); }
  [[nodiscard]] const runtime::ProcessGroup& group() const { return *group_; }
  /// Rank 0's: `world` with its exchanges between these processes. It must not outlive this.
  [[nodiscard]] std::shared_ptr<const NcclWorld> Lead(const NcclWorld& world);
  /// Every other rank's part, from start to end. errors as FollowRankZero
  void Follow(const NcclWorld& world);
  /// What is stored of the ranks with every trial: "ranks", "launcher".
  void Describe(Provenance& machine) const;

 private:
  explicit LaunchedRank(RankRunOptions options) : options_(std::move(options)) {}
  void StartOthers(runtime::GroupOptions& group);
  [[nodiscard]] int Device(const NcclWorld& world) const;

  RankRunOptions options_;
  std::string launcher_ = "dbsp-profile --processes";
  std::vector<runtime::ChildProcess> others_;  ///< rank - 1
  std::unique_ptr<runtime::ProcessGroup> group_;
  std::shared_ptr<ExchangeLeader> leader_;
};

}  // namespace dbsp::profiler
