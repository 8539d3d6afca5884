// SPDX-License-Identifier: Apache-2.0
// Which attention calls and exchanges are measured at once. Pure.
#pragma once

#include <vector>

#include "core/records.h"
#include "profiler/suites/suite.h"

namespace dbsp::profiler {

/// All-to-alls and ring hops between 2, 4, ... and all ranks, from ones far shorter than attention
/// to ones far longer, either side timed, at every SM margin; of the workload's shape where there
/// is one. Most valuable first: all ranks, no margin, sizes that are about as long as attention.
/// requires options.ranks >= 2 and a transport
/// errors   Error{kInvalidArgument} as KernelsFor
[[nodiscard]] std::vector<TrialConfig> OverlapSuite(const SuiteOptions& options);

/// The four of them (two exchanges, either side timed) at all ranks that a plan needs at least.
/// Empty without ranks or a transport.
[[nodiscard]] std::vector<TrialConfig> FewestOverlaps(const SuiteOptions& options);

}  // namespace dbsp::profiler
