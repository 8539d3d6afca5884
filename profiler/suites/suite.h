// SPDX-License-Identifier: Apache-2.0
// The configurations that a run measures, most valuable first. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/suites/suite_options.h"

namespace dbsp::profiler {

/// The configurations of a suite, without duplicates.
///   quick, full  shapes of the workload (or of the plan alone), then general shapes. Attention,
///                exchanges and local work alternate, so that a short run measures some of each. A
///                workload's call that would take too long gets fewer rows, then fewer heads: time
///                is linear in active blocks
///   gather       attention over lists of single keys with the target's kernels for them, dense
///                attention of the same size, list building and predictors (suite_gather.h); full
///                includes them
///   collectives  every exchange (even and uneven all-to-all, ring hop, all-gather, reduce-scatter,
///                needed-only) at every size, between 2 and every group of ranks
///   overlap      attention during exchanges and exchanges during attention (suite_overlap.h);
///                quick and full include the few overlaps that every plan needs
/// errors  Error{kInvalidArgument} for an unknown suite, ranks < 1, a plan without cells, or a
///         workload or plan whose head_dim and blocks no kernel takes; the message lists the
///         choices
[[nodiscard]] std::vector<TrialConfig> MakeSuite(const SuiteOptions& options);

/// One line of text: "attention 4 heads x 64, 32 x 32 blocks of 64x64, 30.0% uniform".
[[nodiscard]] std::string Describe(const TrialConfig& config);

}  // namespace dbsp::profiler
