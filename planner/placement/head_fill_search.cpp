// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_fill_search.h"

#include <algorithm>

#include "planner/placement/head_assignment.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {
namespace {

/// Weight of the sum of squared volumes beside the busiest volume. It guides the search among
/// placements with equal busiest volumes.
constexpr double kSquaresWeight = 0.001;
/// Square root of the first acceptance threshold, in units of Q of one head. The root falls to zero
/// linearly over a run.
constexpr double kThresholdRoot = 0.15;
/// Number of heads drawn in search of one on the busiest rank: only those can relieve it.
constexpr int kDraws = 5;
/// Cumulative weights of the kinds of moves.
constexpr std::uint64_t kSwaps = 5;
constexpr std::uint64_t kFits = kSwaps + 5;
constexpr std::uint64_t kAssigns = kFits + 2;
constexpr std::uint64_t kSplits = kAssigns + 1;
constexpr std::uint64_t kRankSwaps = kSplits + 1;
constexpr std::uint64_t kMoves = kRankSwaps + 1;
/// Scans of a later run over scans of the first run.
constexpr int kLaterRunScans = 2;
/// No run follows one that ends within this factor of the lower bound for split heads.
constexpr double kNearSplitLowerBound = 1.01;

class HeadFillSearch {
 public:
  HeadFillSearch(int ranks, double good_enough)
      : ranks_(static_cast<std::uint64_t>(ranks)), good_enough_(good_enough) {}

  HeadFill Run(HeadAssignment state, int scans) {
    HeadFill best = state.Finish();
    double now = state.busiest() + kSquaresWeight * state.squares();
    for (int n = 0; n < scans && best.busiest > good_enough_; ++n) {
      if (!Change(state)) continue;
      const double root = kThresholdRoot * (1 - static_cast<double>(n) / scans);
      const double most = now + root * root;
      const double busiest = state.Evaluate(most);
      const double score = busiest + kSquaresWeight * state.squares();
      if (busiest > most || score > most) {
        state.Rollback();
        continue;
      }
      state.Commit();
      now = score;
      if (busiest < best.busiest) best = state.Finish();
    }
    return best;
  }

 private:
  int AnyHead(const HeadAssignment& state) {
    return state.placed()[prng_.Below(state.placed().size())];
  }

  int BusyHead(const HeadAssignment& state) {
    int head = AnyHead(state);
    for (int n = 1; n < kDraws && state.OwnerOf(head) != state.busiest_rank(); ++n) {
      head = AnyHead(state);
    }
    return head;
  }

  bool Change(HeadAssignment& state) {
    const std::uint64_t kind = prng_.Below(kMoves);
    if (kind < kSplits) {
      const int head = BusyHead(state);
      if (kind < kSwaps) return state.SwapHeads(head, AnyHead(state));
      if (kind < kFits) return Fit(state, head);
      if (kind < kAssigns) return state.Assign(head, static_cast<int>(prng_.Below(ranks_)));
      return state.Assign(head, HeadAssignment::kFiller, prng_.Below(state.filling() + 1));
    }
    if (kind < kRankSwaps) {
      const std::size_t a = prng_.Below(ranks_);
      return state.SwapRanks(a, prng_.Below(ranks_));
    }
    if (state.filling() < 2) return false;
    const std::size_t a = prng_.Below(state.filling());
    return state.SwapFillers(a, prng_.Below(state.filling()));
  }

  /// Swaps the head for the heaviest one that its rank then has room for. In one case of four it
  /// looks for a head that fits without a departure. A full rank holds no part of a split head.
  bool Fit(HeadAssignment& state, int head) {
    const int rank = state.OwnerOf(head);
    if (rank == HeadAssignment::kFiller) return false;
    const int come = state.Fitting(rank, prng_.Below(4) == 0 ? HeadAssignment::kFiller : head);
    return come != HeadAssignment::kFiller && come != head && state.SwapHeads(head, come);
  }

  std::uint64_t ranks_;
  double good_enough_;
  Prng prng_{17};
};

}  // namespace

void SearchHeadFills(std::span<const std::int64_t> totals,
                     std::span<const int> owner,
                     int ranks,
                     const HeadFillOptions& options,
                     const std::function<bool(const HeadFill&)>& done) {
  const ReceiveVolumeModel model(totals, ranks, options.columns, options.needs);
  const HeadAssignment start(model, owner, options);
  if (start.placed().empty()) {
    done(start.Finish());
    return;
  }
  HeadFillSearch search(ranks, options.good_enough);
  const double enough =
      std::max(options.good_enough, kNearSplitLowerBound * model.SplitLowerBound(options.at_home));
  for (int run = 0; run < options.runs; ++run) {
    const HeadFill fill =
        search.Run(start, run == 0 ? options.scans : kLaterRunScans * options.scans);
    if (done(fill) || fill.busiest <= enough) return;
  }
}

}  // namespace dbsp::planner
