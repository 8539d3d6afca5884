// SPDX-License-Identifier: Apache-2.0
// What a cost model is fitted for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "core/shape.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::tuner {

/// Which trials of a database a cost model uses, and the workload that it will price.
struct FitRequest {
  std::string database;  ///< name of the file, for messages
  /// Kind, name (or part of it) or UUID. The default is the device measured last.
  std::optional<std::string> device;
  std::optional<std::string> kernel;  ///< default: the one predicted fastest on `typical`
  /// Only kernels of plugins whose ids end with one of these hashes; empty: all kernels.
  std::vector<std::string> plugin_hashes;
  std::string plugin_files;  ///< names of their files, for messages
  std::vector<KernelVariant> kernels;  ///< the database's descriptions of kernels
  int head_dim = 128;
  BlockSize block;
  /// Attention call of the workload's size, to choose the fastest kernel: its heads, active_rows
  /// and active_blocks are used.
  planner::AttentionWork typical;
  bool allow_scaled = false;  ///< use another block size or rank count, with a wide interval
  /// Number of successive ranks that share a host; an exchange costs what was measured on as many
  /// hosts as its ranks are on. 0: what was measured on the fewest hosts.
  int ranks_per_node = 0;
  std::string profile_command;  ///< command that adds missing measurements, for messages
  std::optional<std::string> profile_without_ranks;  ///< the same without --ranks, if it is known
  int ranks = 0;  ///< of the plan, for messages
};

}  // namespace dbsp::tuner
