// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/contract.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/error.h"
#include "planner/timeline/barrier.h"

namespace dbsp::planner {
namespace {

/// Rounds to six digits: a share only estimates other masks, and plans hold many shares.
double Rounded(double share) { return std::round(share * 1e6) / 1e6; }

HeadShares SharesOf(const RowLoads& loads, const HeadGroup& group, int head) {
  const std::size_t ring = group.ranks.size();
  HeadShares shares{head, std::vector<double>(ring, 0.0)};
  double total = 0;
  for (std::size_t row = 0; row < group.row_owner.size(); ++row) {
    const double blocks = loads.At(head, row);
    shares.share[group.row_owner[row]] += blocks;
    total += blocks;
  }
  for (double& share : shares.share) {
    // A head without active blocks does not show where they will be: even shares.
    share = Rounded(total > 0 ? share / total : 1.0 / static_cast<double>(ring));
  }
  return shares;
}

void RequireTolerance(double tolerance) {
  if (std::isfinite(tolerance) && tolerance >= 0) return;
  Fail(ErrorCode::kInvalidArgument, "contract: tolerance {}, expected at least 0", tolerance);
}

}  // namespace

Contract MakeContract(const RowLoads& loads,
                      const Partition& partition,
                      double tolerance,
                      int fallback) {
  RequireTolerance(tolerance);
  const std::vector<std::int64_t> load = RankLoads(loads, partition);
  const double mean = std::accumulate(load.begin(), load.end(), 0.0) / partition.ranks;
  const double rho = mean > 0 ? static_cast<double>(*std::ranges::max_element(load)) / mean : 1.0;
  Contract contract{rho * (1 + tolerance), fallback, {}};
  for (const HeadGroup& group : partition.groups) {
    if (group.ranks.size() == 1) continue;
    for (const int head : group.heads) contract.shares.push_back(SharesOf(loads, group, head));
  }
  std::ranges::sort(contract.shares, {}, &HeadShares::head);
  return contract;
}

Contract MakeContract(const LayerMasks& masks,
                      const Partition& partition,
                      Exchange exchange,
                      double tolerance,
                      int fallback) {
  if (exchange != Exchange::kRing) {
    return MakeContract(RowLoadsOf(masks), partition, tolerance, fallback);
  }
  RequireTolerance(tolerance);
  return {BarrierRho(masks, partition) * (1 + tolerance), fallback, {}};
}

bool ContractHolds(const LayerMasks& masks, const Partition& partition, const Contract& contract) {
  return BarrierRho(masks, partition) <= contract.rho_limit;
}

ContractCheck::ContractCheck(const Partition& partition, const Contract& contract)
    : limit_(contract.rho_limit), heads_(static_cast<std::size_t>(partition.heads)) {
  std::map<int, const HeadShares*> of_head;
  for (const HeadShares& shares : contract.shares) of_head[shares.head] = &shares;
  std::vector<std::vector<Part>> parts(partition.ranks);
  for (const HeadGroup& group : partition.groups) {
    if (!group.col_owner.empty()) {
      Fail(ErrorCode::kInvalidArgument,
           "contract: counts of heads do not give the load of a ring's steps; use ContractHolds");
    }
    for (const int head : group.heads) {
      if (group.ranks.size() == 1) {
        parts[group.ranks.front()].push_back({head, 1.0});
        continue;
      }
      const auto found = of_head.find(head);
      if (found == of_head.end() || found->second->share.size() != group.ranks.size()) {
        Fail(ErrorCode::kInvalidArgument,
             "contract: head {} is on {} ranks, expected a share of each",
             head,
             group.ranks.size());
      }
      for (std::size_t i = 0; i < group.ranks.size(); ++i) {
        const double share = found->second->share[i];
        if (share > 0) parts[group.ranks[i]].push_back({head, share});
      }
    }
  }
  begin_.push_back(0);
  for (const std::vector<Part>& rank : parts) {
    parts_.insert(parts_.end(), rank.begin(), rank.end());
    begin_.push_back(parts_.size());
  }
}

double ContractCheck::LoadRatio(std::span<const std::int64_t> head_counts) const {
  DBSP_CHECK(head_counts.size() == heads_);
  double busiest = 0;
  double total = 0;
  for (std::size_t rank = 0; rank + 1 < begin_.size(); ++rank) {
    double load = 0;
    for (std::size_t p = begin_[rank]; p < begin_[rank + 1]; ++p) {
      load += parts_[p].share * static_cast<double>(head_counts[parts_[p].head]);
    }
    busiest = std::max(busiest, load);
    total += load;
  }
  return total > 0 ? busiest * static_cast<double>(begin_.size() - 1) / total : 1.0;
}

}  // namespace dbsp::planner
