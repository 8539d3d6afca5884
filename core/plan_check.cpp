// SPDX-License-Identifier: Apache-2.0
#include "core/plan_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "core/file.h"

namespace dbsp {
namespace {

/// Checks one plan. Its errors name the document and the key.
class PlanChecker {
 public:
  PlanChecker(const Plan& plan, const std::string& origin, ErrorCode code)
      : plan_(plan), origin_(origin), code_(code) {}

  void Shape() const;
  void Workload() const;
  void Layouts() const;
  void Partitions() const;
  void Strategies() const;
  void Predictions() const;
  void Contracts() const;
  void Cells() const;

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
  void Time(const std::string& key, std::int64_t value) const {
    if (value < 0) Wrong(key, "expected nanoseconds or bytes >= 0, found {}", value);
  }
  void Ratio(const std::string& key, double value) const {
    if (!std::isfinite(value) || value < 0)
      Wrong(key, "expected a finite number >= 0, found {}", value);
  }
  void CellContract(const std::string& key, const PlanCell& cell) const;
  void Permutation(const std::string& key, const std::vector<int>& order) const;
  void OneSegment(const std::string& key, const Segment& segment) const;

  const Plan& plan_;
  const std::string& origin_;
  ErrorCode code_;
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
  Time(key + "[3]", segment.start_ns);
  Time(key + "[4]", segment.duration_ns);
  Time(key + "[5]", segment.bytes);
  if (segment.alone_ns) {
    Time(key + "[6]", *segment.alone_ns);
    if (segment.kind != SegmentKind::kAttention || *segment.alone_ns > segment.duration_ns) {
      Wrong(key + "[6]",
            "expected an attention segment and at most its duration of {} ns, found {} of {} ns",
            segment.duration_ns,
            NameOf(segment.kind),
            *segment.alone_ns);
    }
  }
  if (segment.start_ns > std::numeric_limits<std::int64_t>::max() - segment.duration_ns) {
    Wrong(key, "start plus duration is beyond 64 bits");
  }
}

void PlanChecker::Predictions() const {
  for (std::size_t i = 0; i < plan_.predictions.size(); ++i) {
    const Prediction& p = plan_.predictions[i];
    const std::string key = fmt::format("predictions[{}]", i);
    Time(key + ".total_ns", p.total_ns);
    Time(key + ".low_ns", p.low_ns);
    Time(key + ".high_ns", p.high_ns);
    Time(key + ".compute_ns", p.compute_ns);
    Time(key + ".exchange_ns", p.exchange_ns);
    Time(key + ".lower_bound_ns", p.lower_bound_ns);
    Time(key + ".bytes_per_rank", p.bytes_per_rank);
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
    for (std::size_t s = 0; s < p.segments.size(); ++s) {
      OneSegment(fmt::format("{}.segments[{}]", key, s), p.segments[s]);
    }
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
      for (const double share : contract.shares[s].share) Ratio(shares + "[1]", share);
    }
  }
}

/// The shares of a contract must be those of the heads that the partition of the cell splits, and
/// have one entry per ring index.
void PlanChecker::CellContract(const std::string& key, const PlanCell& cell) const {
  Index(key, *cell.contract, plan_.contracts.size(), "contracts");
  const Strategy& strategy = plan_.strategies[cell.strategy];
  const Contract& contract = plan_.contracts[*cell.contract];
  std::map<int, std::size_t> ring;  // ring size of every head that must have shares
  if (strategy.exchange != Exchange::kRing) {
    const Partition& partition = plan_.partitions[strategy.partition];
    for (const HeadGroup& group : partition.groups) {
      for (const int head : group.heads) {
        if (group.ranks.size() > 1) ring[head] = group.ranks.size();
      }
    }
  }
  bool right = ring.size() == contract.shares.size();
  for (const HeadShares& head : contract.shares) {
    const auto found = ring.find(head.head);
    right = right && found != ring.end() && found->second == head.share.size();
    if (right) ring.erase(found);
  }
  if (!right) {
    Wrong(key,
          "contract {} does not give the shares of the heads that strategy {} splits",
          *cell.contract,
          cell.strategy);
  }
}

void PlanChecker::Cells() const {
  std::set<std::tuple<int, int>> checked;
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const PlanCell& cell = plan_.cells[i];
    const std::string key = fmt::format("cells[{}]", i);
    Range(key + "[0]", cell.step, 0, std::numeric_limits<int>::max());
    Range(key + "[1]", cell.layer, 0, std::numeric_limits<int>::max());
    Index(key + "[2]", cell.strategy, plan_.strategies.size(), "strategies");
    Index(key + "[3]", cell.prediction, plan_.predictions.size(), "predictions");
    if (cell.contract && checked.insert({cell.strategy, *cell.contract}).second) {
      CellContract(key + "[4]", cell);
    }
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

void CheckPlan(const Plan& plan, const std::string& origin, ErrorCode code) {
  const PlanChecker checker(plan, origin, code);
  checker.Shape();
  checker.Workload();
  checker.Layouts();
  checker.Partitions();
  checker.Strategies();
  checker.Predictions();
  checker.Contracts();
  checker.Cells();
}

}  // namespace dbsp
