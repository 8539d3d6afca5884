// SPDX-License-Identifier: Apache-2.0
// Which configurations a run measures, most valuable first. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "core/workload.h"

namespace dbsp::profiler {

/// Sizes of the suite "collectives", as nccl-tests has them.
struct SweepOptions {
  std::int64_t begin_bytes = 32 << 10;
  std::int64_t end_bytes = 32 << 20;
  double factor = 4;
  std::string transport = "threads";  ///< or "nccl"
  /// Hosts that so many successive ranks are on, and a ring of so many of U x R ranks, which are
  /// every U-th: hops are measured on both. Null: the same.
  std::function<int(int ranks)> nodes_of = [](int) { return 1; };
  std::function<int(int ranks)> ring_nodes_of = nullptr;
};

/// What the trials run on, as data.
struct SuiteTarget {
  DType dtype = DType::kF32;  ///< of Q, K, V in memory and on the wire
  /// Kernels, best first; a shape is measured with those that take it.
  std::vector<KernelVariant> kernels = {{.name = "cpu.block_sparse"}};
  /// Most operations of one attention call: 0.3 s at 33 GFLOP/s, what a slow core does. A constant,
  /// not a measured rate, so that the same command asks for the same trials.
  double most_operations = 1e10;
  /// Most (head, query block, key block) of one call: the time that drawing its lists may take.
  double most_cells = 1e12;
  /// Most device memory of one trial, DeviceBytes(); 0 = no limit.
  std::int64_t most_bytes = 0;
  std::string transport = "threads";  ///< of exchanges, "" = none are measured
  int sm_count = 0;  ///< of a GPU that attention and exchanges share; 0: there is nothing to share
};
/// The CPU and its default kernel.
[[nodiscard]] SuiteTarget CpuTarget();
/// A GPU of compute capability `arch` (90 = 9.0) of which `free_bytes` of memory are free.
/// transport  "nccl" where there is a GPU for every rank, else ""
[[nodiscard]] SuiteTarget GpuTarget(int arch, std::int64_t free_bytes, std::string transport);

struct SuiteOptions {
  std::string suite = "quick";  ///< "quick", "full", "collectives" or "overlap"
  int ranks = 8;  ///< exchanges go up to this many ranks; a plan has its own number
  SuiteTarget target = {};
  std::uint64_t seed = 1;
  /// Its shapes come first, at every U x R = ranks / cfg degree, for the degrees its passes allow.
  std::optional<Workload> workload = {};
  std::optional<Plan> plan = {};  ///< only what its strategies use is measured
  SweepOptions sweep = {};
};

/// Configurations with different keys. Order: the workload's (or plan's) shapes before the general
/// ones, and within both attention, exchange and local by turns, so that any beginning of the list
/// has some of each. Calls of a workload that would be long get fewer rows, then fewer heads: time
/// is linear in active blocks.
/// "collectives" is every exchange (even and uneven all-to-all, ring hop, all-gather,
/// reduce-scatter, grouped needed-only) at every size, between 2, 4, ... and all ranks.
/// "overlap" is attention while ranks exchange and exchanges while they attend
/// (profiler/suites/suite_overlap.h); quick and full hold the few that condition a plan.
/// errors  Error{kInvalidArgument} for an unknown suite, ranks < 1, a plan without cells, or a
///         workload or plan whose head_dim and blocks no kernel takes, naming what there is
[[nodiscard]] std::vector<TrialConfig> MakeSuite(const SuiteOptions& options);

/// One line for people: "attention 4 heads x 64, 32 x 32 blocks of 64x64, 30.0% uniform".
[[nodiscard]] std::string Describe(const TrialConfig& config);

}  // namespace dbsp::profiler
