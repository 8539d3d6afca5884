// SPDX-License-Identifier: Apache-2.0
// Trials of fine-grained attention: gather kernels, and what a plan pays for their lists. Pure.
#pragma once

#include <vector>

#include "core/records.h"
#include "profiler/suites/suite_options.h"

namespace dbsp::profiler {

/// For 64 and 128 queries per list: single keys at random, runs of 8 and of 64, and lists of
/// growing length, at kept shares from 0.1 to 1, over two lengths of sequences; and dense attention
/// over blocks of as many queries and keys. A workload gives head_dim, heads and keys; else
/// head_dim is 128 (full: 64 too). Empty without a kernel for lists of keys.
[[nodiscard]] std::vector<TrialConfig> GatherCalls(const SuiteOptions& options);

/// GatherCalls() of the suite "gather".
/// errors  Error{kInvalidArgument} with a plan, and when the target has no kernel for the lists
[[nodiscard]] std::vector<TrialConfig> CheckedGatherCalls(const SuiteOptions& options);

/// Lists from bits at two kept shares, and FG-Attn's two predictors, for 64 and 128 queries per
/// list.
[[nodiscard]] std::vector<TrialConfig> ListCalls(const SuiteOptions& options);

}  // namespace dbsp::profiler
