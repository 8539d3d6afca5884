// SPDX-License-Identifier: Apache-2.0
// Pairs of an attention call and an exchange that are measured at the same time. Pure.
#pragma once

#include <vector>

#include "core/records.h"
#include "profiler/suites/suite_options.h"

namespace dbsp::profiler {

/// All-to-alls and ring hops in groups of every size that the ranks have (core/group_sizes.h), from
/// far shorter than the attention call to far longer, at every SM margin, with either side timed.
/// Uses the workload's shape if there is one. The most valuable come first: all ranks, no margin,
/// an exchange about as long as the attention call. requires options.ranks >= 2 and a transport
/// errors   Error{kInvalidArgument} as KernelsFor
[[nodiscard]] std::vector<TrialConfig> OverlapSuite(const SuiteOptions& options);

/// The four overlaps that every plan needs: two exchanges between all ranks, with either side
/// timed. Empty with fewer than two ranks, without a transport, or when all
/// kernels are of plugins.
[[nodiscard]] std::vector<TrialConfig> FewestOverlaps(const SuiteOptions& options);

}  // namespace dbsp::profiler
