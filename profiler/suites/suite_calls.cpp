// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite_calls.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "core/error.h"
#include "kernels/attention.h"
#include "profiler/gpu/device_bytes.h"
#include "profiler/suites/pattern.h"

namespace dbsp::profiler {
namespace {

/// Keys that the kernel computes together.
int StepOf(const SuiteTarget& target, const std::string& kernel) {
  for (const KernelVariant& one : target.kernels) {
    if (one.name == kernel) return one.tile_n.value_or(kernels::kCpuStepKeys);
  }
  return kernels::kCpuStepKeys;
}

/// Rows that a call keeps before it loses heads.
constexpr int kFewestRows = 4;

/// The same call with fewer rows, then fewer heads, until it fits the target's memory.
AttentionConfig Fitted(const SuiteTarget& target, AttentionConfig config, double density) {
  const auto fits = [&] { return !target.most_bytes || DeviceBytes(config) <= *target.most_bytes; };
  while (!fits() && (config.q_blocks > kFewestRows || config.heads > 1)) {
    int& size = config.q_blocks > kFewestRows ? config.q_blocks : config.heads;
    size = std::max(size / 2, &size == &config.heads ? 1 : kFewestRows);
    config = WithDensity(config, density);
  }
  return config;
}

/// "128x128 of 128, 128x64 of 128, ...": the blocks and head_dim that the kernels take.
std::string BlocksTaken(const SuiteTarget& target) {
  std::set<std::string> taken;
  for (const KernelVariant& k : target.kernels) {
    if (!k.head_dim || !k.q_block || !k.k_block) continue;
    taken.insert(fmt::format("{}x{} of {}", *k.q_block, *k.k_block, *k.head_dim));
  }
  return fmt::format("{}", fmt::join(taken, ", "));
}

/// Adds a call of a kernel over one key sequence, with few enough rows and heads for the target.
void AddGpuCall(const SuiteOptions& options,
                const KernelVariant& kernel,
                int tokens,
                const char* pattern,
                double density,
                std::vector<TrialConfig>& calls) {
  constexpr int kHeads = 8;
  constexpr int kKeys = 16384;
  AttentionShape shape;
  shape.head_dim = *kernel.head_dim;
  shape.block = {*kernel.q_block, *kernel.k_block};
  const Call call{kHeads, tokens / shape.block.q, kKeys / shape.block.k};
  calls.emplace_back(CallOf(
      options, kernel.name, shape, call, {density == 1.0 ? "dense" : pattern, density, 1.0}));
}

}  // namespace

std::string FirstKernel(const SuiteTarget& target, int head_dim, BlockSize block) {
  for (const KernelVariant& kernel : target.kernels) {
    if (Fits(kernel, head_dim, block)) return kernel.name;
  }
  return "";
}

std::vector<std::string> KernelsFor(const SuiteTarget& target,
                                    const AttentionShape& shape,
                                    const std::string& what) {
  std::vector<std::string> names;
  std::vector<std::string> of_keys;
  for (const KernelVariant& kernel : target.kernels) {
    if (!Fits(kernel, shape.head_dim, shape.block)) continue;
    (shape.block.k == 1 && kernel.list == "keys" ? of_keys : names).push_back(kernel.name);
  }
  if (!of_keys.empty()) return of_keys;
  if (names.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: no kernel of this device takes blocks of {}x{} and head_dim {}; the kernels take {}",
         what,
         shape.block.q,
         shape.block.k,
         shape.head_dim,
         BlocksTaken(target));
  }
  return names;
}

AttentionConfig AttentionOf(const SuiteOptions& options,
                            const std::string& kernel,
                            int heads,
                            int head_dim,
                            BlockSize block,
                            int q_blocks,
                            int k_blocks,
                            const std::string& pattern,
                            double density) {
  AttentionConfig config;
  config.kernel = kernel;
  config.dtype = options.target.dtype;
  config.heads = std::max(heads, 1);
  config.head_dim = head_dim;
  config.block = block;
  config.q_blocks = std::max(q_blocks, 1);
  config.k_blocks = std::max(k_blocks, 1);
  config.pattern = pattern;
  config.seed = options.seed;
  if (block.k == 1) config.lists = ListStatistics{.step = StepOf(options.target, kernel)};
  return WithDensity(config, density);
}

AttentionConfig CallOf(const SuiteOptions& options,
                       const std::string& kernel,
                       const AttentionShape& s,
                       const Call& call,
                       const Draw& draw) {
  const double row_operations =
      4.0 * s.block.q * s.block.k * s.head_dim * draw.density * std::max(call.cols, 1);
  const double affordable = std::max(1.0,
                                     std::min(options.target.most_operations / row_operations,
                                              options.target.most_cells / std::max(call.cols, 1)));
  const int heads =
      std::clamp(static_cast<int>(affordable / kFewestRows), 1, std::max(call.heads, 1));
  const int wanted = std::max(1, static_cast<int>(std::ceil(call.rows * draw.share)));
  const int rows = static_cast<int>(std::min<double>(wanted, affordable / heads));
  return Fitted(
      options.target,
      AttentionOf(
          options, kernel, heads, s.head_dim, s.block, rows, call.cols, draw.pattern, draw.density),
      draw.density);
}

std::vector<TrialConfig> GeneralGpuCalls(const SuiteOptions& options) {
  const bool full = options.suite == "full";
  std::vector<TrialConfig> calls;
  std::set<std::tuple<int, int, int>> seen;  // head_dim and blocks
  for (const KernelVariant& kernel : options.target.kernels) {
    if (!kernel.head_dim || !kernel.q_block || !kernel.k_block) continue;
    const int q = *kernel.q_block;
    const int k = *kernel.k_block;
    const bool first = seen.insert({*kernel.head_dim, q, k}).second;
    const bool dense = q > 128 || k > 128;
    const bool common = (q == 128 && (k == 128 || k == 1)) || (q == 64 && k == 64);
    if (!full && !(first && (common || dense))) continue;
    if (dense) {
      for (const int tokens : {16384, 32768}) {
        AddGpuCall(options, kernel, tokens, "dense", 1.0, calls);
      }
      continue;
    }
    const std::vector<double> densities = !full   ? std::vector{1.0, 0.25, 0.05}
                                          : first ? std::vector{1.0, 0.5, 0.35, 0.2, 0.1, 0.05}
                                                  : std::vector{1.0, 0.5, 0.2, 0.05};
    for (const double density : densities) {
      for (const int tokens : {4096, 16384}) {
        AddGpuCall(options, kernel, tokens, "uniform", density, calls);
        if (!full || !first || density > 0.35) continue;
        for (const char* pattern : {"skewed", "band"}) {
          AddGpuCall(options, kernel, tokens, pattern, density, calls);
        }
      }
    }
  }
  return calls;
}

}  // namespace dbsp::profiler
