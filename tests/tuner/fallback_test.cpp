// SPDX-License-Identifier: Apache-2.0
#include "tuner/fallback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/peak_bytes.h"
#include "planner/timeline/validate.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "tuner/cluster_costs.h"
#include "tuner/make_plan.h"

namespace dbsp::tuner {
namespace {

struct Case {
  int heads = 1;
  std::int64_t tokens = 1;
  int ranks = 1;
  std::string mask;
};

const ClusterCosts& Costs() {
  static const ClusterCosts costs(ParseCluster("h200x8"));
  return costs;
}

/// A search of `families` under a memory cap, with its inputs.
struct Searched {
  Workload workload;
  std::unique_ptr<planner::MaskSource> masks;
  SearchOptions options;
  SearchResult result;
};

Searched SearchUnder(const Case& c, const std::vector<Family>& families, std::int64_t cap) {
  Searched made;
  made.workload.model = {"test", 1, c.heads, 32, {1, 1, static_cast<int>(c.tokens)}, 0, 2, 1};
  made.workload.block = {16, 16};
  planner::ApplyMaskFlag(c.mask, made.workload);
  made.masks = planner::OpenMasks(made.workload);
  made.options.ranks = c.ranks;
  made.options.dtype = DType::kBf16;
  made.options.steps = {0, 2};
  made.options.layers = {0, 1};
  made.options.partition.memory_per_rank = cap;
  made.result = Search(made.workload,
                       *made.masks,
                       Costs(),
                       MakeCandidates(families, c.ranks, c.heads, ""),
                       made.options);
  return made;
}

/// Largest memory of any rank on dense masks, bytes.
std::int64_t MostBytes(const Searched& made, const Strategy& strategy, const Partition& partition) {
  const AttentionShape& shape = made.result.shape;
  LayerMasks full;
  full.head.assign(
      shape.heads,
      std::make_shared<BlockMask>(BlockMask::Full(shape.q_blocks(), shape.k_blocks())));
  const auto peak =
      planner::PeakBytes(planner::BuildLayerVolumes(shape,
                                                    full,
                                                    partition,
                                                    strategy,
                                                    MakeHomeLayout(shape, made.options.ranks),
                                                    made.options.dtype,
                                                    0));
  return *std::ranges::max_element(peak);
}

const std::vector<Case> kCases{{3, 250, 8, "random:density=0.2,seed=1"},
                               {12, 170, 8, "random:density=0.4,seed=2"},
                               {5, 330, 3, "random:density=0.1,seed=3"},
                               {4, 16, 4, "dense"}};

TEST(FallbackTest, IsTheFastestCandidateWhosePartitionIgnoresMasks) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.heads);
    const Searched made = SearchUnder(c, SearchableFamilies(), 0);
    const Fallback fallback = ChooseFallback(made.result, Costs(), made.options);
    std::int64_t least = -1;
    std::int64_t its = -1;
    for (std::size_t i = 0; i < made.result.candidates.size(); ++i) {
      const Strategy& strategy = made.result.candidates[i].strategy;
      if (!std::set{Family::kUlysses, Family::kRing, Family::kUsp}.contains(strategy.family)) {
        continue;
      }
      std::int64_t total = 0;
      for (const CellClass& cls : made.result.classes) total += cls.scores[i].total_ns * cls.cells;
      if (least < 0 || total < least) least = total;
      if (strategy == fallback.strategy) its = total;
    }
    EXPECT_EQ(its, least);
  }
}

TEST(FallbackTest, FitsTheCapOnDenseMasksIfAnyDegreesDo) {
  for (const Case& c : kCases) {
    // Memory of every U x R strategy of contiguous heads and rows, without a cap.
    const Searched all = SearchUnder(c, {Family::kUlysses, Family::kRing, Family::kUsp}, 0);
    std::set<std::int64_t> needs;
    for (const Candidate& candidate : all.result.candidates) {
      const Partition partition = PartitionOf(
          all.result.shape, all.masks->At(0, 0), candidate.strategy, Costs(), all.options);
      needs.insert(MostBytes(all, candidate.strategy, partition));
    }
    for (const std::int64_t need : needs) {
      SCOPED_TRACE(fmt::format("{} heads on {} ranks, cap {}", c.heads, c.ranks, need));
      Searched made = SearchUnder(c, {Family::kPlaced}, 0);  // no candidate can be the fallback
      made.options.partition.memory_per_rank = need;
      const Fallback fits = ChooseFallback(made.result, Costs(), made.options);
      EXPECT_LE(MostBytes(made, fits.strategy, fits.partition), need);
      made.options.partition.memory_per_rank = *needs.begin() - 1;
      const Fallback least = ChooseFallback(made.result, Costs(), made.options);
      EXPECT_EQ(MostBytes(made, least.strategy, least.partition), *needs.begin());
    }
  }
}

TEST(FallbackTest, AFallbackAboveTheCapIsReported) {
  const Searched made = SearchUnder(kCases.front(), {Family::kPlaced}, 0);
  const Plan plan = MakePlan(made.workload, *made.masks, Costs(), made.result, made.options, {});
  planner::ValidatePlan(plan, "plan", ErrorCode::kInternal);
  const Strategy& strategy = plan.strategies[plan.contracts.front().fallback];
  const std::int64_t most = MostBytes(made, strategy, plan.partitions[strategy.partition]);
  EXPECT_EQ(CheckFallback(plan, 0).message(), "");
  EXPECT_EQ(CheckFallback(plan, most).message(), "");
  EXPECT_THAT(CheckFallback(plan, most - 1).message(),
              ::testing::HasSubstr(fmt::format("{} bytes", most)));
}

}  // namespace
}  // namespace dbsp::tuner
