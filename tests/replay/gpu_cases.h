// SPDX-License-Identifier: Apache-2.0
// Layers that emulated GPUs run in seconds, with every kind of split.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "planner/placement/chunked.h"
#include "planner/timeline/chunks.h"
#include "replay/replay.h"
#include "replay/runner.h"
#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/planner/random_placed.h"
#include "tests/replay/cases.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::replay::testing {

/// Two to three tiles per dimension, a short last block, rows without keys.
inline Scenario Tails() { return {"tails", {3, 64, 171, {64, 64}}, 0.5, true, 0}; }
inline Scenario EmptyHeads() { return {"empty heads", {4, 64, 256, {64, 64}}, 0.4, false, 2}; }

struct Split {
  std::string name;
  Strategy strategy;
  Partition partition;
};

inline Split Made(const Scenario& scenario,
                  const LayerMasks& masks,
                  Family family,
                  int ranks,
                  std::pair<int, int> degrees,
                  int chunks = 1) {
  Split split;
  split.name = fmt::format("{} U{} R{} {} chunks on {} ranks",
                           NameOf(family),
                           degrees.first,
                           degrees.second,
                           chunks,
                           ranks);
  split.strategy = MakeStrategy(family, degrees.first, degrees.second);
  split.strategy.chunks = chunks;
  split.partition = planner::MakePartition(family,
                                           scenario.shape,
                                           masks,
                                           ranks,
                                           degrees.first,
                                           degrees.second,
                                           MakeHomeLayout(scenario.shape, ranks),
                                           {.balanced_scans = 200, .chunks = chunks});
  return split;
}

/// One of every kind: families, degrees, exchanges, chunks.
inline std::vector<Split> Splits(const Scenario& scenario, const LayerMasks& masks, int ranks) {
  std::vector<Split> splits;
  for (const Family family :
       {Family::kUlysses, Family::kRing, Family::kUsp, Family::kDbsp, Family::kBalanced}) {
    for (const auto& degrees : planner::DegreesOf(family, ranks, scenario.shape.heads)) {
      // usp includes the degrees of ulysses and ring; only mixed degrees run, to save time.
      const bool mixed = degrees.first > 1 && degrees.second > 1;
      if (family == Family::kUsp && !mixed) continue;
      splits.push_back(Made(scenario, masks, family, ranks, degrees));
      const int most = planner::MostChunks(family, ranks, scenario.shape.heads);
      if (family != Family::kUlysses || degrees.second > 1 || most < 2) continue;
      splits.push_back(Made(scenario, masks, family, ranks, degrees, 2));
    }
  }
  std::mt19937_64 random(91);
  for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
    Split split;
    split.name = fmt::format("placed {} on {} ranks", NameOf(exchange), ranks);
    split.partition = planner::MakeRandomPlaced(random, scenario.shape, ranks);
    split.strategy.family = Family::kPlaced;
    split.strategy.exchange = exchange;
    splits.push_back(std::move(split));
  }
  return splits;
}

inline Cell CellOf(const Scenario& scenario,
                   const LayerMasks& masks,
                   const Split& split,
                   DType dtype) {
  return MakeCell(scenario.shape, masks, split.partition, split.strategy, {7, 1, 2, dtype});
}

inline std::vector<Segment> PredictedBf16(const Cell& cell) {
  return planner::Predict(cell.volumes, cell.shape, DType::kBf16, UnitCosts()).segments;
}

inline VerifyOptions Limits() { return LimitsOf({runtime::DeviceKind::kCuda, 0}); }

inline ExecutionTarget OnGpu(TransportKind transport) {
  ExecutionTarget target{.device = {runtime::DeviceKind::kCuda, 0}, .transport = transport};
  if (transport == TransportKind::kNccl) {
    target.nccl.library = dbsp::testing::FakeLibrary("libnccl.so.2");
    emulated_gpu::UseFakeNccl(target.nccl.library);
  }
  return target;
}

/// One cell on the GPUs of `options`.
struct Case {
  explicit Case(Family family = Family::kRing, int ranks = 3, std::pair<int, int> degrees = {1, 3})
      : scenario(Tails()),
        masks(MakeMasks(scenario, 7)),
        split(Made(scenario, masks, family, ranks, degrees)),
        cell(CellOf(scenario, masks, split, DType::kBf16)) {}
  [[nodiscard]] std::unique_ptr<CellRunner> Runner(const ExecutionTarget& target) const {
    return MakeRunner(cell, target, true, Limits(), std::nullopt);
  }
  Scenario scenario;
  LayerMasks masks;
  Split split;
  Cell cell;
};

}  // namespace dbsp::replay::testing
