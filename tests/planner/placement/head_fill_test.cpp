// SPDX-License-Identifier: Apache-2.0
// The state that the search over fills works on, and what it knows of the masks.
#include "planner/placement/head_fill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "planner/placement/head_assignment.h"
#include "planner/placement/head_needs.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

constexpr double kAny = std::numeric_limits<double>::max();

/// What every rank receives, filled up from the beginning.
std::vector<double> Recomputed(const ReceiveVolumeModel& model,
                               const HeadAssignment& chain,
                               double limit) {
  const auto ranks = static_cast<std::size_t>(model.ranks());
  std::vector<double> load(ranks, 0);
  std::vector<double> whole(ranks, 0);
  double total = 0;
  for (int head = 0; head < static_cast<int>(model.heads()); ++head) {
    total += model.Total(head);
    if (chain.OwnerOf(head) == HeadAssignment::kFiller) continue;
    load[chain.OwnerOf(head)] += model.Total(head);
    whole[chain.OwnerOf(head)] += model.Whole(head);
  }
  double slack = limit * model.ranks() - total;
  std::vector<double> received(ranks);
  std::size_t n = 0;
  double done = 0;
  for (std::size_t place = 0; place < ranks; ++place) {
    const auto rank = static_cast<std::size_t>(chain.rank_at(place));
    double room = limit - load[rank];
    received[rank] = model.Idle() + whole[rank];
    while (room > slack && n < chain.filling()) {
      const double left = model.Total(chain.filler(n)) - done;
      const double part = std::min(left, room);
      received[rank] += model.Part(part, chain.filler(n));
      room -= part;
      done = part < left ? done + part : 0;
      n += part < left ? 0 : 1;
    }
    slack -= room;
  }
  return received;
}

bool RandomMove(std::mt19937_64& random, HeadAssignment& chain, int heads, int ranks) {
  const auto place = [&](std::size_t count) {
    return static_cast<std::size_t>(Draw(random, 0, static_cast<int>(count) - 1));
  };
  const int head = Draw(random, 0, heads - 1);
  switch (Draw(random, 0, 5)) {
    case 0:
      return chain.SwapHeads(head, Draw(random, 0, heads - 1));
    case 1:
      return chain.Assign(head, Draw(random, 0, ranks - 1));
    case 2:
      return chain.Assign(head, HeadAssignment::kFiller, place(chain.filling() + 1));
    case 3:
      return chain.SwapRanks(place(static_cast<std::size_t>(ranks)),
                             place(static_cast<std::size_t>(ranks)));
    case 4: {
      const int rank = chain.OwnerOf(head);
      if (rank == HeadAssignment::kFiller) return false;
      const int come = chain.Fitting(rank, head);
      return come != HeadAssignment::kFiller && chain.SwapHeads(head, come);
    }
    default:
      return chain.filling() > 1 &&
             chain.SwapFillers(place(chain.filling()), place(chain.filling()));
  }
}

TEST(FillChainTest, LooksFromTheFirstChangedRankAreThoseFromTheBeginning) {
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
    HeadAssignment chain(model, owner, {.limit = limit});
    for (int n = 0; n < 200; ++n) {
      SCOPED_TRACE(::testing::Message() << "trial " << trial << " move " << n);
      const std::vector<double> before = chain.Received();
      if (!RandomMove(random, chain, heads, ranks)) continue;
      const double asked = Draw(random, 0, 1) == 0 ? kAny : chain.busiest();
      const double busiest = chain.Evaluate(asked);
      const std::vector<double> after = Recomputed(model, chain, limit);
      const double most = std::ranges::max(after);
      if (busiest > asked) {  // it may have ended early
        ASSERT_GE(most, busiest);
        chain.Rollback();
      } else if (Draw(random, 0, 1) == 0) {
        ASSERT_EQ(busiest, most);
        chain.Rollback();
        ASSERT_EQ(Recomputed(model, chain, limit), before);
        ASSERT_EQ(chain.Received(), before);
      } else {
        chain.Commit();
        ++kept;
        ASSERT_EQ(chain.Received(), after);
        ASSERT_EQ(chain.busiest(), most);
        ASSERT_EQ(after[chain.busiest_rank()], most);
      }
    }
  }
  EXPECT_GT(kept, 1000);
}

TEST(FillChainTest, TheHeadThatFitsIsTheHeaviestThatKeepsWithinTheLimit) {
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
    const HeadAssignment chain(model, owner, {.limit = limit});
    const int rank = Draw(random, 0, ranks - 1);
    double load = 0;
    for (int h = 0; h < static_cast<int>(totals.size()); ++h) {
      if (chain.OwnerOf(h) == rank) load += model.Total(h);
    }
    double heaviest = -1;
    for (int h = 0; h < static_cast<int>(totals.size()); ++h) {
      if (chain.OwnerOf(h) != rank && load + model.Total(h) <= limit) {
        heaviest = std::max(heaviest, model.Total(h));
      }
    }
    const int found = chain.Fitting(rank, HeadAssignment::kFiller);
    ASSERT_EQ(found == HeadAssignment::kFiller ? -1 : model.Total(found), heaviest);
  }
}

TEST(HeadNeedsTest, RunsOfRanksNeedTheUnionOfTheirRows) {
  std::mt19937_64 random(88);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const int ranks = Draw(random, 1, 3);  // up to three ranks all are starts
    const int rows = Draw(random, 1, 40);
    const int cols = Draw(random, 1, 150);
    std::vector<int> row_home;
    std::vector<int> col_home;
    for (int r = 0; r < rows; ++r) row_home.push_back(Draw(random, 0, ranks - 1));
    for (int j = 0; j < cols; ++j) col_home.push_back(Draw(random, 0, ranks - 1));
    auto mask = std::make_shared<BlockMask>(rows, cols);
    const int sparse = Draw(random, 1, 30);
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < cols; ++j) mask->Set(r, j, Draw(random, 0, sparse) == 0);
    }
    const std::vector<double> needs = NeedsOf({{mask}}, row_home, col_home, ranks);
    ASSERT_EQ(needs.size(), static_cast<std::size_t>(ranks) + 1);
    EXPECT_EQ(needs[0], 0);
    for (int n = 1; n <= ranks; ++n) {
      std::int64_t fetched = 0;
      for (int start = 0; start < ranks; ++start) {
        for (int j = 0; j < cols; ++j) {
          bool needed = false;
          for (int r = 0; r < rows; ++r) {
            const int after = (row_home[r] - start + ranks) % ranks;
            needed = needed || (after < n && mask->Get(r, j));
          }
          fetched += needed && col_home[j] != start ? 1 : 0;
        }
      }
      ASSERT_NEAR(needs[n], static_cast<double>(fetched) / (cols * ranks), 1e-12);
    }
  }
}

}  // namespace
}  // namespace dbsp::planner
