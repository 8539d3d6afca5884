// SPDX-License-Identifier: Apache-2.0
// The flags of dbsp-profile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "profiler/ranks/profile_ranks.h"
#include "runtime/device.h"

namespace CLI {
class App;
}

namespace dbsp::profiler {

struct ProfileOptions {
  std::optional<std::string> db, budget, workload, refine;
  std::string device = "cpu", suite = "quick";
  std::vector<std::string> kernels;  ///< files of plugins
  std::string kernel;  ///< part of the names of the kernels to measure; "" selects all
  std::string exchange_clock = "device";  ///< or "host"
  std::string min_bytes = "32K", max_bytes = "32M";
  double step_factor = 4;
  int ranks = 8, nccl_ctas = 0;
  bool ranks_given = false;  ///< whether the user gave --ranks
  RankFlags rank_flags;
  std::uint64_t seed = 1;
  bool resume = true;
  bool dry_run = false, json = false, list = false, counters = false, tune_kernels = false;
};

/// Adds the flags in groups, and two examples at the end of --help.
void AddProfileFlags(CLI::App& app, ProfileOptions& options);

/// Whether the suite measures exchanges between GPUs or threads, alone or beside attention.
[[nodiscard]] bool IsExchangeSuite(const std::string& suite);

/// --budget, or the default of the suite and device.
[[nodiscard]] std::string BudgetOf(const ProfileOptions& options,
                                   const runtime::DeviceSpec& device);

/// Name under which trials are stored: the suite's, or "refine".
[[nodiscard]] std::string SuiteName(const ProfileOptions& options);

/// Whether the run measures exchanges between GPUs.
/// errors  Error{kInvalidArgument} for flags that contradict each other
[[nodiscard]] bool MeasuresGpuExchanges(const ProfileOptions& options,
                                        const runtime::DeviceSpec& device);

}  // namespace dbsp::profiler
