// SPDX-License-Identifier: Apache-2.0
#include "planner/cell_search.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

#include "core/error.h"
#include "planner/rules/prng.h"

namespace dbsp::planner {
namespace {

// From the masks of docs/planner.md: hotter, cooler, more or longer phases are no better there.
constexpr int kPhases = 12;
constexpr double kCooling = 0.6;
/// First temperature, as part of the mean cell.
constexpr double kTemperature = 0.01;
/// Both sides are tried cold before anything is heated: large masks need no more, and each further
/// phase is a pass over the masks.
constexpr int kColdPhases = 2;
constexpr double kCold = 0.02;
/// The least first temperature in kept blocks: small cells are whole numbers of blocks.
constexpr double kLeastTemperature = 1.0;
/// What one cooling leaves varies by a few thousandths where cells are small: another one from the
/// same start, with other random numbers and longer, where more than this is left.
constexpr int kRounds = 3;
constexpr double kSecondRound = 1.003;

/// The cells and their barrier. Rows and columns are treated alike: a "line" is a row (or column)
/// part, and `step` says at which ring step a cell is worked on.
class Cells {
 public:
  explicit Cells(int ring)
      : ring_(static_cast<std::size_t>(ring)), cell_(ring_ * ring_, 0), slowest_(ring_, 0) {}

  /// Cell of row part i and column part j.
  std::int64_t& At(std::size_t i, std::size_t j) {
    return cell_[i * ring_ + (j >= i ? j - i : j + ring_ - i)];
  }
  [[nodiscard]] std::int64_t Barrier() {
    std::ranges::fill(slowest_, 0);
    for (std::size_t i = 0; i < ring_; ++i) {
      const std::int64_t* row = &cell_[i * ring_];
      for (std::size_t t = 0; t < ring_; ++t) slowest_[t] = std::max(slowest_[t], row[t]);
    }
    return std::accumulate(slowest_.begin(), slowest_.end(), std::int64_t{0});
  }
  [[nodiscard]] std::int64_t Total() const {
    return std::accumulate(cell_.begin(), cell_.end(), std::int64_t{0});
  }

 private:
  std::size_t ring_;
  std::vector<std::int64_t> cell_;  ///< [row part][ring step]
  std::vector<std::int64_t> slowest_;
};

/// weight[item * ring + k]: kept blocks of the row (column) whose column (row) has owner k.
using Weights = std::vector<std::int64_t>;

Weights RowWeights(const std::vector<DistinctMask>& masks,
                   const std::vector<int>& col_owner,
                   int ring) {
  const BlockMask& first = *masks.front().mask;
  Weights weights(static_cast<std::size_t>(first.rows()) * static_cast<std::size_t>(ring), 0);
  for (const DistinctMask& entry : masks) {
    AddPartCounts(*entry.mask, col_owner, ring, static_cast<int>(entry.heads.size()), weights);
  }
  return weights;
}

Weights ColumnWeights(const std::vector<DistinctMask>& masks,
                      const std::vector<int>& row_owner,
                      int ring) {
  const auto parts = static_cast<std::size_t>(ring);
  const auto cols = static_cast<std::size_t>(masks.front().mask->cols());
  Weights weights(cols * parts, 0);
  // Masks shared by equally many heads are counted together: reading counters out costs as much as
  // counting.
  std::map<std::size_t, std::vector<const BlockMask*>> alike;
  for (const DistinctMask& entry : masks) alike[entry.heads.size()].push_back(entry.mask);
  for (const auto& [heads, list] : alike) {
    for (int k = 0; k < ring; ++k) {
      const std::vector<std::int64_t> counts = ColumnCounts(list, row_owner, k);
      for (std::size_t j = 0; j < cols; ++j) {
        weights[j * parts + static_cast<std::size_t>(k)] +=
            counts[j] * static_cast<std::int64_t>(heads);
      }
    }
  }
  return weights;
}

Cells CellsOf(const Weights& row_weights, const std::vector<int>& row_owner, int ring) {
  Cells cells(ring);
  const auto parts = static_cast<std::size_t>(ring);
  for (std::size_t i = 0; i < row_owner.size(); ++i) {
    for (std::size_t k = 0; k < parts; ++k) {
      cells.At(static_cast<std::size_t>(row_owner[i]), k) += row_weights[i * parts + k];
    }
  }
  return cells;
}

/// One side (rows or columns) while the other stands still.
class Side {
 public:
  Side(bool rows,
       std::vector<int>& owner,
       const std::vector<int>& home,
       Weights weights,
       Cells& cells,
       int ring,
       const CellSearchOptions& options)
      : rows_(rows),
        owner_(owner),
        home_(home),
        weights_(std::move(weights)),
        cells_(cells),
        ring_(static_cast<std::size_t>(ring)),
        count_(ring_, 0),
        price_(options.move_price) {
    for (const int part : owner_) ++count_[static_cast<std::size_t>(part)];
    const auto items = static_cast<int>(owner_.size());
    most_ = (items + ring - 1) / ring + options.extra_items;
    fewest_ = std::max(0, items / ring - options.extra_items);
  }

  /// Tries `trials` random swaps and moves, stopping at cost `enough`; `temperature` is in kept
  /// blocks. The owners are left where the last change put them.
  /// returns the least cost seen, `cost` being that of the owners now; `best` gets its owners
  double Anneal(std::int64_t trials,
                double temperature,
                double cost,
                double enough,
                Prng& prng,
                std::vector<int>& best) {
    const auto items = static_cast<std::uint64_t>(owner_.size());
    std::int64_t barrier = cells_.Barrier();
    double best_cost = cost;
    best = owner_;
    for (std::int64_t n = 0; n < trials && best_cost > enough; ++n) {
      const std::size_t a = prng.Below(items);
      const bool move = (prng.Next() & 3U) == 0;
      const std::size_t b = move ? items : prng.Below(items);
      const auto from = static_cast<std::size_t>(owner_[a]);
      const std::size_t to = move ? prng.Below(ring_) : static_cast<std::size_t>(owner_[b]);
      if (from == to || (move && (count_[from] <= fewest_ || count_[to] >= most_))) continue;
      Shift(a, b, from, to, 1);
      const std::int64_t after = cells_.Barrier();
      const double change = static_cast<double>(after - barrier) + price_ * Away(a, b, from, to);
      if (change > 0 && change > temperature * Exponential(prng)) {
        Shift(a, b, from, to, -1);
        continue;
      }
      barrier = after;
      cost += change;
      owner_[a] = static_cast<int>(to);
      if (move) {
        --count_[from];
        ++count_[to];
      } else {
        owner_[b] = static_cast<int>(from);
      }
      if (cost < best_cost) {
        best_cost = cost;
        best = owner_;
      }
    }
    return best_cost;
  }

 private:
  /// Item a leaves `from` for `to` and item b, if there is one, goes the other way; -1 takes it
  /// back.
  void Shift(std::size_t a, std::size_t b, std::size_t from, std::size_t to, int sign) {
    const std::int64_t* gone = &weights_[a * ring_];
    const std::int64_t* come = b < owner_.size() ? &weights_[b * ring_] : nullptr;
    for (std::size_t k = 0; k < ring_; ++k) {
      const std::int64_t change = sign * (gone[k] - (come != nullptr ? come[k] : 0));
      (rows_ ? cells_.At(from, k) : cells_.At(k, from)) -= change;
      (rows_ ? cells_.At(to, k) : cells_.At(k, to)) += change;
    }
  }

  /// Items more away from home after the change.
  [[nodiscard]] double Away(std::size_t a, std::size_t b, std::size_t from, std::size_t to) const {
    const auto at = [&](std::size_t item, std::size_t part) {
      return home_[item] == static_cast<int>(part) ? 0 : 1;
    };
    int away = at(a, to) - at(a, from);
    if (b < owner_.size()) away += at(b, from) - at(b, to);
    return away;
  }

  /// Exponentially distributed with mean 1 up to interpolation, in arithmetic that is the same on
  /// every machine (std::log is not).
  static double Exponential(Prng& prng) {
    const std::uint64_t bits = prng.Next();
    constexpr double kLog2 = 0.6931471805599453;
    const double fraction = static_cast<double>(bits & 0xFFFFU) * 0x1.0p-16;
    return kLog2 * (std::countl_zero(bits | 0xFFFFU) + fraction);
  }

  bool rows_;
  std::vector<int>& owner_;
  const std::vector<int>& home_;
  Weights weights_;
  Cells& cells_;
  std::size_t ring_;
  std::vector<int> count_;
  int most_ = 0;
  int fewest_ = 0;
  double price_;
};

int Away(const RingOwners& owners, const RingOwners& home) {
  int away = 0;
  for (std::size_t i = 0; i < owners.row.size(); ++i) away += owners.row[i] != home.row[i] ? 1 : 0;
  for (std::size_t j = 0; j < owners.col.size(); ++j) away += owners.col[j] != home.col[j] ? 1 : 0;
  return away;
}

struct Found {
  RingOwners owners;
  double cost = 0;
  double rho = 1;  ///< cost / (kept blocks / ring), so the price counts
};

/// One cooling down from `start`, rows and columns by turns.
Found AnnealOnce(const std::vector<DistinctMask>& masks,
                 const RingOwners& home,
                 const RingOwners& start,
                 int ring,
                 const CellSearchOptions& options,
                 Prng& prng) {
  RingOwners now = start;
  Found found{start, 0, 1};
  double heat = 1;
  for (int phase = -kColdPhases; phase < kPhases; ++phase) {
    const bool rows = phase % 2 == 0;
    Weights weights = RowWeights(masks, now.col, ring);
    Cells cells = CellsOf(weights, now.row, ring);
    const double mean = static_cast<double>(cells.Total()) / ring;
    const double cost = static_cast<double>(cells.Barrier()) + options.move_price * Away(now, home);
    if (phase == -kColdPhases) found.cost = cost;
    const double enough = options.good_enough * mean;
    if (found.cost <= enough) break;
    if (!rows) weights = ColumnWeights(masks, now.row, ring);
    std::vector<int>& owner = rows ? now.row : now.col;
    const std::vector<int>& at = rows ? home.row : home.col;
    Side side(rows, owner, at, std::move(weights), cells, ring, options);
    const double hot = std::max(kTemperature * mean / ring, kLeastTemperature);
    const double temperature = phase < 0 ? kCold * hot : heat * hot;
    std::vector<int> best;
    const double least =
        side.Anneal(options.trials / kPhases, temperature, cost, enough, prng, best);
    if (least < found.cost) {
      found.owners = now;
      (rows ? found.owners.row : found.owners.col) = std::move(best);
      found.cost = least;
    }
    found.rho = mean > 0 ? found.cost / mean : 1;
    if (phase >= 0) heat *= kCooling;
  }
  return found;
}

}  // namespace

std::int64_t RingBarrier(const std::vector<DistinctMask>& masks,
                         const RingOwners& owners,
                         int ring) {
  if (masks.empty()) return 0;
  return CellsOf(RowWeights(masks, owners.col, ring), owners.row, ring).Barrier();
}

RingOwners SearchCells(const std::vector<DistinctMask>& masks,
                       const RingOwners& home,
                       const RingOwners& start,
                       int ring,
                       const CellSearchOptions& options) {
  DBSP_CHECK(ring >= 1 && home.row.size() == start.row.size() &&
             home.col.size() == start.col.size());
  if (ring == 1 || masks.empty() || start.row.empty() || start.col.empty()) return start;
  Found best;
  for (int round = 0; round < kRounds && (round == 0 || best.rho > kSecondRound); ++round) {
    Prng prng{0x63656C6C, static_cast<std::uint64_t>(round), start.row.size(), start.col.size()};
    CellSearchOptions longer = options;
    longer.trials *= 1 + round;
    Found found = AnnealOnce(masks, home, start, ring, longer, prng);
    if (round == 0 || found.cost < best.cost) best = std::move(found);
  }
  return best.owners;
}

}  // namespace dbsp::planner
