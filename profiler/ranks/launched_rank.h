// SPDX-License-Identifier: Apache-2.0
// This process of dbsp-profile as one of several rank processes, which mpirun, srun, torchrun or
// dbsp-profile itself started.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/exchange_leader.h"
#include "runtime/child_process.h"
#include "runtime/ranks/launcher_rank.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::profiler {

struct RankRunOptions {
  bool start = false;  ///< --processes: this process is rank 0 and starts the other ranks
  /// Puts all ranks on device 0 and makes NCCL treat each as a host of its own. It checks exchanges
  /// on a machine with one GPU, and takes no times.
  bool one_gpu = false;
  int ranks = 8;  ///< ranks to start; under a launcher the launcher's number counts
  bool ranks_given = false;  ///< whether the user gave --ranks
  std::optional<std::string> rendezvous = {};  ///< the --rendezvous flag
  /// Ranks without any other rendezvous use a file beside this database.
  std::optional<std::string> database = {};
  std::int64_t deadline_ns = 60'000'000'000;
  std::vector<std::string> argv;
  std::function<bool()> interrupted = [] { return false; };
};

/// owns     the processes that it started; they end with it
/// threads  the thread that made the object
class LaunchedRank {
 public:
  /// Joins the ranks of this run. Returns null when no launcher started this process and
  /// options.start is false.
  /// errors  as ProcessGroup::Join; Error{kInvalidArgument} when --ranks is not the launcher's
  ///         number, or for --processes under a launcher
  static std::unique_ptr<LaunchedRank> Start(RankRunOptions options);
  ~LaunchedRank();
  LaunchedRank(const LaunchedRank&) = delete;
  LaunchedRank& operator=(const LaunchedRank&) = delete;

  [[nodiscard]] int rank() const { return group_->rank(); }
  [[nodiscard]] int size() const { return group_->size(); }
  [[nodiscard]] const runtime::ProcessGroup& group() const { return *group_; }
  /// On rank 0: `world` with exchanges between these processes. The result must not outlive this
  /// object.
  [[nodiscard]] std::shared_ptr<const NcclWorld> Lead(const NcclWorld& world);
  /// On the other ranks: follows rank 0 until the end. errors as FollowRankZero
  void Follow(const NcclWorld& world);
  /// Adds "ranks" and "launcher", which are stored with every trial.
  void Describe(Provenance& machine) const;

 private:
  explicit LaunchedRank(RankRunOptions options) : options_(std::move(options)) {}
  void StartOthers(runtime::GroupOptions& group);
  [[nodiscard]] int Device(const NcclWorld& world) const;

  RankRunOptions options_;
  std::string launcher_ = "dbsp-profile --processes";
  std::vector<runtime::ChildProcess> others_;  ///< [rank - 1]
  std::unique_ptr<runtime::ProcessGroup> group_;
  std::shared_ptr<ExchangeLeader> leader_;
};

}  // namespace dbsp::profiler
