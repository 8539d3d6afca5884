// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite_gather.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "profiler/suites/suite_calls.h"

namespace dbsp::profiler {
namespace {

constexpr int kQueries[] = {64, 128};  ///< per list, as FG-Attn has them

/// Shapes that the suite measures.
struct GatherSizes {
  std::vector<int> head_dims;
  int heads = 2;
  int keys = 0;
  int most_rows = 16;  ///< query blocks per head; a GPU computes one on each multiprocessor
};

GatherSizes GatherSizesOf(const SuiteOptions& options) {
  const bool gpu = options.target.dtype == DType::kBf16;
  const int most_rows = gpu ? 128 : 16;
  if (options.workload) {
    const AttentionShape shape = options.workload->shape();
    return {{shape.head_dim}, std::min(shape.heads, 2), static_cast<int>(shape.tokens), most_rows};
  }
  return {options.suite == "full" ? std::vector{128, 64} : std::vector{128},
          gpu ? 8 : 2,
          gpu ? 16384 : 8192,
          most_rows};
}

/// How keys are drawn, the most valuable first: a fit needs different lengths of lists and runs.
std::vector<Draw> DrawsOf() {
  return {{"uniform", 0.3, 1.0},
          {"runs8", 0.3, 1.0},
          {"uniform", 0.6, 1.0},
          {"uniform", 0.1, 0.5},
          {"runs8", 0.6, 0.5},
          {"runs64", 0.3, 1.0},
          {"skewed", 0.3, 1.0},
          {"runs8", 0.1, 1.0},
          {"dense", 1.0, 0.5}};
}

void AddOf(const SuiteOptions& options,
           const GatherSizes& sizes,
           int head_dim,
           int queries,
           std::vector<TrialConfig>& calls) {
  AttentionShape shape;
  shape.head_dim = head_dim;
  shape.block = {queries, 1};
  const std::string kernel = FirstKernel(options.target, head_dim, shape.block);
  const std::string dense = FirstKernel(options.target, head_dim, {queries, queries});
  const int rows = std::clamp(sizes.keys / queries, 1, sizes.most_rows);
  for (const int keys : {sizes.keys, std::max(sizes.keys / 4, 1)}) {
    if (!dense.empty()) {
      AttentionShape blocks = shape;
      blocks.block = {queries, queries};
      calls.emplace_back(CallOf(options,
                                dense,
                                blocks,
                                {sizes.heads, rows, std::max(keys / queries, 1)},
                                {"dense", 1.0, 1.0}));
    }
    for (const Draw& draw : DrawsOf()) {
      // One head with as many lists separates the time of a head from that of a list.
      const bool few = keys != sizes.keys;
      calls.emplace_back(CallOf(
          options, kernel, shape, {few ? 1 : sizes.heads, few ? rows + 3 : rows, keys}, draw));
    }
  }
}

bool HasKeysKernel(const SuiteTarget& target, int head_dim, int queries) {
  return std::ranges::any_of(target.kernels, [&](const KernelVariant& kernel) {
    return kernel.list == "keys" && Fits(kernel, head_dim, {queries, 1});
  });
}

/// The target without kernels for blocks where a kernel for lists of keys takes the shape.
SuiteOptions WithKeysFirst(const SuiteOptions& options) {
  SuiteOptions sorted = options;
  std::ranges::stable_partition(sorted.target.kernels,
                                [](const KernelVariant& kernel) { return kernel.list == "keys"; });
  return sorted;
}

}  // namespace

std::vector<TrialConfig> GatherCalls(const SuiteOptions& options) {
  const GatherSizes sizes = GatherSizesOf(options);
  const SuiteOptions sorted = WithKeysFirst(options);
  std::vector<TrialConfig> calls;
  for (const int head_dim : sizes.head_dims) {
    for (const int queries : kQueries) {
      if (HasKeysKernel(options.target, head_dim, queries)) {
        AddOf(sorted, sizes, head_dim, queries, calls);
      }
    }
  }
  return calls;
}

std::vector<TrialConfig> CheckedGatherCalls(const SuiteOptions& options) {
  if (options.plan) {
    Fail(ErrorCode::kInvalidArgument, "--suite gather takes --workload, but not --refine");
  }
  std::vector<TrialConfig> calls = GatherCalls(options);
  if (calls.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "--suite gather: no kernel of this device takes lists of single keys with head_dim {}; "
         "leave out --kernel, or give a --workload of head_dim 64 or 128",
         GatherSizesOf(options).head_dims.front());
  }
  return calls;
}

std::vector<TrialConfig> ListCalls(const SuiteOptions& options) {
  // The list builders of a GPU are not measured yet.
  if (options.target.dtype == DType::kBf16) return {};
  const GatherSizes sizes = GatherSizesOf(options);
  std::vector<TrialConfig> calls;
  const auto add = [&](const char* op, int rows, int queries, int k_tokens, double share) {
    LocalConfig config{.op = op,
                       .amount = rows,
                       .head_dim = sizes.head_dims.front(),
                       .block = {queries, 1},
                       .lists = ListSize{.k_tokens = k_tokens}};
    if (share > 0) {
      config.lists->keys = std::llround(share * static_cast<double>(rows) * k_tokens);
    }
    calls.emplace_back(config);
  };
  for (const int k_tokens : {sizes.keys, std::max(sizes.keys / 4, 1)}) {
    for (const int queries : kQueries) {
      const int rows = std::max(k_tokens / queries, 1);
      add("key_lists", rows, queries, k_tokens, 0.3);
      add("key_lists", rows, queries, k_tokens, 0.6);
      add("top_cdf_keys", std::min(rows, 16), queries, k_tokens, 0);
      // Every query has a dot product with every key, so two rows take as long as attention.
      add("threshold_keys", std::min(rows, 2), queries, k_tokens, 0);
    }
  }
  return calls;
}

}  // namespace dbsp::profiler
