// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_fill.h"

#include <algorithm>

#include "planner/placement/head_assignment.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {
namespace {

/// Weight of the ranks' squares beside the busiest: leads where the busiest does not change.
constexpr double kSquares = 0.001;
/// Root of the first threshold; it falls to nothing evenly. The square is in heads' rows.
constexpr double kThreshold = 0.15;
/// Heads drawn until one is on the busiest rank: only those can make it less busy.
constexpr int kDraws = 5;
/// How often each kind of move is tried, of all tries.
constexpr std::uint64_t kSwaps = 5;
constexpr std::uint64_t kFits = kSwaps + 5;
constexpr std::uint64_t kGifts = kFits + 2;
constexpr std::uint64_t kSplits = kGifts + 1;
constexpr std::uint64_t kRankSwaps = kSplits + 1;
constexpr std::uint64_t kMoves = kRankSwaps + 1;
/// Placements a later run looks at, of those of the first.
constexpr int kLater = 2;
/// A placement this near to the least that one with split heads receives is not improved further.
constexpr double kNear = 1.01;

class Search {
 public:
  Search(int ranks, double good_enough)
      : ranks_(static_cast<std::uint64_t>(ranks)), good_enough_(good_enough) {}

  HeadFill Run(HeadAssignment state, int scans) {
    HeadFill best = state.Finish();
    double now = state.busiest() + kSquares * state.squares();
    for (int n = 0; n < scans && best.busiest > good_enough_; ++n) {
      if (!Change(state)) continue;
      const double root = kThreshold * (1 - static_cast<double>(n) / scans);
      const double most = now + root * root;
      const double busiest = state.Evaluate(most);
      const double score = busiest + kSquares * state.squares();
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
      if (kind < kGifts) return state.Assign(head, static_cast<int>(prng_.Below(ranks_)));
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

  /// The head, or one beside it, changes places with the heaviest that its rank then has room for:
  /// a rank that is full has no part of another head.
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
  Search search(ranks, options.good_enough);
  const double enough = std::max(options.good_enough, kNear * model.LeastSplit(options.at_home));
  for (int run = 0; run < options.runs; ++run) {
    const HeadFill fill = search.Run(start, run == 0 ? options.scans : kLater * options.scans);
    if (done(fill) || fill.busiest <= enough) return;
  }
}

}  // namespace dbsp::planner
