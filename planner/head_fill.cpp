// SPDX-License-Identifier: Apache-2.0
#include "planner/head_fill.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "planner/rules/prng.h"

namespace dbsp::planner {
namespace {

constexpr int kFiller = -1;
/// Weight of the ranks' squares beside the busiest: leads where the busiest does not change.
constexpr double kSquares = 0.001;
/// A rank's load above the limit, in limits, costs this much traffic: more than any is worth.
constexpr double kOverload = 20;
/// Root of the first threshold; it falls to nothing evenly. The square is in heads' rows.
constexpr double kThreshold = 0.15;
/// Entries of the table of 1 - exp(-x), per unit of x and all: its series to the third power, with
/// no library's exp, so that it is the same on every machine.
constexpr double kPerBlock = 64;
constexpr std::size_t kCovered = 1024;
constexpr double kNone = std::numeric_limits<double>::max();

struct State {
  std::vector<int> owner;  ///< [head] kFiller for the heads that fill up
  std::vector<int> fillers;  ///< [heads] in order, the first `filling` of them
  std::size_t filling = 0;
  std::vector<int> ranks;  ///< in order
  std::vector<double> load;  ///< [rank] of whole heads
  std::vector<double> cost;  ///< [rank] of whole heads
};

class Search {
 public:
  Search(std::span<const std::int64_t> totals, int ranks, const HeadFillOptions& options)
      : total_(totals.begin(), totals.end()),
        ranks_(static_cast<std::size_t>(ranks)),
        limit_(options.limit),
        good_enough_(options.good_enough),
        per_column_(1.0 / options.columns),
        home_(1.0 / ranks),
        away_(1 - home_),
        prng_{17},
        cost_(ranks_),
        covered_(kCovered) {
    for (std::size_t i = 0; i < kCovered; ++i) {
      const double x = static_cast<double>(i) / kPerBlock;
      covered_[i] = 1 - 1 / (1 + x * (1 + x * (0.5 + x * (1.0 / 6))));
    }
    for (std::size_t h = 0; h < total_.size(); ++h) {
      per_load_.push_back(total_[h] > 0 ? 1 / total_[h] : 0);
      whole_.push_back(PartCost(total_[h], static_cast<int>(h)));
    }
  }

  /// Heads of `owner` whole as far as they fit, heaviest first; the rest fill.
  [[nodiscard]] State Start(std::span<const int> owner) const {
    State state{std::vector<int>(owner.begin(), owner.end()),
                std::vector<int>(total_.size()),
                0,
                std::vector<int>(ranks_),
                std::vector<double>(ranks_, 0),
                std::vector<double>(ranks_, 0)};
    std::iota(state.ranks.begin(), state.ranks.end(), 0);
    std::vector<int> order(total_.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int a, int b) { return Total(a) > Total(b); });
    for (const int head : order) {
      int& rank = state.owner[static_cast<std::size_t>(head)];
      const auto p = static_cast<std::size_t>(rank);
      if (state.load[p] + Total(head) <= limit_) {
        state.load[p] += Total(head);
        state.cost[p] += whole_[static_cast<std::size_t>(head)];
      } else {
        rank = kFiller;
        state.fillers[state.filling++] = head;
      }
    }
    return state;
  }

  /// returns whether it saw a placement within the limit
  bool Run(const State& start, int scans) {
    best_busiest_ = kNone;
    State state = start;
    double now = Score(state);
    Keep(state);
    State next = state;
    for (int n = 0; n < scans && best_busiest_ > good_enough_; ++n) {
      if (!Change(next)) continue;
      const double score = Score(next);
      Keep(next);
      const double root = kThreshold * (1 - static_cast<double>(n) / scans);
      if (score <= now + root * root) {
        state = next;
        now = score;
      } else {
        next = state;
      }
    }
    return best_busiest_ < kNone;
  }

  [[nodiscard]] HeadFill Finish() {
    HeadFill fill{best_.owner, {}, best_busiest_};
    std::vector<HeadShare> parts;
    parts_ = &parts;
    (void)Score(best_);
    parts_ = nullptr;
    for (std::size_t n = 0; n < best_.filling; ++n) {
      const int head = best_.fillers[n];
      const HeadShare* most = nullptr;
      for (const HeadShare& part : parts) {
        if (part.head == head && (most == nullptr || part.load > most->load)) most = &part;
      }
      fill.owner[static_cast<std::size_t>(head)] = most == nullptr ? 0 : most->rank;
      for (const HeadShare& part : parts) {
        if (part.head == head && &part != most) fill.shares.push_back(part);
      }
    }
    return fill;
  }

 private:
  [[nodiscard]] double Total(int head) const { return total_[static_cast<std::size_t>(head)]; }

  /// Part of the columns that x random blocks a column need.
  [[nodiscard]] double Covered(double x) const {
    const double at = std::min(x * kPerBlock, kCovered - 1.0);
    return covered_[static_cast<std::size_t>(at)];
  }

  [[nodiscard]] double PartCost(double load, int head) const {
    const double share = load * per_load_[static_cast<std::size_t>(head)];
    const double columns = 2 * away_ * Covered(load * per_column_);
    if (load >= Total(head)) return columns + away_ - home_;
    return columns + (share >= home_ ? share - 2 * home_ : -share);
  }

  /// Fills ranks in order with the fillers in order. A rank is left below the limit where the
  /// others' room allows it: it then has a part fewer.
  void Fill(const State& state) {
    double slack = 0;
    for (const double load : state.load) slack += std::max(0.0, limit_ - load);
    for (std::size_t n = 0; n < state.filling; ++n) slack -= Total(state.fillers[n]);
    std::size_t n = 0;
    double left = n < state.filling ? Total(state.fillers[0]) : 0;
    for (const int rank : state.ranks) {
      const auto p = static_cast<std::size_t>(rank);
      double room = limit_ - state.load[p];
      while (room > slack && n < state.filling) {
        const int head = state.fillers[n];
        const double part = std::min(left, room);
        cost_[p] += PartCost(part, head);
        if (parts_ != nullptr) parts_->push_back({head, rank, static_cast<std::int64_t>(part)});
        room -= part;
        left -= part;
        if (left <= 0 && ++n < state.filling) left = Total(state.fillers[n]);
      }
      slack -= std::max(0.0, room);
    }
  }

  double Score(const State& state) {
    const double base = static_cast<double>(total_.size()) * home_;
    double over = 0;
    for (std::size_t p = 0; p < ranks_; ++p) {
      cost_[p] = base + state.cost[p];
      over += std::max(0.0, state.load[p] - limit_);
    }
    Fill(state);
    busiest_ = 0;
    double squares = 0;
    for (const double cost : cost_) {
      busiest_ = std::max(busiest_, cost);
      squares += cost * cost;
    }
    fits_ = over <= 0;
    return busiest_ + kOverload * over / limit_ + kSquares * squares;
  }

  void Keep(const State& state) {
    if (!fits_ || busiest_ >= best_busiest_) return;
    best_busiest_ = busiest_;
    best_ = state;
  }

  bool Change(State& state) {
    const std::uint64_t kind = prng_.Below(10);
    const auto a = static_cast<int>(prng_.Below(total_.size()));
    if (kind < 5) return SwapHeads(state, a, static_cast<int>(prng_.Below(total_.size())));
    if (kind < 7) return Give(state, a, static_cast<int>(prng_.Below(ranks_)));
    if (kind < 8) return Give(state, a, kFiller);
    if (kind < 9) return SwapTwo(state.ranks, ranks_);
    return SwapTwo(state.fillers, state.filling);
  }

  bool SwapTwo(std::vector<int>& list, std::size_t count) {
    if (count < 2) return false;
    std::swap(list[prng_.Below(count)], list[prng_.Below(count)]);
    return true;
  }

  /// Whole heads of a rank that come (+1) or go (-1); a filler is on no rank.
  void Count(State& state, int head, int rank, double sign) const {
    if (rank == kFiller) return;
    const auto p = static_cast<std::size_t>(rank);
    state.load[p] += sign * Total(head);
    state.cost[p] += sign * whole_[static_cast<std::size_t>(head)];
  }

  bool SwapHeads(State& state, int a, int b) const {
    int& first = state.owner[static_cast<std::size_t>(a)];
    int& second = state.owner[static_cast<std::size_t>(b)];
    if (first == second) return false;
    for (std::size_t n = 0; n < state.filling; ++n) {
      int& filler = state.fillers[n];
      filler = filler == a ? b : filler == b ? a : filler;
    }
    Count(state, a, first, -1);
    Count(state, b, second, -1);
    std::swap(first, second);
    Count(state, a, first, 1);
    Count(state, b, second, 1);
    return true;
  }

  bool Give(State& state, int head, int rank) {
    int& owner = state.owner[static_cast<std::size_t>(head)];
    if (owner == rank) return false;
    const auto begin = state.fillers.begin();
    const auto end = begin + static_cast<std::ptrdiff_t>(state.filling);
    if (owner == kFiller) {
      std::copy(std::find(begin, end, head) + 1, end, std::find(begin, end, head));
      --state.filling;
    }
    if (rank == kFiller) {
      const auto at = begin + static_cast<std::ptrdiff_t>(prng_.Below(state.filling + 1));
      std::copy_backward(at, end, end + 1);
      *at = head;
      ++state.filling;
    }
    Count(state, head, owner, -1);
    Count(state, head, rank, 1);
    owner = rank;
    return true;
  }

  std::vector<double> total_;
  std::vector<double> per_load_;  ///< [head] 1 / total
  std::vector<double> whole_;  ///< [head] cost to its rank when whole
  std::size_t ranks_;
  double limit_;
  double good_enough_;
  double per_column_;
  double home_;  ///< part of the blocks that are at home on a rank
  double away_;
  Prng prng_;
  std::vector<double> cost_;  ///< [rank]
  std::vector<double> covered_;
  double busiest_ = 0;
  bool fits_ = false;
  std::vector<HeadShare>* parts_ = nullptr;
  State best_;
  double best_busiest_ = kNone;
};

}  // namespace

std::vector<HeadFill> SearchHeadFills(std::span<const std::int64_t> totals,
                                      std::span<const int> owner,
                                      int ranks,
                                      const HeadFillOptions& options) {
  Search search(totals, ranks, options);
  const State start = search.Start(owner);
  std::vector<HeadFill> fills;
  for (int run = 0; run < options.runs; ++run) {
    if (search.Run(start, options.scans)) fills.push_back(search.Finish());
  }
  return fills;
}

}  // namespace dbsp::planner
