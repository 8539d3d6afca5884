// SPDX-License-Identifier: Apache-2.0
// Rule that decides whether to keep the plan of an earlier denoising step or to make a new one.
#pragma once

#include <optional>

namespace dbsp::planner {

/// Visits the steps of one layer in order. A plan is kept until the time lost since it was made,
/// the coming step included, exceeds the price of a new plan (the ski-rental rule). The rule needs
/// no knowledge of later steps, and a run loses at most the price of its plans.
/// source  Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching", Algorithmica 3 (1988);
///         db-SP instead makes a new plan when rho of the last step exceeds 1.1
class ReuseRule {
 public:
  /// price  of one plan, in the unit of Replan()'s times. most  number of plans in a run; absent
  ///        means any
  explicit ReuseRule(double price, std::optional<int> most = std::nullopt)
      : price_(price), most_(most) {}

  /// Predicted times of the coming step with the current plan and with a new one. The first step
  /// always makes a plan and ignores `keep`.
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
  [[nodiscard]] double lost() const { return lost_; }  ///< time lost since the last plan

 private:
  double price_;
  std::optional<int> most_;
  int plans_ = 0;
  double lost_ = 0;
};

}  // namespace dbsp::planner
