// SPDX-License-Identifier: Apache-2.0
// Measures the trials of a suite that are not in the database yet, and stores them one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "core/records.h"
#include "db/database.h"
#include "profiler/result.h"
#include "profiler/run_trial.h"

namespace dbsp::profiler {

/// Measures in order until the budget is spent: each trial may use twice its equal share of what is
/// left, so that what quick trials save goes to the later ones.
/// Every finished trial is stored at once, the environment with the first one: an idle run leaves
/// no trace. kernels  of the target: what the database learns of those that trials ran results
/// those to measure get their trial and status; interrupted or out of time: left out errors   as
/// Database
void MeasureAll(RunSettings settings,
                const Provenance& machine,
                const std::vector<KernelVariant>& kernels,
                db::Database& database,
                std::int64_t budget_ns,
                std::vector<Result>& results);

}  // namespace dbsp::profiler
