// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite_overlap.h"

#include <algorithm>
#include <set>

#include "core/group_sizes.h"
#include "core/plugin_facts.h"
#include "profiler/suites/suite_calls.h"

namespace dbsp::profiler {
namespace {

constexpr double kDensity = 0.3;
constexpr const char* kOps[] = {"alltoall", "hop"};
constexpr TimedSide kSides[] = {TimedSide::kAttention, TimedSide::kExchange};
/// SM margins, most valuable first. MagiAttention uses 4 to 8.
constexpr int kMargins[] = {0, 8, 16, 4};

/// Calls: one that takes about as long as the first exchange, and one eight times shorter.
struct Sizes {
  std::vector<AttentionConfig> calls;
  std::vector<std::int64_t> bytes;
};

bool Gpu(const SuiteOptions& options) { return options.target.dtype == DType::kBf16; }

/// Calls: one rank's heads over all rows, and over an eighth of them. Exchanges: Q, K and V of one
/// rank's tokens, a sixteenth of that and four times that.
Sizes OfWorkload(const SuiteOptions& options, const std::string& kernel) {
  const AttentionShape s = options.workload->shape();
  const int heads = (s.heads + options.ranks - 1) / options.ranks;
  const Draw draw{"uniform", kDensity, 1.0};
  const Call call{heads, s.q_blocks(), s.k_blocks()};
  const Call shorter{heads, std::max(1, s.q_blocks() / 8), s.k_blocks()};
  const std::int64_t home =
      std::int64_t{3} * s.tokens * heads * s.head_dim * BytesOf(options.target.dtype);
  const std::int64_t sent = std::max<std::int64_t>(home / options.ranks, 4096);
  return {{CallOf(options, kernel, s, call, draw), CallOf(options, kernel, s, shorter, draw)},
          {sent, sent / 16, 4 * sent}};
}

/// On a CPU two heads over 2048 keys and an exchange of 8 MB take milliseconds each. On a GPU 8
/// heads over 16384 keys and an exchange of 64 MB take tenths of a millisecond.
Sizes General(const SuiteOptions& options, const KernelVariant& kernel) {
  const bool gpu = Gpu(options);
  const int head_dim = kernel.head_dim.value_or(64);
  const BlockSize block{kernel.q_block.value_or(64), kernel.k_block.value_or(64)};
  const int keys = gpu ? 16384 : 2048;
  Sizes sizes;
  for (const int tokens : {keys, keys / 8}) {
    sizes.calls.push_back(AttentionOf(options,
                                      kernel.name,
                                      gpu ? 8 : 2,
                                      head_dim,
                                      block,
                                      tokens / block.q,
                                      keys / block.k,
                                      "uniform",
                                      kDensity));
  }
  const std::int64_t middle = gpu ? 64 << 20 : 8 << 20;
  sizes.bytes = {middle, middle / 16, 4 * middle};
  return sizes;
}

Sizes SizesOf(const SuiteOptions& options) {
  if (options.workload) {
    return OfWorkload(options,
                      KernelsFor(options.target, options.workload->shape(), "--workload").front());
  }
  return General(options, options.target.kernels.front());
}

void AddBoth(const SuiteOptions& options,
             const AttentionConfig& attention,
             std::int64_t bytes,
             int ranks,
             int margin,
             std::vector<TrialConfig>& suite) {
  for (const char* op : kOps) {
    for (const TimedSide timed : kSides) {
      suite.emplace_back(OverlapConfig{.attention = attention,
                                       .exchange = {.op = op,
                                                    .transport = *options.target.transport,
                                                    .ranks = ranks,
                                                    .bytes_per_rank = bytes / 4 * 4,
                                                    .nodes = options.sweep.nodes_of(ranks)},
                                       .sm_margin = margin,
                                       .timed = timed});
    }
  }
}

}  // namespace

std::vector<TrialConfig> OverlapSuite(const SuiteOptions& options) {
  const Sizes sizes = SizesOf(options);
  const std::set<int> sizes_of_groups = GroupSizes(options.ranks);
  const std::vector<int> counts(sizes_of_groups.rbegin(), sizes_of_groups.rend());
  std::vector<TrialConfig> suite;
  for (const int margin : kMargins) {
    // With half the SMs or more reserved, times say nothing about the whole device.
    if (margin > 0 && 2 * margin >= options.target.sm_count) continue;
    for (const std::int64_t bytes : sizes.bytes) {
      for (const AttentionConfig& call : sizes.calls) {
        for (const int ranks : counts) AddBoth(options, call, bytes, ranks, margin, suite);
      }
    }
  }
  return suite;
}

std::vector<TrialConfig> FewestOverlaps(const SuiteOptions& options) {
  std::vector<TrialConfig> suite;
  if (options.ranks < 2 || !options.target.transport) return suite;
  // Overlaps run in the tool's own process, which a plugin's kernel may end.
  SuiteOptions own = options;
  std::erase_if(own.target.kernels,
                [](const KernelVariant& kernel) { return !PluginNameOf(kernel.name).empty(); });
  if (own.target.kernels.empty()) return suite;
  const Sizes sizes = SizesOf(own);
  AddBoth(options, sizes.calls.front(), sizes.bytes.front(), options.ranks, 0, suite);
  return suite;
}

}  // namespace dbsp::profiler
