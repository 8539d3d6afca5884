// SPDX-License-Identifier: Apache-2.0
// One side of a ring's split (its rows, or its columns) searched while the other stands still.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/swap_scan.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {

/// Items (rows or columns) with a weight per part of the other side, onto the R parts of a ring.
/// cell[i][k] is the sum of weight[item][k] over the items of part i; at ring step t part i works
/// on cell[i][(i + t) % R], and the barrier is the sum over t of the busiest. For columns the parts
/// are theirs and k runs over the rows' parts: the barrier is the same read either way.
class RingAxisPartition {
 public:
  struct Limits {
    std::int64_t scans = 0;  ///< exchanges that may be looked at
    double enough = 0;  ///< cost at which the search ends
    int patience = 0;  ///< items in a row for which nothing is found
  };

  /// shape    weight[item * ring + k], owner[item], home[item]
  /// requires ring >= 2, owners and homes in [0, ring)
  /// extra    items a part may hold above ceil(n / R), and below floor(n / R), unless it does so
  ///          from the start
  /// price    of an item away from home, in units of weight
  RingAxisPartition(std::span<const std::int64_t> weight,
                    std::span<const int> owner,
                    std::span<const int> home,
                    int ring,
                    int extra,
                    double price);

  /// Barrier + price * items away from home.
  [[nodiscard]] double cost() const;
  /// No owners of these items have a lower barrier: each part of the other side has its own sum.
  [[nodiscard]] double Bound() const { return bound_; }
  [[nodiscard]] const std::vector<int>& owner() const { return owner_; }
  /// The owners that had the least cost so far, and that cost.
  [[nodiscard]] std::vector<int> BestOwner() const;
  [[nodiscard]] double best() const { return best_; }

  /// Exchanges that bring the cells of each step nearer to their mean (least squares), the best for
  /// one random item and part at a time.
  void MinimizeSquares(const Limits& limits, Prng& prng);
  /// The same by cost: plateaus are crossed, rises never taken.
  void MinimizeBarrier(const Limits& limits, Prng& prng);
  /// Takes items back home, or changes them for others, wherever the cost does not rise.
  void RestoreHomes();
  [[nodiscard]] std::int64_t scanned() const { return scanned_; }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  /// Items a and b change places between parts p and q; b is kNone where a moves alone.
  struct Exchange {
    std::size_t a = 0;
    std::size_t b = kNone;
    std::size_t p = 0;
    std::size_t q = 0;
  };
  enum class Aim { kSquares, kBarrier };

  [[nodiscard]] float BarrierNow() const;
  void UpdateMeans();
  /// The best partner in q for item a, and its score; false where there is none.
  bool BestExchange(Aim aim, Exchange& exchange, float& score);
  /// Score of the cells of p and q as they are, comparable with BestExchange's.
  [[nodiscard]] float ScoreNow(Aim aim, std::size_t p, std::size_t q) const;
  void Apply(const Exchange& exchange);
  /// Keeps an account, so that BestOwner() can undo it.
  void Take(const Exchange& exchange);
  void Place(std::size_t item, std::size_t part, int sign);
  void SwapSlots(std::size_t a, std::size_t b);
  void MoveSlot(std::size_t a, std::size_t p, std::size_t q);
  [[nodiscard]] Exchange RandomExchange(Prng& prng) const;

  std::size_t ring_;
  std::size_t capacity_ = 0;  ///< slots of a part, a multiple of kScanLanes
  std::size_t pitch_ = 0;  ///< slots of all parts
  std::size_t most_ = 0;
  std::size_t fewest_ = 0;
  double price_;
  double bound_ = 0;
  double base_ = 0;  ///< taken off every cell, so that floats stay small
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
