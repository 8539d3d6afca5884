// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/cell_search.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "planner/placement/ring_axis_partition.h"

namespace dbsp::planner {
namespace {

/// Phases, each over rows or columns. The search ends earlier after kIdlePhases consecutive phases
/// that each gain less than kGain of the mean.
constexpr int kPhases = 10;
constexpr int kIdlePhases = 3;
constexpr double kGain = 0.0001;
/// The cost of a phase is proportional to its items n, so small groups get kMorePhasesUpTo / n more
/// idle phases and three times as many more phases in total.
constexpr std::size_t kMorePhasesUpTo = 200;
constexpr int kSwapsPerCellKick = 2;
/// Scans of one phase. MinimizeSquares gets two thirds, MinimizeBarrier the rest.
constexpr std::int64_t kPhaseScans = 60000;
/// A scan takes time in proportion to the square of the ring's length, so longer rings than this
/// one get fewer scans, in the same time.
constexpr std::int64_t kFullScansUpTo = 8;
constexpr std::int64_t kFewestScans = 2000;
/// Consecutive items without an improving exchange after which a phase ends.
constexpr int kPatience = 100;
/// MinimizeBarrier is skipped once the cost is this near to RingAxisPartition::Bound.
constexpr double kNearBound = 1.0003;
/// Items return home after the search if those away cost more than this fraction of the mean.
constexpr double kRestoreAbove = 0.001;

std::int64_t BarrierOf(const std::vector<std::int64_t>& row_parts,
                       const std::vector<int>& row_owner,
                       int ring) {
  const auto parts = static_cast<std::size_t>(ring);
  std::vector<std::int64_t> cell(parts * parts, 0);  // [ring step][row part]
  for (std::size_t i = 0; i < row_owner.size(); ++i) {
    const auto part = static_cast<std::size_t>(row_owner[i]);
    for (std::size_t k = 0; k < parts; ++k) {
      cell[(k >= part ? k - part : k + parts - part) * parts + part] += row_parts[i * parts + k];
    }
  }
  std::int64_t barrier = 0;
  for (auto step = cell.begin(); step != cell.end(); step += ring) {
    barrier += *std::max_element(step, step + ring);
  }
  return barrier;
}

std::int64_t AwayOf(const std::vector<int>& owner, const std::vector<int>& home) {
  std::int64_t away = 0;
  for (std::size_t i = 0; i < owner.size(); ++i) away += owner[i] == home[i] ? 0 : 1;
  return away;
}

class CellSearch {
 public:
  CellSearch(const MaskSum& masks,
             const RingOwners& home,
             const RingOwners& start,
             int ring,
             const CellSearchOptions& options)
      : masks_(masks), home_(home), ring_(ring), options_(options), now_(start) {
    first_ = masks.RowParts(start.col, ring);
    best_.owners = start;
    best_.mean =
        static_cast<double>(std::accumulate(first_.begin(), first_.end(), std::int64_t{0})) / ring;
    std::vector<std::int64_t> rows;
    for (auto row = first_.begin(); row != first_.end(); row += ring) {
      rows.push_back(std::accumulate(row, row + ring, std::int64_t{0}));
    }
    const auto heaviest = static_cast<double>(MaxLoadLowerBound(std::move(rows), ring));
    best_.least = std::max(best_.mean, heaviest);
    const std::int64_t away = AwayOf(start.row, home.row) + AwayOf(start.col, home.col);
    best_.cost = static_cast<double>(BarrierOf(first_, start.row, ring)) +
                 options.move_price * static_cast<double>(away);
  }

  FoundOwners Run() {
    const double enough = std::max(options_.good_enough * best_.mean, best_.least);
    const std::int64_t ring = std::max<std::int64_t>(ring_, kFullScansUpTo);
    const auto scans = [&](std::int64_t most) {
      const std::int64_t fewer = most * (kFullScansUpTo * kFullScansUpTo) / (ring * ring);
      return std::min(most, std::max(kFewestScans, fewer));
    };
    std::int64_t left = scans(options_.scans);
    const std::int64_t phase_scans = scans(kPhaseScans);
    Prng prng{0x63656C6C, now_.row.size(), now_.col.size(), static_cast<std::uint64_t>(ring_)};
    const auto more =
        static_cast<int>(kMorePhasesUpTo / std::max(now_.row.size(), now_.col.size()));
    int idle = 0;
    for (int phase = 0; phase < kPhases + 3 * more && best_.cost > enough; ++phase) {
      if (idle == kIdlePhases + more) break;
      const bool rows = phase % 2 == 0;
      RingAxisPartition axis = phase == 0 ? AxisOf(now_, rows, first_) : AxisOf(now_, rows);
      const std::int64_t part = std::min(left, phase_scans);
      axis.MinimizeSquares({part * 2 / 3, OwnEnough(enough, rows), kPatience}, prng);
      if (axis.cost() > kNearBound * axis.Bound()) {
        axis.MinimizeBarrier({part / 3, OwnEnough(enough, rows), kPatience}, prng);
      }
      const double before = best_.cost;
      Keep(axis, rows);
      idle = before - best_.cost > kGain * best_.mean ? 0 : idle + 1;
      (rows ? now_.row : now_.col) = axis.owner();
      if (idle > 0) Kick(rows ? now_.row : now_.col, prng);
      left -= axis.scanned();
      if (left <= 0) break;
    }
    RestoreHomes();
    return std::move(best_);
  }

 private:
  [[nodiscard]] RingAxisPartition AxisOf(const RingOwners& owners, bool rows) const {
    return AxisOf(
        owners,
        rows,
        rows ? masks_.RowParts(owners.col, ring_) : masks_.ColumnParts(owners.row, ring_));
  }
  [[nodiscard]] RingAxisPartition AxisOf(const RingOwners& owners,
                                         bool rows,
                                         const std::vector<std::int64_t>& weight) const {
    return RingAxisPartition(weight,
                             rows ? owners.row : owners.col,
                             rows ? home_.row : home_.col,
                             ring_,
                             options_.extra_items,
                             options_.move_price);
  }
  /// Cost of the other axis' items that are away from home.
  [[nodiscard]] double OtherPrice(bool rows) const {
    const std::int64_t away = rows ? AwayOf(now_.col, home_.col) : AwayOf(now_.row, home_.row);
    return options_.move_price * static_cast<double>(away);
  }
  [[nodiscard]] double OwnEnough(double enough, bool rows) const {
    return enough - OtherPrice(rows);
  }
  /// Random swaps after a phase without gain.
  static void Kick(std::vector<int>& owner, Prng& prng) {
    for (int n = 0; n < kSwapsPerCellKick; ++n) {
      std::swap(owner[prng.Below(owner.size())], owner[prng.Below(owner.size())]);
    }
  }
  void Keep(const RingAxisPartition& axis, bool rows) {
    const double cost = axis.best() + OtherPrice(rows);
    if (cost >= best_.cost) return;
    best_.cost = cost;
    best_.owners = now_;
    (rows ? best_.owners.row : best_.owners.col) = axis.BestOwner();
  }
  void RestoreHomes() {
    for (const bool rows : {true, false}) {
      const std::int64_t away =
          AwayOf(best_.owners.row, home_.row) + AwayOf(best_.owners.col, home_.col);
      if (options_.move_price * static_cast<double>(away) <= kRestoreAbove * best_.mean) return;
      now_ = best_.owners;
      RingAxisPartition axis = AxisOf(now_, rows);
      axis.RestoreHomes();
      Keep(axis, rows);
    }
  }

  const MaskSum& masks_;
  const RingOwners& home_;
  int ring_;
  const CellSearchOptions& options_;
  RingOwners now_;
  std::vector<std::int64_t> first_;  ///< RowParts of the start
  FoundOwners best_;
};

}  // namespace

std::int64_t MaxLoadLowerBound(std::vector<std::int64_t> weights, int parts) {
  std::ranges::sort(weights, std::greater<>());
  std::int64_t least = 0;
  const auto stride = static_cast<std::size_t>(parts);
  for (std::size_t last = 0; last < weights.size(); last += stride) {
    const std::size_t fewest = last / stride + 1;  // of the items up to `last`, on some part
    const auto end = weights.begin() + static_cast<std::ptrdiff_t>(last + 1);
    least = std::max(
        least, std::accumulate(end - static_cast<std::ptrdiff_t>(fewest), end, std::int64_t{0}));
  }
  return least;
}

std::int64_t RingBarrier(const MaskSum& masks, const RingOwners& owners, int ring) {
  return BarrierOf(masks.RowParts(owners.col, ring), owners.row, ring);
}

FoundOwners SearchCells(const MaskSum& masks,
                        const RingOwners& home,
                        const RingOwners& start,
                        int ring,
                        const CellSearchOptions& options) {
  DBSP_CHECK(ring >= 1 && home.row.size() == start.row.size() &&
             home.col.size() == start.col.size());
  if (ring == 1 || start.row.empty() || start.col.empty()) return {start, 0, 0, 0};
  return CellSearch(masks, home, start, ring, options).Run();
}

}  // namespace dbsp::planner
