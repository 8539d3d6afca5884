// SPDX-License-Identifier: Apache-2.0
// dbsp-profile --tune-kernels: chooses a kernel for one shape after the other. Trials run in worker
// processes; trials and choices are stored in the database, and choices are printed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/records.h"
#include "db/database.h"
#include "profiler/tune_kernels.h"

namespace dbsp::profiler {

struct KernelTuning {
  std::vector<TuneShape> shapes = {};
  TuneTarget target = {};
  std::string device = "cpu";
  std::string program = "dbsp-profile";
  std::vector<std::string> plugins = {};  ///< as WorkerOptions::plugins
  std::string database = {};  ///< path, for messages
  std::int64_t budget_ns = 60'000'000'000;
  std::int64_t patience_ns = 60'000'000'000;
  bool resume = true;
  bool dry_run = false;
  bool json = false;
};

/// Chooses the kernels and prints one line or JSON object per shape. Trials and choices of this
/// device and build that are in `database` are reused, and new ones are stored at once. After a
/// kernel hangs, it is not tried on later shapes. database  null for a dry run without a database
/// returns   the exit code: 1 when no kernel works for some shape
[[nodiscard]] int TuneKernels(const KernelTuning& tuning,
                              const Provenance& machine,
                              db::Database* database);

}  // namespace dbsp::profiler
