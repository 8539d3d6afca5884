// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_balance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace dbsp::planner {
namespace {

void CheckGreedy(std::span<const std::int64_t> weights,
                 int parts,
                 double reward,
                 std::span<const int> home) {
  if (parts < 1) Fail(ErrorCode::kInvalidArgument, "greedy split into {} parts", parts);
  if (!std::isfinite(reward) || reward < 0) {
    Fail(ErrorCode::kInvalidArgument, "greedy split: reward {} is not finite and >= 0", reward);
  }
  if (!home.empty() && home.size() != weights.size()) {
    Fail(ErrorCode::kInvalidArgument,
         "greedy split: {} homes for {} items",
         home.size(),
         weights.size());
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] < 0) {
      Fail(ErrorCode::kInvalidArgument, "greedy split: weight[{}] = {} < 0", i, weights[i]);
    }
  }
}

}  // namespace

std::vector<int> GreedyOwners(std::span<const std::int64_t> weights,
                              int parts,
                              double reward,
                              std::span<const int> home) {
  CheckGreedy(weights, parts, reward, home);
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // The sort is deliberately not stable. Video masks have long runs of equal rows, where the order
  // of equal weights decides the partition, and this order gives the published numbers.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return weights[a] > weights[b];
  });
  const auto slots = static_cast<std::size_t>(parts);
  const std::size_t cap = (weights.size() + slots - 1) / slots;
  std::vector<double> load(slots, 0.0);
  std::vector<std::size_t> count(slots, 0);
  std::vector<int> owner(weights.size(), 0);
  for (const std::size_t item : order) {
    const auto weight = static_cast<double>(weights[item]);
    std::size_t best = slots;
    double best_key = 0;
    for (std::size_t g = 0; g < slots; ++g) {
      if (count[g] >= cap) continue;
      const bool at_home = !home.empty() && home[item] == static_cast<int>(g);
      const double key = load[g] - (at_home ? reward * weight : 0.0);
      const bool emptier =
          weights[item] == 0 && best < slots && key == best_key && count[g] < count[best];
      if (best == slots || key < best_key || emptier) {
        best = g;
        best_key = key;
      }
    }
    owner[item] = static_cast<int>(best);
    load[best] += weight;
    ++count[best];
  }
  return owner;
}

std::vector<int> ContiguousOwners(int items, int parts) {
  if (items < 0 || parts < 1) {
    Fail(ErrorCode::kInvalidArgument, "cannot split {} items into {} parts", items, parts);
  }
  std::vector<int> owner(items);
  for (int i = 0; i < items; ++i) {
    owner[i] = static_cast<int>(static_cast<std::int64_t>(i) * parts / items);
  }
  return owner;
}

double MaxOverMean(std::span<const std::int64_t> weights, std::span<const int> owner, int parts) {
  DBSP_CHECK(parts >= 1 && owner.size() == weights.size());
  std::vector<std::int64_t> load(parts, 0);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    DBSP_CHECK(owner[i] >= 0 && owner[i] < parts);
    load[owner[i]] += weights[i];
    total += weights[i];
  }
  if (total == 0) return 1.0;
  return static_cast<double>(*std::max_element(load.begin(), load.end())) * parts /
         static_cast<double>(total);
}

}  // namespace dbsp::planner
