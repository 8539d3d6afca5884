// SPDX-License-Identifier: Apache-2.0
#include "core/plan_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/workload.h"

namespace dbsp {
namespace {

/// A share is a fraction; the sum of the shares of a head is rounded.
constexpr double kMaxShare = 1 + 1e-6;

/// Heads with the number of parts that each is divided into, as text to compare.
using SplitHeads = std::vector<std::pair<int, std::size_t>>;
std::string KeyOf(SplitHeads heads) {
  std::sort(heads.begin(), heads.end());
  std::string key;
  for (const auto& [head, parts] : heads) key += fmt::format("{}:{};", head, parts);
  return HashBytes(key);
}

/// Checks one plan. Its errors name the document and the key.
class PlanChecker {
 public:
  PlanChecker(const Plan& plan, const std::string& origin, ErrorCode code)
      : plan_(plan), origin_(origin), code_(code) {}

  void Shape() const;
  void Workload() const;
  void FitWorkload(const dbsp::Workload& workload, const std::string& source) const;
  void Layouts() const;
  void Partitions() const;
  void Strategies() const;
  void Predictions();
  void Baselines() const;
  void Tuning() const;
  void Contracts() const;
  void Cells() const;
  void CellContracts() const;

 private:
  template <typename... Args>
  [[noreturn]] void Wrong(const std::string& key,
                          fmt::format_string<Args...> format,
                          Args&&... args) const {
    throw Error(
        code_,
        fmt::format(
            "{}: key '{}': {}", origin_, key, fmt::format(format, std::forward<Args>(args)...)));
  }
  void Range(const std::string& key,
             std::int64_t value,
             std::int64_t low,
             std::int64_t high) const {
    if (value < low || value > high) {
      Wrong(key, "expected an integer from {} to {}, found {}", low, high, value);
    }
  }
  void Index(const std::string& key, int value, std::size_t size, const char* list) const {
    if (value < 0 || static_cast<std::size_t>(value) >= size) {
      Wrong(key, "expected an index into '{}' ({} entries), found {}", list, size, value);
    }
  }
  void Amount(const std::string& key, std::int64_t value) const {
    if (value < 0 || value > kMaxPlanAmount) {
      Wrong(key, "expected nanoseconds or bytes from 0 to {}, found {}", kMaxPlanAmount, value);
    }
  }
  void Ratio(const std::string& key, double value, double high = kMaxPlanRatio) const {
    if (!std::isfinite(value) || value < 0 || value > high) {
      Wrong(key, "expected a finite number from 0 to {:g}, found {:g}", high, value);
    }
  }
  /// Requires a value that the workload determines.
  template <typename T>
  void AsIn(const std::string& source,
            const std::string& key,
            const T& value,
            const T& expected) const {
    if (value != expected) Wrong(key, "expected {}, as in {}, found {}", expected, source, value);
  }
  [[nodiscard]] std::string SplitOf(const Partition& partition) const;
  [[nodiscard]] std::string SplitOf(const Contract& contract) const;
  void Permutation(const std::string& key, const std::vector<int>& order) const;
  void RankLoads(const std::string& key,
                 const std::vector<std::int64_t>& active_blocks,
                 int ranks) const;
  void BaselineTimes(const std::string& key, const Baseline& baseline) const;
  void OneSegment(const std::string& key, const Segment& segment) const;
  void Add(const std::string& key, std::int64_t amount, std::int64_t high, std::int64_t& sum) const;
  [[nodiscard]] std::int64_t AllBlocks() const;

  const Plan& plan_;
  const std::string& origin_;
  ErrorCode code_;
  std::vector<std::int64_t> largest_;  ///< [prediction] largest sum of times or of bytes
};

void PlanChecker::Shape() const {
  constexpr std::int64_t kMaxInt = std::numeric_limits<int>::max();
  Range("ranks", plan_.ranks, 1, kMaxPlanRanks);
  Range("passes", plan_.passes, 1, 2);
  Range("shape.heads", plan_.shape.heads, 1, kMaxPlanHeads);
  Range("shape.head_dim", plan_.shape.head_dim, 1, kMaxInt);
  Range("shape.block[0]", plan_.shape.block.q, 1, kMaxInt);
  Range("shape.block[1]", plan_.shape.block.k, 1, kMaxInt);
  const std::int64_t smaller = std::min(plan_.shape.block.q, plan_.shape.block.k);
  Range("shape.tokens", plan_.shape.tokens, 1, smaller * kMaxPlanBlocks);
  const std::int64_t of_a_token = std::int64_t{plan_.shape.heads} * plan_.shape.head_dim;
  if (plan_.shape.tokens > kMaxPlanElements / of_a_token) {
    Wrong("shape", "expected at most {} elements in heads x head_dim x tokens", kMaxPlanElements);
  }
}

void PlanChecker::Workload() const {
  const std::string hash = HashBytes(plan_.workload_json);
  if (plan_.workload_hash != hash) {
    Wrong(
        "workload.hash",
        "expected {}, the hash of 'workload.text', found {}; make the plan again from its workload",
        hash,
        plan_.workload_hash.empty() ? "nothing" : plan_.workload_hash);
  }
  try {
    const std::string source = "the workload inside the plan";
    const dbsp::Workload workload =
        WorkloadFromJson(plan_.workload_json, origin_ + ": key 'workload.text'");
    AsIn(source, "workload.name", plan_.workload_name, workload.model.name);
    FitWorkload(workload, source);
  } catch (const Error& error) {
    throw Error(code_, error.what());
  }
}

void PlanChecker::FitWorkload(const dbsp::Workload& workload, const std::string& source) const {
  const AttentionShape shape = workload.shape();
  AsIn(source, "passes", plan_.passes, workload.model.passes);
  AsIn(source, "shape.heads", plan_.shape.heads, shape.heads);
  AsIn(source, "shape.head_dim", plan_.shape.head_dim, shape.head_dim);
  AsIn(source, "shape.tokens", plan_.shape.tokens, shape.tokens);
  AsIn(source, "shape.block[0]", plan_.shape.block.q, shape.block.q);
  AsIn(source, "shape.block[1]", plan_.shape.block.k, shape.block.k);
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const PlanCell& cell = plan_.cells[i];
    if (cell.step >= 0 && cell.step < workload.model.steps && cell.layer >= 0 &&
        cell.layer < workload.model.layers) {
      continue;
    }
    Wrong(fmt::format("cells[{}]", i),
          "expected a step from 0 to {} and a layer from 0 to {}, as in {}, found step {} layer {}",
          workload.model.steps - 1,
          workload.model.layers - 1,
          source,
          cell.step,
          cell.layer);
  }
}

void PlanChecker::Permutation(const std::string& key, const std::vector<int>& order) const {
  std::vector<bool> seen(order.size(), false);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const int block = order[i];
    if (block < 0 || static_cast<std::size_t>(block) >= order.size()) {
      Wrong(fmt::format("{}[{}]", key, i),
            "expected a block from 0 to {}, found {}",
            order.size() - 1,
            block);
    }
    if (seen[block]) {
      Wrong(fmt::format("{}[{}]", key, i), "block {} appears twice", block);
    }
    seen[block] = true;
  }
}

void PlanChecker::Layouts() const {
  if (plan_.layouts.empty()) Wrong("layouts", "expected at least the identity, found none");
  if (!plan_.layouts.front().block_order.empty()) {
    Wrong("layouts[0].block_order", "expected an empty list, for layout 0 is the identity");
  }
  for (std::size_t i = 0; i < plan_.layouts.size(); ++i) {
    Permutation(fmt::format("layouts[{}].block_order", i), plan_.layouts[i].block_order);
  }
}

void PlanChecker::Partitions() const {
  for (std::size_t i = 0; i < plan_.partitions.size(); ++i) {
    const Partition& partition = plan_.partitions[i];
    const std::string key = fmt::format("partitions[{}]", i);
    Range(key + ".ranks", partition.ranks, 1, plan_.ranks);
    Range(key + ".heads", partition.heads, plan_.shape.heads, plan_.shape.heads);
    Range(key + ".q_blocks", partition.q_blocks, plan_.shape.q_blocks(), plan_.shape.q_blocks());
    Range(key + ".k_blocks", partition.k_blocks, plan_.shape.k_blocks(), plan_.shape.k_blocks());
    bool columns = false;
    for (const HeadGroup& group : partition.groups) columns |= !group.col_owner.empty();
    const Status status = ValidatePartition(partition, columns);
    if (!status.ok()) Wrong(key, "{}", status.message());
  }
}

void PlanChecker::Strategies() const {
  std::set<std::pair<int, bool>> checked;
  for (std::size_t i = 0; i < plan_.strategies.size(); ++i) {
    const Strategy& strategy = plan_.strategies[i];
    const std::string key = fmt::format("strategies[{}]", i);
    Range(key + ".cfg_degree", strategy.cfg_degree, 1, plan_.passes);
    if (strategy.cfg_degree != plan_.cfg_degree()) {
      Wrong(key + ".cfg_degree",
            "expected {} as in strategies[0], found {}; all strategies of a plan, fallbacks "
            "included, have the same cfg_degree",
            plan_.cfg_degree(),
            strategy.cfg_degree);
    }
    Range(key + ".ulysses_degree", strategy.ulysses_degree, 1, plan_.ranks);
    Range(key + ".ring_degree", strategy.ring_degree, 1, plan_.ranks);
    Range(key + ".chunks", strategy.chunks, 1, plan_.shape.heads);
    Index(key + ".layout", strategy.layout, plan_.layouts.size(), "layouts");
    Index(key + ".partition", strategy.partition, plan_.partitions.size(), "partitions");
    const Partition& partition = plan_.partitions[strategy.partition];
    if (partition.ranks * strategy.cfg_degree != plan_.ranks) {
      Wrong(key + ".partition",
            "partition {} is for {} ranks, expected {} ranks / cfg_degree {}",
            strategy.partition,
            partition.ranks,
            plan_.ranks,
            strategy.cfg_degree);
    }
    const std::vector<int>& chunk = partition.chunk_of_head;
    const int chunks = chunk.empty() ? 1 : 1 + *std::max_element(chunk.begin(), chunk.end());
    if (chunks != strategy.chunks) {
      Wrong(key + ".chunks",
            "partition {} has {} chunks of heads, found {}",
            strategy.partition,
            chunks,
            strategy.chunks);
    }
    const bool columns = strategy.exchange == Exchange::kRing;
    if (!checked.insert({strategy.partition, columns}).second) continue;
    const Status status = ValidatePartition(partition, columns);
    if (!status.ok()) {
      Wrong(key + ".partition",
            "partition {} does not fit exchange {}: {}",
            strategy.partition,
            NameOf(strategy.exchange),
            status.message());
    }
  }
}

void PlanChecker::OneSegment(const std::string& key, const Segment& segment) const {
  Range(key + "[0]", segment.rank, 0, plan_.pass_ranks() - 1);
  Range(key + "[2]", segment.index, 0, std::numeric_limits<int>::max());
  Amount(key + "[3]", segment.start_ns);
  Amount(key + "[4]", segment.duration_ns);
  Amount(key + "[5]", segment.bytes);
  if (segment.alone_ns) {
    Amount(key + "[6]", *segment.alone_ns);
    if (segment.kind != SegmentKind::kAttention || *segment.alone_ns > segment.duration_ns) {
      Wrong(key + "[6]",
            "expected an attention segment and at most its duration of {} ns, found {} of {} ns",
            segment.duration_ns,
            NameOf(segment.kind),
            *segment.alone_ns);
    }
  }
}

/// Adds to a sum that stays below `high`.
void PlanChecker::Add(const std::string& key,
                      std::int64_t amount,
                      std::int64_t high,
                      std::int64_t& sum) const {
  if (amount > high - sum) Wrong(key, "expected at most {} in all", high);
  sum += amount;
}

/// Active blocks of a layer whose masks are full.
std::int64_t PlanChecker::AllBlocks() const {
  const std::int64_t of_a_head = std::int64_t{plan_.shape.q_blocks()} * plan_.shape.k_blocks();
  return std::min(kMaxPlanTotal / plan_.shape.heads, of_a_head) * plan_.shape.heads;
}

void PlanChecker::RankLoads(const std::string& key,
                            const std::vector<std::int64_t>& active_blocks,
                            int ranks) const {
  if (std::cmp_not_equal(active_blocks.size(), ranks)) {
    Wrong(key,
          "expected one number per rank of a pass group ({}), found {}",
          ranks,
          active_blocks.size());
  }
  const std::int64_t all = AllBlocks();
  std::int64_t sum = 0;
  for (std::size_t r = 0; r < active_blocks.size(); ++r) {
    Range(fmt::format("{}[{}]", key, r), active_blocks[r], 0, all);
    Add(key, active_blocks[r], all, sum);
  }
}

void PlanChecker::Predictions() {
  for (std::size_t i = 0; i < plan_.predictions.size(); ++i) {
    const Prediction& p = plan_.predictions[i];
    const std::string key = fmt::format("predictions[{}]", i);
    Amount(key + ".total_ns", p.total_ns);
    Amount(key + ".low_ns", p.low_ns);
    Amount(key + ".high_ns", p.high_ns);
    Amount(key + ".compute_ns", p.compute_ns);
    Amount(key + ".exchange_ns", p.exchange_ns);
    Amount(key + ".lower_bound_ns", p.lower_bound_ns);
    Amount(key + ".bytes_per_rank", p.bytes_per_rank);
    Ratio(key + ".rho_barrier", p.rho_barrier);
    Ratio(key + ".rho_timeline", p.rho_timeline);
    Ratio(key + ".moved_fraction", p.moved_fraction);
    if (p.low_ns > p.total_ns || p.total_ns > p.high_ns) {
      Wrong(key,
            "expected low_ns <= total_ns <= high_ns, found {}, {}, {}",
            p.low_ns,
            p.total_ns,
            p.high_ns);
    }
    if (!p.active_blocks.empty()) {
      RankLoads(key + ".active_blocks", p.active_blocks, plan_.pass_ranks());
    }
    std::int64_t time = 0;
    std::int64_t bytes = 0;
    for (std::size_t s = 0; s < p.segments.size(); ++s) {
      const std::string at = fmt::format("{}.segments[{}]", key, s);
      OneSegment(at, p.segments[s]);
      Add(at + "[4]", p.segments[s].duration_ns, kMaxPlanAmount, time);
      Add(at + "[5]", p.segments[s].bytes, kMaxPlanAmount, bytes);
    }
    largest_.push_back(std::max({p.high_ns, p.bytes_per_rank, time, bytes}));
  }
}

void PlanChecker::Baselines() const {
  for (std::size_t i = 0; i < plan_.baselines.size(); ++i) {
    const Baseline& baseline = plan_.baselines[i];
    const std::string key = fmt::format("baselines[{}]", i);
    Range(key + ".cfg_degree", baseline.cfg_degree, 1, plan_.passes);
    Range(key + ".ulysses_degree", baseline.ulysses_degree, 1, plan_.ranks);
    Range(key + ".ring_degree", baseline.ring_degree, 1, plan_.ranks);
    const std::int64_t ranks = baseline.ulysses_degree * std::int64_t{baseline.ring_degree};
    if (ranks * baseline.cfg_degree != plan_.ranks) {
      Wrong(key,
            "expected degrees with the product {}, found {} x {} x {}",
            plan_.ranks,
            baseline.cfg_degree,
            baseline.ulysses_degree,
            baseline.ring_degree);
    }
    if (baseline.active_blocks.size() != plan_.predictions.size()) {
      Wrong(key + ".active_blocks",
            "expected one list per prediction ({}), found {}",
            plan_.predictions.size(),
            baseline.active_blocks.size());
    }
    for (std::size_t p = 0; p < baseline.active_blocks.size(); ++p) {
      RankLoads(fmt::format("{}.active_blocks[{}]", key, p),
                baseline.active_blocks[p],
                static_cast<int>(ranks));
    }
    BaselineTimes(key + ".times", baseline);
  }
}

void PlanChecker::BaselineTimes(const std::string& key, const Baseline& baseline) const {
  if (baseline.times.empty()) return;
  if (baseline.times.size() != plan_.predictions.size()) {
    Wrong(key,
          "expected one entry per prediction ({}), found {}",
          plan_.predictions.size(),
          baseline.times.size());
  }
  for (std::size_t p = 0; p < baseline.times.size(); ++p) {
    const BaselineTime& t = baseline.times[p];
    const std::string at = fmt::format("{}[{}]", key, p);
    for (const std::int64_t ns : {t.total_ns, t.low_ns, t.high_ns, t.compute_ns, t.exchange_ns}) {
      Amount(at, ns);
    }
    if (t.low_ns > t.total_ns || t.total_ns > t.high_ns) {
      Wrong(at,
            "expected low_ns <= total_ns <= high_ns, found {}, {}, {}",
            t.low_ns,
            t.total_ns,
            t.high_ns);
    }
  }
}

void PlanChecker::Tuning() const {
  for (std::size_t i = 0; i < plan_.fits.size(); ++i) {
    const std::string key = fmt::format("fits[{}]", i);
    Ratio(key + ".held_out_error", plan_.fits[i].held_out_error);
    Ratio(key + ".median_error", plan_.fits[i].median_error.value_or(0));
  }
  if (plan_.rest) {
    Amount("rest.cell_ns", plan_.rest->cell_ns);
    Amount("rest.once_ns", plan_.rest->once_ns);
    if (plan_.rest->source.empty()) Wrong("rest.source", "expected the source of the times");
    const std::vector<int>& skipped = plan_.rest->skipped_steps;
    for (std::size_t i = 1; i < skipped.size(); ++i) {
      if (skipped[i - 1] >= skipped[i]) {
        Wrong(fmt::format("rest.skipped_steps[{}]", i), "expected steps in ascending order");
      }
    }
  }
  if (!plan_.close_calls) return;
  std::set<std::pair<int, int>> cells;
  for (const PlanCell& cell : plan_.cells) cells.emplace(cell.step, cell.layer);
  for (std::size_t i = 0; i < plan_.close_calls->size(); ++i) {
    const CloseCall& call = (*plan_.close_calls)[i];
    const std::string key = fmt::format("close_calls[{}]", i);
    if (!cells.contains({call.step, call.layer})) {
      Wrong(key, "expected a cell of the plan, found step {}, layer {}", call.step, call.layer);
    }
    Amount(key + "[3]", call.rival_ns);
  }
}

void PlanChecker::Contracts() const {
  for (std::size_t i = 0; i < plan_.contracts.size(); ++i) {
    const Contract& contract = plan_.contracts[i];
    const std::string key = fmt::format("contracts[{}]", i);
    Ratio(key + ".rho_limit", contract.rho_limit);
    Index(key + ".fallback", contract.fallback, plan_.strategies.size(), "strategies");
    for (std::size_t s = 0; s < contract.shares.size(); ++s) {
      const std::string shares = fmt::format("{}.shares[{}]", key, s);
      Range(shares + "[0]", contract.shares[s].head, 0, plan_.shape.heads - 1);
      for (const double share : contract.shares[s].share) Ratio(shares + "[1]", share, kMaxShare);
    }
  }
}

/// The heads that a partition splits by rows, which need shares in a contract.
std::string PlanChecker::SplitOf(const Partition& partition) const {
  SplitHeads heads;
  for (const HeadGroup& group : partition.groups) {
    if (group.ranks.size() == 1) continue;
    for (const int head : group.heads) heads.emplace_back(head, group.ranks.size());
  }
  return KeyOf(std::move(heads));
}

std::string PlanChecker::SplitOf(const Contract& contract) const {
  SplitHeads heads;
  for (const HeadShares& head : contract.shares) heads.emplace_back(head.head, head.share.size());
  return KeyOf(std::move(heads));
}

/// The shares of a contract must be those of the heads that the partition of the cell splits, and
/// have one entry per ring index. Each partition and each contract is looked at once.
void PlanChecker::CellContracts() const {
  std::vector<std::string> needed(plan_.partitions.size());
  std::vector<std::string> given(plan_.contracts.size());
  const std::string none = KeyOf({});
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const PlanCell& cell = plan_.cells[i];
    if (!cell.contract) continue;
    const std::string key = fmt::format("cells[{}][4]", i);
    Index(key, *cell.contract, plan_.contracts.size(), "contracts");
    const Strategy& strategy = plan_.strategies[cell.strategy];
    std::string& split = needed[strategy.partition];
    if (split.empty()) split = SplitOf(plan_.partitions[strategy.partition]);
    std::string& shares = given[*cell.contract];
    if (shares.empty()) shares = SplitOf(plan_.contracts[*cell.contract]);
    if (shares == (strategy.exchange == Exchange::kRing ? none : split)) continue;
    Wrong(key,
          "contract {} does not give the shares of the heads that strategy {} splits",
          *cell.contract,
          cell.strategy);
  }
}

void PlanChecker::Cells() const {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const PlanCell& cell = plan_.cells[i];
    const std::string key = fmt::format("cells[{}]", i);
    Range(key + "[0]", cell.step, 0, std::numeric_limits<int>::max());
    Range(key + "[1]", cell.layer, 0, std::numeric_limits<int>::max());
    Index(key + "[2]", cell.strategy, plan_.strategies.size(), "strategies");
    Index(key + "[3]", cell.prediction, plan_.predictions.size(), "predictions");
    Add(key + "[3]", largest_[cell.prediction], kMaxPlanTotal, total);
    if (i == 0) continue;
    const PlanCell& before = plan_.cells[i - 1];
    if (std::pair(cell.step, cell.layer) <= std::pair(before.step, before.layer)) {
      Wrong(key,
            "step {} layer {} follows step {} layer {}; cells must be unique and sorted by step, "
            "then layer",
            cell.step,
            cell.layer,
            before.step,
            before.layer);
    }
  }
}

}  // namespace

void CheckPlanShape(const Plan& plan, const std::string& origin, ErrorCode code) {
  PlanChecker(plan, origin, code).Shape();
}

void CheckFitsWorkload(const Plan& plan,
                       const Workload& workload,
                       const std::string& source,
                       const std::string& origin,
                       ErrorCode code) {
  PlanChecker(plan, origin, code).FitWorkload(workload, source);
}

void CheckPlan(const Plan& plan, const std::string& origin, ErrorCode code) {
  PlanChecker checker(plan, origin, code);
  checker.Shape();
  checker.Layouts();
  checker.Partitions();
  checker.Strategies();
  checker.Predictions();
  checker.Baselines();
  checker.Tuning();
  checker.Contracts();
  checker.Cells();
  checker.CellContracts();
  checker.Workload();
}

}  // namespace dbsp
