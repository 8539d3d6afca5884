// SPDX-License-Identifier: Apache-2.0
// dbsp-workload predict: lists of single keys from dumped Q and K, as a workload.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "planner/workload/workload_tool.h"

namespace dbsp::predict {

struct PredictFlags {
  std::filesystem::path q;
  std::filesystem::path k;
  std::string q_name;
  std::string k_name;
  std::optional<std::string> axes;
  std::optional<std::int64_t> batch;
  std::string predictor;
  int queries = 128;
  int every = 1;  ///< lists are made at steps 0, every, 2 every ..
  double scale = 0;  ///< of the scores; 0 = 1 / sqrt(head dimension)
  int threads = 0;
  bool report = false;
  planner::MakeFlags shape;
};

/// Writes the lists beside the workload, then the workload, and prints a summary and, if asked, a
/// report.
/// errors  Error{kInvalidArgument, kMismatch, kCorruptInput} with flag, file and place; Error{kIo}
void PredictWorkload(const PredictFlags& flags);

/// The command for WorkloadMain().
[[nodiscard]] planner::WorkloadCommand PredictCommand();

}  // namespace dbsp::predict
