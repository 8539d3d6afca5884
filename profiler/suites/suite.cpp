// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/group_sizes.h"
#include "core/suggest.h"
#include "profiler/gpu/device_bytes.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/suites/pattern.h"
#include "profiler/suites/plan_volumes.h"
#include "profiler/suites/suite_calls.h"
#include "profiler/suites/suite_gather.h"
#include "profiler/suites/suite_overlap.h"

namespace dbsp::profiler {
namespace {

/// Configurations of equal priority, by category: attention, exchanges, local work, overlaps.
using Level = std::array<std::vector<TrialConfig>, 4>;

void AddExchange(const SuiteTarget& target,
                 Level& level,
                 const char* op,
                 int ranks,
                 std::int64_t bytes,
                 double unevenness = 1.0) {
  if (ranks < 2 || bytes < 64 || !target.transport) return;
  level[1].emplace_back(ExchangeConfig{.op = op,
                                       .transport = *target.transport,
                                       .ranks = ranks,
                                       .bytes_per_rank = bytes / 4 * 4,
                                       .unevenness = unevenness});
}

void AddLocal(const SuiteTarget& target,
              Level& level,
              const char* op,
              std::int64_t amount,
              int head_dim,
              BlockSize block) {
  if (amount < 1) return;
  const std::int64_t row = std::int64_t{head_dim} * BytesOf(target.dtype);
  const std::int64_t whole =
      op == std::string("pack") ? std::max<std::int64_t>(amount / row, 1) * row : amount;
  const LocalConfig config{.op = op, .amount = whole, .head_dim = head_dim, .block = block};
  if (target.most_bytes && DeviceBytes(config) > *target.most_bytes) return;
  level[2].emplace_back(config);
}

int CeilDiv(std::int64_t a, std::int64_t b) { return static_cast<int>((a + b - 1) / b); }

using Draws = std::vector<std::vector<Draw>>;

/// The fit has a cost per head, per row and per active block. Every call is measured dense and at
/// density 0.3 first, which separates the costs of rows and blocks; then sparser with half the
/// rows, then with uneven rows, then at a higher density.
Draws AllDraws() {
  return {{{"dense", 1.0, 1.0}, {"uniform", 0.3, 1.0}},
          {{"uniform", 0.1, 0.5}},
          {{"skewed", 0.3, 1.0}},
          {{"uniform", 0.6, 1.0}}};
}

void AddCalls(const SuiteOptions& options,
              const std::vector<std::string>& kernels,
              const AttentionShape& s,
              const std::vector<Call>& calls,
              const Draws& all,
              Level& level) {
  for (const std::vector<Draw>& draws : all) {
    for (const std::string& kernel : kernels) {
      for (const Call& call : calls) {
        for (const Draw& draw : draws) {
          level[0].emplace_back(CallOf(options, kernel, s, call, draw));
        }
      }
    }
  }
}

/// Exchanges and local work of one rank at degrees U x R.
void AddMoves(const SuiteTarget& target, const AttentionShape& s, int u, int r, Level& level) {
  const int ranks = u * r;
  const std::int64_t row_bytes = std::int64_t{s.head_dim} * BytesOf(target.dtype);
  const std::int64_t home = CeilDiv(s.tokens, ranks) * row_bytes * s.heads;
  for (const int tensors : {3, 1}) {  // Q, K, V on the way in, O on the way out
    const std::int64_t sent = tensors * home * (u - 1) / u;
    AddExchange(target, level, "alltoall", u, sent);
    // Blocks that are placed by load move between the ranks of a ring.
    if (u > 1) AddExchange(target, level, "alltoall", r, tensors * home * (r - 1) / r);
    // When homes do not coincide with rings, all ranks exchange.
    if (u != ranks) AddExchange(target, level, "alltoall", ranks, sent);
    AddLocal(target, level, "pack", tensors * home, s.head_dim, s.block);
  }
  if (r == 1) return;
  const std::int64_t ring_rows =
      static_cast<std::int64_t>(CeilDiv(s.tokens, r)) * CeilDiv(s.heads, u);
  AddExchange(target, level, "hop", r, 2 * ring_rows * row_bytes);
  AddLocal(target, level, "merge", ring_rows, s.head_dim, s.block);
}

Level WorkloadLevel(const SuiteOptions& options) {
  const AttentionShape shape = options.workload->shape();
  const auto kernels = KernelsFor(options.target, shape, "--workload");
  const int passes = options.workload->model.passes;
  Level level;
  // First one guidance pass on all ranks, then concurrent passes on a part of the ranks each.
  for (int cfg_degree = 1; cfg_degree <= passes; ++cfg_degree) {
    if (passes % cfg_degree != 0 || options.ranks % cfg_degree != 0) continue;
    const int ranks = PassRanks(options.ranks, cfg_degree);
    std::vector<Call> calls;
    for (int u = ranks; u >= 1; --u) {
      if (ranks % u != 0) continue;
      const int r = ranks / u;
      calls.push_back(
          {CeilDiv(shape.heads, u), CeilDiv(shape.q_blocks(), r), CeilDiv(shape.k_blocks(), r)});
      AddMoves(options.target, shape, u, r, level);
    }
    // Larger calls of the same shape: two draws show whether the fit holds for them.
    const Draws draws = cfg_degree == 1 ? AllDraws() : Draws{AllDraws().front()};
    AddCalls(options, kernels, shape, calls, draws, level);
  }
  level[3] = FewestOverlaps(options);
  return level;
}

/// Drops sizes within a tenth of a larger one, because a curve through the rest is as good.
template <typename Size>
std::vector<std::int64_t> Thinned(const Size& ascending) {
  std::vector<std::int64_t> kept;
  for (auto at = ascending.rbegin(); at != ascending.rend(); ++at) {
    if (kept.empty() || static_cast<double>(*at) < 0.9 * static_cast<double>(kept.back())) {
      kept.push_back(*at);
    }
  }
  return kept;
}

void AddPlanExchanges(const SuiteTarget& target,
                      const std::set<std::pair<int, std::int64_t>>& volumes,
                      const char* op,
                      Level& level) {
  std::map<int, std::set<std::int64_t>> by_ranks;
  for (const auto& [ranks, bytes] : volumes) by_ranks[ranks].insert(bytes);
  for (const auto& [ranks, sizes] : by_ranks) {
    for (const std::int64_t bytes : Thinned(sizes)) AddExchange(target, level, op, ranks, bytes);
  }
}

/// Calls, exchanges and local work of the plan.
Level PlanLevel(const SuiteOptions& options) {
  const Plan& plan = *options.plan;
  const PlanVolumes volumes = VolumesOf(plan);
  Level level;
  std::map<std::string, std::vector<Call>> calls;
  for (const auto& [kernel, heads, rows, cols] : volumes.attention) {
    calls[kernel].push_back({heads, rows, cols});
  }
  const SuiteTarget& target = options.target;
  for (const auto& [kernel, list] : calls) {
    AddCalls(options,
             kernel.empty() ? KernelsFor(target, plan.shape, "--refine") : std::vector{kernel},
             plan.shape,
             list,
             AllDraws(),
             level);
  }
  AddPlanExchanges(target, volumes.all_to_alls, "alltoall", level);
  AddPlanExchanges(target, volumes.hops, "hop", level);
  for (const std::int64_t bytes : Thinned(volumes.copies)) {
    AddLocal(target, level, "pack", bytes, plan.shape.head_dim, plan.shape.block);
  }
  for (const std::int64_t rows : Thinned(volumes.merges)) {
    AddLocal(target, level, "merge", rows, plan.shape.head_dim, plan.shape.block);
  }
  return level;
}

void AddGeneralAttention(const SuiteOptions& options, bool full, Level& level) {
  const std::vector<int> dims = full ? std::vector{64, 128} : std::vector{64};
  std::vector<BlockSize> blocks{{64, 64}, {128, 64}, {128, 128}};
  const std::vector<double> densities =
      full ? std::vector{0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0} : std::vector{0.05, 0.25, 1.0};
  for (const double density : densities) {
    for (const int dim : dims) {
      for (const BlockSize block : blocks) {
        for (const int tokens : full ? std::vector{512, 2048, 4096} : std::vector{512, 2048}) {
          const int rows = tokens / block.q;
          const int cols = 2048 / block.k;
          for (const auto& pattern : {"uniform", "skewed", "band"}) {
            if ((density == 1.0 || !full) && pattern != std::string("uniform")) continue;
            for (const KernelVariant& kernel : options.target.kernels) {
              if (!Fits(kernel, dim, block)) continue;
              level[0].emplace_back(AttentionOf(options,
                                                kernel.name,
                                                2,
                                                dim,
                                                block,
                                                rows,
                                                cols,
                                                density == 1.0 ? "dense" : pattern,
                                                density));
              if (kernel.arch) break;  // of a GPU's kernels the first that fits
            }
          }
        }
      }
    }
  }
}

Level GeneralLevel(const SuiteOptions& options) {
  const bool full = options.suite == "full";
  const SuiteTarget& target = options.target;
  const bool gpu = target.dtype == DType::kBf16;
  Level level;
  if (gpu) {
    level[0] = GeneralGpuCalls(options);
  } else {
    AddGeneralAttention(options, full, level);
  }
  if (!options.workload) level[3] = FewestOverlaps(options);
  std::set<int> counts = MeasuredSizes(options.ranks);
  if (full && options.ranks > 3) counts.insert(3);
  const int factor = full ? 4 : 16;
  // The curves of a GPU begin to bend at sizes where those of a CPU end.
  const std::int64_t first = gpu ? 64 << 10 : 16 << 10;
  const std::int64_t last = gpu ? 1 << 30 : 16 << 20;
  for (std::int64_t bytes = first; bytes <= last; bytes *= factor) {
    for (const int ranks : counts) {
      AddExchange(target, level, "alltoall", ranks, bytes);
      AddExchange(target, level, "hop", ranks, bytes);
      if (full || bytes == 256 << 10) AddExchange(target, level, "alltoall", ranks, bytes, 1.5);
      if (full || bytes == 4 << 20) AddExchange(target, level, "allgather", ranks, bytes);
    }
    AddLocal(target, level, "pack", bytes, 128, {64, 64});
    AddLocal(target, level, "merge", bytes / (128 * BytesOf(target.dtype)), 128, {64, 64});
  }
  return level;
}

/// Appends the configurations with new keys, one from each category in turn.
void Append(const Level& level, std::set<std::string>& keys, std::vector<TrialConfig>& suite) {
  std::size_t longest = 0;
  for (const auto& category : level) longest = std::max(longest, category.size());
  for (std::size_t i = 0; i < longest; ++i) {
    for (const auto& category : level) {
      if (i < category.size() && keys.insert(KeyOf(category[i])).second) {
        suite.push_back(category[i]);
      }
    }
  }
}

/// Ordered by size, so that a short run measures every exchange at the first sizes.
std::vector<TrialConfig> CollectivesSuite(const SuiteOptions& options) {
  if (options.workload || options.plan) {
    Fail(ErrorCode::kInvalidArgument,
         "--suite collectives measures sizes and takes neither --workload nor --refine");
  }
  if (options.ranks < 2) {
    Fail(ErrorCode::kInvalidArgument,
         "--suite collectives: expected --ranks of 2 or more, because one rank exchanges nothing");
  }
  const SweepOptions& sweep = options.sweep;
  const std::set<int> counts = MeasuredSizes(options.ranks);
  constexpr std::pair<const char*, double> kExchanges[] = {{"alltoall", 1.0},
                                                           {"alltoall", 1.5},
                                                           {"hop", 1.0},
                                                           {"allgather", 1.0},
                                                           {"reducescatter", 1.0},
                                                           {"needed", 1.0}};
  std::vector<TrialConfig> suite;
  for (const std::int64_t size : SweepSizes(sweep.begin_bytes, sweep.end_bytes, sweep.factor)) {
    for (const int ranks : counts) {
      for (const auto& [op, unevenness] : kExchanges) {
        const std::int64_t bytes = BytesPerRank(op, ranks, size) / 4 * 4;
        if (bytes == 0) continue;
        ExchangeConfig config{.op = op,
                              .transport = sweep.transport,
                              .ranks = ranks,
                              .bytes_per_rank = bytes,
                              .unevenness = unevenness,
                              .nodes = sweep.nodes_of(ranks)};
        suite.emplace_back(config);
        if (config.op != "hop" || !sweep.ring_nodes_of) continue;
        const int apart = sweep.ring_nodes_of(ranks);
        if (apart == config.nodes) continue;
        config.nodes = apart;
        suite.emplace_back(config);
      }
    }
  }
  return suite;
}

std::vector<TrialConfig> CheckedOverlapSuite(const SuiteOptions& options) {
  if (options.plan) {
    Fail(ErrorCode::kInvalidArgument, "--suite overlap takes --workload, but not --refine");
  }
  if (options.ranks < 2) {
    Fail(ErrorCode::kInvalidArgument, "--suite overlap: expected --ranks of 2 or more");
  }
  return OverlapSuite(options);
}

struct Describer {
  std::string operator()(const AttentionConfig& c) const {
    const double blocks = static_cast<double>(c.heads) * c.q_blocks * c.k_blocks;
    // On the CPU the blocks tell the kernel, so its name is left out.
    const std::string by = c.kernel.starts_with("cpu.") ? "" : ", " + c.kernel;
    if (c.lists) {
      return fmt::format("gather {} heads x {}, {} lists of {} queries over {} keys, {:.1f}% {}{}",
                         c.heads,
                         c.head_dim,
                         c.heads * c.q_blocks,
                         c.block.q,
                         c.k_blocks,
                         100.0 * static_cast<double>(c.active_blocks) / blocks,
                         c.pattern,
                         by);
    }
    return fmt::format("attention {} heads x {}, {} x {} blocks of {}x{}, {:.1f}% {}{}",
                       c.heads,
                       c.head_dim,
                       c.q_blocks,
                       c.k_blocks,
                       c.block.q,
                       c.block.k,
                       100.0 * static_cast<double>(c.active_blocks) / blocks,
                       c.pattern,
                       by);
  }
  std::string operator()(const ExchangeConfig& c) const {
    return fmt::format("{} {} ranks{}, {} bytes per rank, unevenness {:g}",
                       c.op,
                       c.ranks,
                       c.nodes == 1 ? "" : fmt::format(" on {} hosts", c.nodes),
                       c.bytes_per_rank,
                       c.unevenness);
  }
  std::string operator()(const LocalConfig& c) const {
    if (c.lists) {
      const std::string keys =
          c.lists->keys ? fmt::format(", {} listed", *c.lists->keys) : std::string();
      return fmt::format("{} {} rows of {} queries over {} keys{}, head_dim {}",
                         c.op,
                         c.amount,
                         c.block.q,
                         c.lists->k_tokens,
                         keys,
                         c.head_dim);
    }
    return fmt::format(
        "{} {} {}, head_dim {}", c.op, c.amount, c.op == "pack" ? "bytes" : "rows", c.head_dim);
  }
  std::string operator()(const OverlapConfig& c) const {
    const std::string margin = c.sm_margin == 0 ? "" : fmt::format(", SM margin {}", c.sm_margin);
    if (c.timed == TimedSide::kAttention) {
      return fmt::format("{} under {}{}", (*this)(c.attention), (*this)(c.exchange), margin);
    }
    return fmt::format("{} under {}{}", (*this)(c.exchange), (*this)(c.attention), margin);
  }
};

}  // namespace

std::vector<TrialConfig> MakeSuite(const SuiteOptions& options) {
  const std::vector<std::string> known{"quick", "full", "gather", "collectives", "overlap"};
  if (std::find(known.begin(), known.end(), options.suite) == known.end()) {
    throw Error(ErrorCode::kInvalidArgument, UnknownName("suite", options.suite, known));
  }
  if (options.ranks < 1 || options.ranks > 1024) {
    Fail(ErrorCode::kInvalidArgument, "--ranks: expected 1 to 1024, found {}", options.ranks);
  }
  if (options.suite == "collectives") return CollectivesSuite(options);
  if (options.suite == "overlap") return CheckedOverlapSuite(options);
  std::vector<TrialConfig> suite;
  std::set<std::string> keys;
  if (options.suite == "gather") {
    Append({CheckedGatherCalls(options), {}, ListCalls(options), {}}, keys, suite);
    return suite;
  }
  if (options.plan) {
    Append(PlanLevel(options), keys, suite);
    return suite;
  }
  if (options.workload) Append(WorkloadLevel(options), keys, suite);
  Append(GeneralLevel(options), keys, suite);
  if (options.suite == "full")
    Append({GatherCalls(options), {}, ListCalls(options), {}}, keys, suite);
  return suite;
}

std::string Describe(const TrialConfig& config) { return std::visit(Describer{}, config); }

}  // namespace dbsp::profiler
