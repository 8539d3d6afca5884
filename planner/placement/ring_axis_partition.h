// SPDX-License-Identifier: Apache-2.0
// Search over one axis of a ring's partition (its rows or its columns) while the other axis is
// fixed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/swap_scan.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {

/// Divides items (rows or columns) among the R parts of a ring. Each item has a weight per part of
/// the other axis. cell[i][k] is the sum of weight[item][k] over the items of part i. At ring step
/// t part i computes cell[i][(i + t) % R]. The barrier is the sum over t of the largest cell. For
/// columns, k runs over the parts of the rows; the barrier is the same.
class RingAxisPartition {
 public:
  struct Limits {
    std::int64_t scans = 0;  ///< exchanges that may be evaluated
    double enough = 0;  ///< cost at which the search ends
    int patience = 0;  ///< consecutive items without an improving exchange
  };

  /// shape    weight[item * ring + k], owner[item], home[item]
  /// requires ring >= 2, owners and homes in [0, ring)
  /// extra    items that a part may hold above ceil(n / R), and below floor(n / R), unless it does
  ///          so from the start
  /// price    cost of an item away from home, in units of weight
  RingAxisPartition(std::span<const std::int64_t> weight,
                    std::span<const int> owner,
                    std::span<const int> home,
                    int ring,
                    int extra,
                    double price);

  /// Barrier + price * items away from home.
  [[nodiscard]] double cost() const;
  /// Lower bound on the barrier: each part of the other axis has its own sum.
  [[nodiscard]] double Bound() const { return bound_; }
  [[nodiscard]] const std::vector<int>& owner() const { return owner_; }
  /// The owners with the least cost so far.
  [[nodiscard]] std::vector<int> BestOwner() const;
  /// Least cost so far.
  [[nodiscard]] double best() const { return best_; }

  /// Exchanges that bring the cells of each step nearer to their mean (least squares). Takes the
  /// best exchange for one random item and part at a time.
  void MinimizeSquares(const Limits& limits, Prng& prng);
  /// Exchanges that lower the cost. Equal costs are accepted, higher costs never.
  void MinimizeBarrier(const Limits& limits, Prng& prng);
  /// Moves items home, or swaps them for others, where the cost becomes lower.
  void RestoreHomes();
  [[nodiscard]] std::int64_t scanned() const { return scanned_; }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  /// Items a and b change places between parts p and q. If b is kNone, a moves alone.
  struct Exchange {
    std::size_t a = 0;
    std::size_t b = kNone;
    std::size_t p = 0;
    std::size_t q = 0;
  };
  enum class Objective { kSquares, kBarrier };

  [[nodiscard]] float BarrierNow() const;
  void UpdateMeans();
  /// The best partner in q for item a, and its score. Returns false if there is none.
  bool BestExchange(Objective objective, Exchange& exchange, float& score);
  /// Score of the current cells of p and q, comparable with BestExchange's.
  [[nodiscard]] float ScoreNow(Objective objective, std::size_t p, std::size_t q) const;
  void Apply(const Exchange& exchange);
  /// Applies an exchange and records it, so that BestOwner() can undo it.
  void Record(const Exchange& exchange);
  void Place(std::size_t item, std::size_t part, int sign);
  void SwapSlots(std::size_t a, std::size_t b);
  void MoveSlot(std::size_t a, std::size_t p, std::size_t q);
  [[nodiscard]] Exchange RandomExchange(Prng& prng) const;

  std::size_t ring_;
  std::size_t capacity_ = 0;  ///< slots of a part, a multiple of kScanLanes
  std::size_t pitch_ = 0;  ///< slots of all parts
  std::size_t most_ = 0;  ///< items of a part at most
  std::size_t fewest_ = 0;  ///< items of a part at least
  double price_;
  double bound_ = 0;
  double base_ = 0;  ///< subtracted from every cell, so that floats stay small
  std::vector<int> owner_;
  std::vector<int> home_;
  std::vector<float> weight_;  ///< [k][slot]
  std::vector<std::int32_t> slot_home_;  ///< [slot]
  std::vector<std::size_t> item_;  ///< [slot]
  std::vector<std::size_t> slot_;  ///< [item]
  std::vector<std::size_t> count_;  ///< [part]
  std::vector<float> cell_;  ///< [part][ring step]
  std::vector<float> mean_;  ///< [ring step]
  std::vector<float> others_;
  std::vector<float> p_without_;
  std::vector<float> q_with_;
  std::vector<float> score_;
  float barrier_ = 0;
  std::int64_t away_ = 0;
  std::int64_t scanned_ = 0;
  double best_ = 0;
  std::vector<Exchange> since_best_;
};

}  // namespace dbsp::planner
