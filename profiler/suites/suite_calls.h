// SPDX-License-Identifier: Apache-2.0
// Attention calls of a suite: the kernels that take a shape, and the largest call that the target
// allows. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/records.h"
#include "core/shape.h"
#include "profiler/suites/suite_options.h"

namespace dbsp::profiler {

/// Size of one attention call, in heads and blocks.
struct Call {
  int heads = 1;
  int rows = 1;
  int cols = 1;
};
/// How the active blocks of a call are drawn.
struct Draw {
  const char* pattern;
  double density;
  double share;  ///< of the call's rows
};

/// Names of the target's kernels that take a shape, best first. For blocks of one key these are the
/// kernels for lists of keys; other kernels only where there is none.
/// what    the flag that the message begins with: "--workload"
/// errors  Error{kInvalidArgument} when no kernel takes it; the message lists the choices
[[nodiscard]] std::vector<std::string> KernelsFor(const SuiteTarget& target,
                                                  const AttentionShape& shape,
                                                  const std::string& what);

/// The first kernel of the target that takes the shape; "" where none does.
[[nodiscard]] std::string FirstKernel(const SuiteTarget& target, int head_dim, BlockSize block);

/// The configuration of a call, with at least one row, column and head. With blocks of one key it
/// has the statistics of its lists for the step of the kernel.
[[nodiscard]] AttentionConfig AttentionOf(const SuiteOptions& options,
                                          const std::string& kernel,
                                          int heads,
                                          int head_dim,
                                          BlockSize block,
                                          int q_blocks,
                                          int k_blocks,
                                          const std::string& pattern,
                                          double density);

/// The configuration of a call within the target's limits of operations, cells and memory. A call
/// beyond them loses rows, then heads. It keeps its columns, because time is linear in the active
/// blocks of a row.
[[nodiscard]] AttentionConfig CallOf(const SuiteOptions& options,
                                     const std::string& kernel,
                                     const AttentionShape& shape,
                                     const Call& call,
                                     const Draw& draw);

/// General shapes for a GPU: 8 heads, 16384 keys.
///   quick  for every head_dim the first kernel with blocks of 128x128, of 64x64 and with single
///          keys, at three densities
///   full   all kernels at more densities; the first kernel of each block size with more patterns
/// Kernels whose blocks are tiles of dense attention are measured dense.
[[nodiscard]] std::vector<TrialConfig> GeneralGpuCalls(const SuiteOptions& options);

}  // namespace dbsp::profiler
