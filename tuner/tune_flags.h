// SPDX-License-Identifier: Apache-2.0
// The flags of dbsp-tune on its command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

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

/// Adds every flag to `app`, by groups. Parsing fills `flags`.
void AddTuneFlags(CLI::App& app, TuneFlags& flags);

/// errors  Error{kInvalidArgument} when flags contradict each other or a needed one is missing
void RequireSensible(const TuneFlags& flags);

}  // namespace dbsp::tuner
