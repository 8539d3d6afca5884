// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_assignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

constexpr double kAny = std::numeric_limits<double>::max();

/// [rank] received volume, computed from the first rank of the fill order on.
std::vector<double> Recomputed(const ReceiveVolumeModel& model,
                               const HeadAssignment& assignment,
                               double limit) {
  const auto ranks = static_cast<std::size_t>(model.ranks());
  std::vector<double> load(ranks, 0);
  std::vector<double> whole(ranks, 0);
  double total = 0;
  for (int head = 0; head < static_cast<int>(model.heads()); ++head) {
    total += model.Total(head);
    if (assignment.OwnerOf(head) == HeadAssignment::kFiller) continue;
    load[assignment.OwnerOf(head)] += model.Total(head);
    whole[assignment.OwnerOf(head)] += model.Whole(head);
  }
  double slack = limit * model.ranks() - total;
  std::vector<double> received(ranks);
  std::size_t n = 0;
  double done = 0;
  for (std::size_t position = 0; position < ranks; ++position) {
    const auto rank = static_cast<std::size_t>(assignment.rank_at(position));
    double room = limit - load[rank];
    received[rank] = model.Idle() + whole[rank];
    while (room > slack && n < assignment.filling()) {
      const double left = model.Total(assignment.filler(n)) - done;
      const double part = std::min(left, room);
      received[rank] += model.Part(part, assignment.filler(n));
      room -= part;
      done = part < left ? done + part : 0;
      n += part < left ? 0 : 1;
    }
    slack -= room;
  }
  return received;
}

bool RandomMove(std::mt19937_64& random, HeadAssignment& assignment, int heads, int ranks) {
  const auto position = [&](std::size_t count) {
    return static_cast<std::size_t>(Draw(random, 0, static_cast<int>(count) - 1));
  };
  const int head = Draw(random, 0, heads - 1);
  switch (Draw(random, 0, 5)) {
    case 0:
      return assignment.SwapHeads(head, Draw(random, 0, heads - 1));
    case 1:
      return assignment.Assign(head, Draw(random, 0, ranks - 1));
    case 2:
      return assignment.Assign(head, HeadAssignment::kFiller, position(assignment.filling() + 1));
    case 3:
      return assignment.SwapRanks(position(static_cast<std::size_t>(ranks)),
                                  position(static_cast<std::size_t>(ranks)));
    case 4: {
      const int rank = assignment.OwnerOf(head);
      if (rank == HeadAssignment::kFiller) return false;
      const int come = assignment.Fitting(rank, head);
      return come != HeadAssignment::kFiller && assignment.SwapHeads(head, come);
    }
    default:
      return assignment.filling() > 1 &&
             assignment.SwapFillers(position(assignment.filling()), position(assignment.filling()));
  }
}

TEST(HeadAssignmentTest, EvaluationFromTheFirstChangedRankEqualsFullEvaluation) {
  std::mt19937_64 random(86);
  int kept = 0;
  for (int trial = 0; trial < 200; ++trial) {
    const int ranks = Draw(random, 1, 9);
    std::vector<std::int64_t> totals(Draw(random, 1, 30));
    std::vector<int> owner;
    for (auto& total : totals) {
      total = Draw(random, 0, 4) == 0 ? 0 : Draw(random, 1, 100000);
      owner.push_back(Draw(random, 0, ranks - 1));
    }
    const auto heads = static_cast<int>(totals.size());
    std::vector<double> needs;
    for (int head = 0; head < heads && trial % 2 == 0; ++head) {
      for (int n = 0; n <= ranks; ++n) needs.push_back(Draw(random, 0, 9) + n);
    }
    const ReceiveVolumeModel model(totals, ranks, 64, needs);
    const auto sum = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
    const double limit = static_cast<double>(sum) / ranks * (1 + 0.01 * Draw(random, 0, 3)) + 1;
    HeadAssignment assignment(model, owner, {.limit = limit});
    for (int n = 0; n < 200; ++n) {
      SCOPED_TRACE(::testing::Message() << "trial " << trial << " move " << n);
      const std::vector<double> before = assignment.Received();
      if (!RandomMove(random, assignment, heads, ranks)) continue;
      const double bound = Draw(random, 0, 1) == 0 ? kAny : assignment.busiest();
      const double busiest = assignment.Evaluate(bound);
      const std::vector<double> after = Recomputed(model, assignment, limit);
      const double most = std::ranges::max(after);
      if (busiest > bound) {  // the evaluation may have ended early
        ASSERT_GE(most, busiest);
        assignment.Rollback();
      } else if (Draw(random, 0, 1) == 0) {
        ASSERT_EQ(busiest, most);
        assignment.Rollback();
        ASSERT_EQ(Recomputed(model, assignment, limit), before);
        ASSERT_EQ(assignment.Received(), before);
      } else {
        assignment.Commit();
        ++kept;
        ASSERT_EQ(assignment.Received(), after);
        ASSERT_EQ(assignment.busiest(), most);
        ASSERT_EQ(after[assignment.busiest_rank()], most);
      }
    }
  }
  EXPECT_GT(kept, 1000);
}

TEST(HeadAssignmentTest, FittingReturnsTheHeaviestHeadWithinTheLimit) {
  std::mt19937_64 random(87);
  for (int trial = 0; trial < 500; ++trial) {
    const int ranks = Draw(random, 2, 6);
    std::vector<std::int64_t> totals(Draw(random, 2, 12));
    std::vector<int> owner;
    for (auto& total : totals) {
      total = Draw(random, 0, 20);
      owner.push_back(Draw(random, 0, ranks - 1));
    }
    const ReceiveVolumeModel model(totals, ranks, 16);
    const auto sum = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
    const double limit = static_cast<double>(sum) / ranks + 2;
    const HeadAssignment assignment(model, owner, {.limit = limit});
    const int rank = Draw(random, 0, ranks - 1);
    double load = 0;
    for (int h = 0; h < static_cast<int>(totals.size()); ++h) {
      if (assignment.OwnerOf(h) == rank) load += model.Total(h);
    }
    double heaviest = -1;
    for (int h = 0; h < static_cast<int>(totals.size()); ++h) {
      if (assignment.OwnerOf(h) != rank && load + model.Total(h) <= limit) {
        heaviest = std::max(heaviest, model.Total(h));
      }
    }
    const int found = assignment.Fitting(rank, HeadAssignment::kFiller);
    ASSERT_EQ(found == HeadAssignment::kFiller ? -1 : model.Total(found), heaviest);
  }
}

}  // namespace
}  // namespace dbsp::planner
