// SPDX-License-Identifier: Apache-2.0
// dbsp-profile --tune-kernels: shapes one after the other, their trials in worker processes, what
// was chosen into the database and onto the screen.
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
  std::string database = {};  ///< for words
  std::int64_t budget_ns = 60'000'000'000;
  std::int64_t patience_ns = 60'000'000'000;
  bool resume = true;
  bool dry_run = false;
  bool json = false;
};

/// Prints a line or an object per shape. Trials and choices of this device and build that
/// `database` holds are not made again; everything new is stored as it comes. A kernel that hung is
/// not tried on the shapes after, which would wait for it again. database  null for a dry run
/// without one returns   the exit code: 1 when a shape has no kernel that works
[[nodiscard]] int TuneKernels(const KernelTuning& tuning,
                              const Provenance& machine,
                              db::Database* database);

}  // namespace dbsp::profiler
