// SPDX-License-Identifier: Apache-2.0
#include "profiler/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/error.h"
#include "core/nearest.h"
#include "profiler/pattern.h"

namespace dbsp::profiler {
namespace {

/// Configurations of one level of value, by category.
using Level = std::array<std::vector<TrialConfig>, 3>;

AttentionConfig AttentionOf(const SuiteOptions& options,
                            int heads,
                            int head_dim,
                            BlockSize block,
                            int q_blocks,
                            int k_blocks,
                            const std::string& pattern,
                            double density) {
  AttentionConfig config;
  config.kernel = options.kernel;
  config.heads = std::max(heads, 1);
  config.head_dim = head_dim;
  config.block = block;
  config.q_blocks = std::max(q_blocks, 1);
  config.k_blocks = std::max(k_blocks, 1);
  config.pattern = pattern;
  config.seed = options.seed;
  return WithDensity(config, density);
}

void AddExchange(
    Level& level, const char* op, int ranks, std::int64_t bytes, double unevenness = 1.0) {
  if (ranks < 2 || bytes < 64) return;
  level[1].emplace_back(ExchangeConfig{.op = op,
                                       .transport = "threads",
                                       .ranks = ranks,
                                       .bytes_per_rank = bytes / 4 * 4,
                                       .unevenness = unevenness});
}

void AddLocal(Level& level, const char* op, std::int64_t amount, int head_dim, BlockSize block) {
  if (amount < 1) return;
  const std::int64_t row = static_cast<std::int64_t>(head_dim) * 4;
  const std::int64_t whole =
      op == std::string("pack") ? std::max<std::int64_t>(amount / row, 1) * row : amount;
  level[2].emplace_back(
      LocalConfig{.op = op, .amount = whole, .head_dim = head_dim, .block = block});
}

int CeilDiv(std::int64_t a, std::int64_t b) { return static_cast<int>((a + b - 1) / b); }

/// What one rank computes and moves at degrees U x R.
void AddDegrees(const SuiteOptions& options, const AttentionShape& s, int u, int r, Level& level) {
  const int heads = CeilDiv(s.heads, u);
  const int rows = CeilDiv(s.q_blocks(), r);
  const int cols = CeilDiv(s.k_blocks(), r);
  for (const double density : {0.3, 1.0, 0.1, 0.6}) {
    const char* pattern = density == 1.0 ? "dense" : "uniform";
    level[0].emplace_back(
        AttentionOf(options, heads, s.head_dim, s.block, rows, cols, pattern, density));
  }
  level[0].emplace_back(
      AttentionOf(options, heads, s.head_dim, s.block, rows, cols, "skewed", 0.3));
  const std::int64_t row_bytes = static_cast<std::int64_t>(s.head_dim) * 4;
  const std::int64_t home = CeilDiv(s.tokens, options.ranks) * row_bytes * s.heads;
  for (const int tensors : {3, 1}) {  // Q, K, V on the way in, O on the way out
    const std::int64_t sent = tensors * home * (u - 1) / u;
    AddExchange(level, "alltoall", u, sent);
    if (u != options.ranks) AddExchange(level, "alltoall", options.ranks, sent);
    AddLocal(level, "pack", tensors * home, s.head_dim, s.block);
  }
  if (r == 1) return;
  const std::int64_t ring_rows = static_cast<std::int64_t>(CeilDiv(s.tokens, r)) * heads;
  AddExchange(level, "hop", r, 2 * ring_rows * row_bytes);
  AddLocal(level, "merge", ring_rows, s.head_dim, s.block);
}

Level WorkloadLevel(const SuiteOptions& options) {
  Level level;
  for (int u = options.ranks; u >= 1; --u) {
    if (options.ranks % u != 0) continue;
    AddDegrees(options, options.workload->shape(), u, options.ranks / u, level);
  }
  return level;
}

/// The plan's own amounts: exchange sizes from its predicted segments, shapes from its degrees.
Level PlanLevel(const SuiteOptions& options) {
  const Plan& plan = *options.plan;
  if (plan.cells.empty()) Fail(ErrorCode::kInvalidArgument, "--refine: the plan has no cells");
  SuiteOptions of = options;
  of.ranks = plan.ranks;
  Level level;
  std::set<int> seen;
  for (const PlanCell& cell : plan.cells) {
    const Strategy& strategy = plan.strategies.at(static_cast<std::size_t>(cell.strategy));
    if (!strategy.kernel.empty()) of.kernel = strategy.kernel;
    for (const Segment& s :
         plan.predictions.at(static_cast<std::size_t>(cell.prediction)).segments) {
      if (s.kind == SegmentKind::kExchange) AddExchange(level, "alltoall", plan.ranks, s.bytes);
      if (s.kind == SegmentKind::kHop) AddExchange(level, "hop", strategy.ring_degree, s.bytes);
      if (s.kind == SegmentKind::kPack || s.kind == SegmentKind::kUnpack) {
        AddLocal(level, "pack", s.bytes, plan.shape.head_dim, plan.shape.block);
      }
    }
    if (!seen.insert(cell.strategy).second) continue;
    AddDegrees(of, plan.shape, strategy.ulysses_degree, strategy.ring_degree, level);
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
            level[0].emplace_back(AttentionOf(
                options, 2, dim, block, rows, cols, density == 1.0 ? "dense" : pattern, density));
          }
        }
      }
    }
  }
}

Level GeneralLevel(const SuiteOptions& options) {
  const bool full = options.suite == "full";
  Level level;
  AddGeneralAttention(options, full, level);
  std::set<int> counts{options.ranks};
  for (int ranks = 2; ranks < options.ranks; ranks *= 2) counts.insert(ranks);
  if (full && options.ranks > 3) counts.insert(3);
  const int factor = full ? 4 : 16;
  for (std::int64_t bytes = 16 << 10; bytes <= 16 << 20; bytes *= factor) {
    for (const int ranks : counts) {
      AddExchange(level, "alltoall", ranks, bytes);
      AddExchange(level, "hop", ranks, bytes);
      if (full || bytes == 256 << 10) AddExchange(level, "alltoall", ranks, bytes, 1.5);
      if (full || bytes == 4 << 20) AddExchange(level, "allgather", ranks, bytes);
    }
    AddLocal(level, "pack", bytes, 128, {64, 64});
    AddLocal(level, "merge", bytes / (128 * 4), 128, {64, 64});
  }
  return level;
}

/// Takes from the categories by turns what has not been taken before.
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

struct Describer {
  std::string operator()(const AttentionConfig& c) const {
    const double blocks = static_cast<double>(c.heads) * c.q_blocks * c.k_blocks;
    return fmt::format("attention {} heads x {}, {} x {} blocks of {}x{}, {:.1f}% {}",
                       c.heads,
                       c.head_dim,
                       c.q_blocks,
                       c.k_blocks,
                       c.block.q,
                       c.block.k,
                       100.0 * static_cast<double>(c.kept_blocks) / blocks,
                       c.pattern);
  }
  std::string operator()(const ExchangeConfig& c) const {
    return fmt::format("{} {} ranks, {} bytes per rank, unevenness {:g}",
                       c.op,
                       c.ranks,
                       c.bytes_per_rank,
                       c.unevenness);
  }
  std::string operator()(const LocalConfig& c) const {
    return fmt::format(
        "{} {} {}, head_dim {}", c.op, c.amount, c.op == "pack" ? "bytes" : "rows", c.head_dim);
  }
};

}  // namespace

std::vector<TrialConfig> MakeSuite(const SuiteOptions& options) {
  const std::vector<std::string> known{"quick", "full"};
  if (std::find(known.begin(), known.end(), options.suite) == known.end()) {
    throw Error(ErrorCode::kInvalidArgument, UnknownName("suite", options.suite, known));
  }
  if (options.ranks < 1 || options.ranks > 1024) {
    Fail(ErrorCode::kInvalidArgument, "--ranks: expected 1 to 1024, found {}", options.ranks);
  }
  std::vector<TrialConfig> suite;
  std::set<std::string> keys;
  if (options.plan) {
    Append(PlanLevel(options), keys, suite);
    return suite;
  }
  if (options.workload) Append(WorkloadLevel(options), keys, suite);
  Append(GeneralLevel(options), keys, suite);
  return suite;
}

std::string Describe(const TrialConfig& config) { return std::visit(Describer{}, config); }

}  // namespace dbsp::profiler
