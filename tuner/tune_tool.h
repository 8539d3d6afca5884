// SPDX-License-Identifier: Apache-2.0
// dbsp-tune: what its flags say, and what they ask for.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tuner/search.h"

namespace dbsp::tuner {

struct TuneFlags {
  std::filesystem::path workload;
  std::filesystem::path database;
  std::string device;  ///< --db-device
  std::string cluster;
  std::filesystem::path output;
  std::string families = "auto";
  std::string cfg_degrees = "auto";
  std::string steps;
  std::string layers;
  std::string kernel;
  std::string chunks = "1,2,4";
  std::string layout = "auto";
  int ranks = 0;  ///< 0 = not given
  int ranks_per_node = 0;  ///< 0 = not given
  int threads = 0;  ///< 0 = one per core
  double dbsp_reward = 2;
  std::int64_t memory_per_rank = 0;  ///< bytes, 0 = not given
  double contract_tolerance = 0.05;
  double replan_us = 0;
  bool compare = false;
  bool json = false;
  bool cells = false;
  bool force = false;
};

/// "2-5" or "2" as [2, 6) or [2, 3); "" as [0, count).
/// errors  Error{kInvalidArgument} naming `flag`, for text that is no range or leaves [0, count)
[[nodiscard]] IndexRange ParseRange(std::string_view text, int count, std::string_view flag);

/// Runs the tool; argument errors are Error{kInvalidArgument}. returns the exit code
int RunTune(const TuneFlags& flags);

}  // namespace dbsp::tuner
