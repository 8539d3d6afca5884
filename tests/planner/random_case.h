// SPDX-License-Identifier: Apache-2.0
// A random layer with one of its strategies.
#pragma once

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "planner/placement/families.h"
#include "tests/planner/random_layer.h"
#include "tests/planner/random_placed.h"

namespace dbsp::planner {

struct RandomCase {
  RandomLayer layer;
  Partition partition;
  Strategy strategy;
  HomeLayout home;
};

/// Heads in two to four chunks at random, each chunk with a head; only without a ring.
inline void ChunkAtRandom(std::mt19937_64& random, RandomCase& made) {
  const int heads = made.layer.shape.heads;
  if (made.strategy.exchange == Exchange::kRing || heads < 2) return;
  const int chunks = Draw(random, 2, std::min(4, heads));
  made.strategy.chunks = chunks;
  for (int h = 0; h < heads; ++h) {
    made.partition.chunk_of_head.push_back(h < chunks ? h : Draw(random, 0, chunks - 1));
  }
  std::ranges::shuffle(made.partition.chunk_of_head, random);
}

inline RandomCase MakeRandomLayerCase(std::mt19937_64& random) {
  constexpr Family kAll[] = {Family::kUlysses, Family::kRing, Family::kUsp, Family::kDbsp};
  RandomCase made;
  made.layer = MakeRandomLayer(random);
  const int ranks = Draw(random, 1, 12);
  made.home = MakeHomeLayout(made.layer.shape, ranks);
  if (Draw(random, 0, 4) == 0) {
    made.strategy.family = Family::kPlaced;
    made.strategy.exchange = Draw(random, 0, 4) == 0 ? Exchange::kAllGather : Exchange::kNeeded;
    made.partition = MakeRandomPlaced(random, made.layer.shape, ranks);
    return made;
  }
  std::vector<std::pair<int, int>> degrees;
  while (degrees.empty()) {
    made.strategy.family = kAll[Draw(random, 0, 3)];
    degrees = DegreesOf(made.strategy.family, ranks, made.layer.shape.heads);
  }
  const auto [u, r] = degrees[random() % degrees.size()];
  made.strategy.ulysses_degree = u;
  made.strategy.ring_degree = r;
  made.strategy.exchange = ExchangeOf(made.strategy.family, r);
  made.partition = MakePartition(
      made.strategy.family, made.layer.shape, made.layer.masks, ranks, u, r, made.home);
  if (Draw(random, 0, 2) == 0) {
    made.strategy.exchange = Draw(random, 0, 1) == 0 ? Exchange::kAllGather : Exchange::kNeeded;
    made.partition = WithoutColumns(std::move(made.partition));
  }
  return made;
}

inline RandomCase MakeRandomCase(std::mt19937_64& random) {
  RandomCase made = MakeRandomLayerCase(random);
  if (Draw(random, 0, 2) == 0) ChunkAtRandom(random, made);
  return made;
}

}  // namespace dbsp::planner
