// SPDX-License-Identifier: Apache-2.0
// Measures a suite into a database, trial by trial.
#pragma once

#include <cstdint>
#include <vector>

#include "core/records.h"
#include "db/database.h"
#include "profiler/result.h"
#include "profiler/run_trial.h"
#include "profiler/trial_worker.h"

namespace dbsp::profiler {

/// Measures the results with status kToMeasure in order until the budget is spent. Each trial may
/// use twice its equal share of the remaining time, so that later trials get the time that quick
/// ones save. Every finished trial is stored at once, and the environment together with the first
/// one.
/// kernels  kernels of the target; those that trials ran are stored
/// worker   runs the attention of plugins' kernels, so that a crash or a hang ends only the worker.
///          After a hang, further trials of that kernel fail without a run
/// results  get a trial and a status; kLeftOut after an interrupt or without time
/// errors   as Database
void MeasureAll(RunSettings settings,
                const Provenance& machine,
                const std::vector<KernelVariant>& kernels,
                db::Database& database,
                std::int64_t budget_ns,
                TrialWorker& worker,
                std::vector<Result>& results);

}  // namespace dbsp::profiler
