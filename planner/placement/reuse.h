// SPDX-License-Identifier: Apache-2.0
// Keep the plan of an earlier denoising step, or make a new one?
#pragma once

#include <optional>

namespace dbsp::planner {

/// One layer's steps in order. A plan is kept until what it has lost since it was made, the coming
/// step included, is more than a new one costs: rent until the rent paid would have bought. Nobody
/// needs to know the steps to come, and the losses of a run are at most the price of its plans.
/// source  Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching", Algorithmica 3 (1988);
///         db-SP instead replans when rho of the last step passes 1.1
class ReuseRule {
 public:
  /// price  of one plan, in the unit of Replan()'s times; most: plans of a run, absent = any
  explicit ReuseRule(double price, std::optional<int> most = std::nullopt)
      : price_(price), most_(most) {}

  /// Times of the coming step, predicted: with the plan in use, and with a new one. The first step
  /// always plans, and its `keep` says nothing.
  [[nodiscard]] bool Replan(double keep, double fresh) {
    const double lost = plans_ == 0 ? 0 : lost_ + (keep > fresh ? keep - fresh : 0);
    const bool left = !most_ || plans_ < *most_;
    if (plans_ > 0 && (lost <= price_ || !left)) {
      lost_ = lost;
      return false;
    }
    lost_ = 0;
    ++plans_;
    return true;
  }

  [[nodiscard]] int plans() const { return plans_; }
  [[nodiscard]] double lost() const { return lost_; }  ///< since the last plan

 private:
  double price_;
  std::optional<int> most_;
  int plans_ = 0;
  double lost_ = 0;
};

}  // namespace dbsp::planner
