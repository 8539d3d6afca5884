// SPDX-License-Identifier: Apache-2.0
// Attention calls of a suite: which kernels take a shape, and how large a call of it may be on the
// target. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/records.h"
#include "core/shape.h"
#include "profiler/suites/suite.h"

namespace dbsp::profiler {

/// One call of a workload's shape; `share` of its rows, and fewer rows, then fewer heads, where it
/// would take too long.
struct Call {
  int heads = 1;
  int rows = 1;
  int cols = 1;
};
struct Draw {
  const char* pattern;
  double density;
  double share;
};

/// Names of the target's kernels that take a shape, best first.
/// what    asks, for the message: "--workload"
/// errors  Error{kInvalidArgument} when none does, naming what there is
[[nodiscard]] std::vector<std::string> KernelsFor(const SuiteTarget& target,
                                                  const AttentionShape& shape,
                                                  const std::string& what);

/// A call as it stands, rows and heads at least 1.
[[nodiscard]] AttentionConfig AttentionOf(const SuiteOptions& options,
                                          const std::string& kernel,
                                          int heads,
                                          int head_dim,
                                          BlockSize block,
                                          int q_blocks,
                                          int k_blocks,
                                          const std::string& pattern,
                                          double density);

/// A call with no more operations, cells and memory than the target allows: it loses rows, then
/// heads, and no columns, because time is linear in what a row keeps.
[[nodiscard]] AttentionConfig CallOf(const SuiteOptions& options,
                                     const std::string& kernel,
                                     const AttentionShape& shape,
                                     const Call& call,
                                     const Draw& draw);

/// Shapes that no workload asks for, on a GPU: 8 heads, 16384 keys. Quick: of every head_dim the
/// first kernel that takes blocks of 128x128, of 64x64 and single keys, at three densities; full:
/// all kernels, more densities, and more patterns for the first of their blocks. Kernels whose
/// blocks are tiles of dense attention are measured dense.
[[nodiscard]] std::vector<TrialConfig> GeneralGpuCalls(const SuiteOptions& options);

}  // namespace dbsp::profiler
