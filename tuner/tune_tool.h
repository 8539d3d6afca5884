// SPDX-License-Identifier: Apache-2.0
// dbsp-tune: searches a strategy for every (step, layer) of a workload and writes the plan.
// A part of the library, so that tests run the tool in their own process.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tuner/search.h"

namespace dbsp::tuner {

struct TuneFlags {
  std::filesystem::path workload;
  std::filesystem::path database;
  std::optional<std::string> device;  ///< value of --db-device
  std::string cluster;
  std::filesystem::path output;
  std::string families = "auto";
  std::string cfg_degrees = "auto";
  std::string steps;
  std::string layers;
  std::optional<std::string> kernel;
  std::vector<std::string> kernels;  ///< files of plugins
  std::string chunks = "1,2,4";
  std::string layout = "auto";
  int ranks = 0;  ///< 0 when the flag is absent
  int ranks_per_node = 0;  ///< 0 when the flag is absent
  int threads = 0;  ///< 0: one per core
  double dbsp_reward = 2;
  std::int64_t memory_per_rank = 0;  ///< bytes; 0 when the flag is absent
  double contract_tolerance = 0.05;
  double replan_us = 0;
  double rest_ms = -1;  ///< below 0 when the flag is absent
  double once_ms = 0;
  std::string skip_steps;
  bool compare = false;
  bool json = false;
  bool cells = false;
  bool plain = false;  ///< only baselines (core/baseline.h) and what is like them in other families
  bool force = false;
};

/// Parses "2-5" as [2, 6), "2" as [2, 3) and "" as [0, count).
/// errors  Error{kInvalidArgument} with `flag`, for text that is not a range within [0, count)
[[nodiscard]] IndexRange ParseRange(std::string_view text, int count, std::string_view flag);

/// Searches, writes the plan and prints the results. Returns the exit code.
/// errors  Error{kInvalidArgument} for flags that contradict each other or the workload
int RunTune(const TuneFlags& flags);

/// The tool's main(): flags, run, exit code. The plan file is written completely or not at all.
int TuneMain(int argc, const char* const* argv);

}  // namespace dbsp::tuner
