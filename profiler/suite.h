// SPDX-License-Identifier: Apache-2.0
// Which configurations a run measures, most valuable first. Pure.
#pragma once

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
};

struct SuiteOptions {
  std::string suite = "quick";  ///< "quick", "full" or "collectives"
  int ranks = 8;  ///< exchanges go up to this many ranks; a plan has its own number
  std::string kernel = "cpu.block_sparse";
  std::uint64_t seed = 1;
  std::optional<Workload> workload = {};  ///< its shapes at every U x R = ranks come first
  std::optional<Plan> plan = {};  ///< only what its strategies use is measured
  SweepOptions sweep = {};
};

/// Configurations with different keys. Order: the workload's (or plan's) shapes before the general
/// ones, and within both attention, exchange and local by turns, so that any beginning of the list
/// has some of each. Calls of a workload that would be long get fewer rows, then fewer heads: time
/// is linear in kept blocks.
/// "collectives" is every exchange (even and uneven all-to-all, ring hop, all-gather,
/// reduce-scatter, grouped needed-only) at every size, between 2, 4, ... and all ranks.
/// errors  Error{kInvalidArgument} for an unknown suite, ranks < 1 or a plan without cells
[[nodiscard]] std::vector<TrialConfig> MakeSuite(const SuiteOptions& options);

/// One line for people: "attention 4 heads x 64, 32 x 32 blocks of 64x64, 30.0% uniform".
[[nodiscard]] std::string Describe(const TrialConfig& config);

}  // namespace dbsp::profiler
