// SPDX-License-Identifier: Apache-2.0
// Search over cfg degrees: guidance passes that run at the same time on separate ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "planner/timeline/validate.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/presets.h"
#include "planner/workload/token_layout.h"
#include "tests/core/expect_error.h"
#include "tuner/cluster_costs.h"
#include "tuner/comparison.h"
#include "tuner/make_plan.h"
#include "tuner/search_space.h"

namespace dbsp::tuner {
namespace {

using dbsp::testing::ExpectError;

Workload MakeWorkload(int heads, std::int64_t tokens, int passes, const std::string& mask) {
  Workload workload;
  workload.model = {"test", 2, heads, 32, {1, 1, static_cast<int>(tokens)}, 0, 2, passes};
  workload.block = {16, 16};
  planner::ApplyMaskFlag(mask, workload);
  return workload;
}

SearchOptions OptionsFor(const Workload& workload, int ranks) {
  SearchOptions options;
  options.ranks = ranks;
  options.dtype = DType::kBf16;
  options.steps = {0, workload.model.steps};
  options.layers = {0, workload.model.layers};
  return options;
}

const ClusterCosts& H200Costs() {
  static const ClusterCosts costs(ParseCluster("h200x8"));
  return costs;
}

/// Attention costs its active pairs; exchanges cost nothing, except between `dear_ranks` ranks.
class PairCosts : public planner::Costs {
 public:
  /// dear_ranks  number of ranks between which an all-to-all takes a second
  explicit PairCosts(int dear_ranks = 0) : dear_ranks_(dear_ranks) {}
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override {
    return Of(static_cast<double>(work.active_pairs));
  }
  [[nodiscard]] planner::Estimate Copy(std::int64_t) const override { return Of(0); }
  [[nodiscard]] planner::Estimate Merge(std::int64_t, int) const override { return Of(0); }
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> ranks,
                                           std::int64_t) const override {
    return Of(static_cast<int>(ranks.size()) == dear_ranks_ ? 1e9 : 0);
  }
  [[nodiscard]] planner::Estimate Hop(std::span<const int>, std::int64_t) const override {
    return Of(0);
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t) const override { return 0; }
  [[nodiscard]] CostSource source() const override { return CostSource::kAnalytic; }

 private:
  static planner::Estimate Of(double ns) { return {ns, ns, ns}; }
  int dear_ranks_;
};

struct Searched {
  SearchOptions options;
  SearchResult result;
};

Searched SearchWith(const Workload& workload,
                    int ranks,
                    std::vector<int> cfg_degrees,
                    const planner::Costs& costs,
                    std::vector<Family> families = SearchableFamilies()) {
  Searched made{OptionsFor(workload, ranks), {}};
  const auto masks = planner::OpenMasks(workload);
  const SpaceRequest request{
      std::move(families), std::move(cfg_degrees), {.chunks = {1, 2}}, "given", ""};
  SearchSpace space = MakeSearchSpace(request, workload, *masks, costs, made.options);
  made.options.layouts = space.layouts;
  made.result = Search(workload, *masks, costs, std::move(space.candidates), made.options);
  return made;
}

Plan PlanOf(const Workload& workload, const Searched& searched, const planner::Costs& costs) {
  const auto masks = planner::OpenMasks(workload);
  Plan plan = MakePlan(workload, *masks, costs, searched.result, searched.options, {});
  planner::ValidatePlan(plan, "plan", ErrorCode::kInternal);
  return plan;
}

TEST(CfgDegreeTest, OnePassOfTwoIsThePlanOfOnePassOnHalfTheRanks) {
  for (const int ranks : {2, 4, 6, 8}) {
    SCOPED_TRACE(ranks);
    const Workload two = MakeWorkload(5, 150, 2, "random:density=0.3,seed=3");
    Workload one = two;
    one.model.passes = 1;
    const Searched apart = SearchWith(two, ranks, {2}, H200Costs());
    const Searched half = SearchWith(one, ranks / 2, {1}, H200Costs());
    ASSERT_EQ(apart.result.candidates.size(), half.result.candidates.size());
    ASSERT_EQ(apart.result.classes.size(), half.result.classes.size());
    for (std::size_t c = 0; c < half.result.classes.size(); ++c) {
      for (std::size_t i = 0; i < half.result.candidates.size(); ++i) {
        const Score& a = apart.result.classes[c].scores[i];
        const Score& b = half.result.classes[c].scores[i];
        EXPECT_EQ(a.total_ns, b.total_ns);
        EXPECT_EQ(a.lower_bound_ns, b.lower_bound_ns);
        EXPECT_EQ(a.bytes_per_rank, b.bytes_per_rank);
        EXPECT_EQ(a.rho_barrier, b.rho_barrier);
      }
    }
    const Plan plan = PlanOf(two, apart, H200Costs());
    const Plan other = PlanOf(one, half, H200Costs());
    EXPECT_EQ(plan.ranks, ranks);
    EXPECT_EQ(plan.pass_ranks(), ranks / 2);
    EXPECT_EQ(plan.partitions, other.partitions);
    EXPECT_DOUBLE_EQ(plan.total_ms(), other.total_ms());
    EXPECT_DOUBLE_EQ(SummarisePlan(apart.result).total_ms, plan.total_ms());
    ASSERT_EQ(plan.predictions.size(), other.predictions.size());
    for (std::size_t i = 0; i < plan.predictions.size(); ++i) {
      EXPECT_EQ(plan.predictions[i].segments, other.predictions[i].segments);
    }
    for (const Strategy& strategy : plan.strategies) {  // including the fallback
      EXPECT_EQ(strategy.cfg_degree, 2);
      EXPECT_EQ(strategy.ulysses_degree * strategy.ring_degree, ranks / 2);
    }
  }
}

TEST(CfgDegreeTest, WithoutExchangesADenseMaskTakesTheSameTimeAtAnyDegree) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    const int ranks = 2 * (1 + static_cast<int>(random() % 4));
    const int heads = ranks * (1 + static_cast<int>(random() % 2));
    const int blocks = ranks * (1 + static_cast<int>(random() % 3));
    SCOPED_TRACE(fmt::format("seed {}: {} ranks, {} heads, {} blocks", seed, ranks, heads, blocks));
    // Heads that divide evenly give the same time to the nanosecond.
    const Workload even = MakeWorkload(heads, 16 * blocks, 2, "dense");
    const Searched both = SearchWith(
        even, ranks, {1, 2}, PairCosts(), {Family::kUlysses, Family::kRing, Family::kUsp});
    const CellClass& cls = both.result.classes.front();
    const std::int64_t all = std::int64_t{heads} * 16 * blocks * 16 * blocks;
    for (std::size_t i = 0; i < both.result.candidates.size(); ++i) {
      const int waves = both.result.WavesOf(i);
      EXPECT_EQ(waves, both.result.candidates[i].strategy.cfg_degree == 1 ? 2 : 1);
      EXPECT_EQ(cls.scores[i].total_ns * waves, 2 * all / ranks)
          << NameOfCandidate(both.result.candidates[i]);
    }
    // Otherwise placed, which splits heads by rows of blocks, differs by at most one row per pass.
    const std::int64_t tokens = 16 * blocks + 1 + static_cast<std::int64_t>(random() % 90);
    const Workload odd = MakeWorkload(heads + 1, tokens, 2, "dense");
    const Searched placed = SearchWith(odd, ranks, {1, 2}, PairCosts(), {Family::kPlaced});
    const std::int64_t even_share = 2 * (heads + 1) * tokens * tokens / ranks;
    for (std::size_t i = 0; i < placed.result.candidates.size(); ++i) {
      if (placed.result.candidates[i].strategy.chunks > 1) continue;  // balanced chunk by chunk
      const int waves = placed.result.WavesOf(i);
      const std::int64_t total = placed.result.classes.front().scores[i].total_ns * waves;
      EXPECT_GE(total, even_share);
      EXPECT_LE(total, even_share + waves * 16 * tokens)
          << NameOfCandidate(placed.result.candidates[i]);
    }
  }
}

TEST(CfgDegreeTest, ThePlanTakesTheDegreeWithTheSmallerSum) {
  const Workload workload = MakeWorkload(6, 200, 2, "random:density=0.4,seed=8");
  std::set<int> taken;
  for (const int dear : {0, 2, 4}) {
    SCOPED_TRACE(dear);
    const PairCosts costs(dear);
    const Searched both = SearchWith(workload, 4, {1, 2}, costs);
    const Searched one = SearchWith(workload, 4, {1}, costs);
    const Searched two = SearchWith(workload, 4, {2}, costs);
    const double total = SummarisePlan(both.result).total_ms;
    EXPECT_DOUBLE_EQ(
        total, std::min(SummarisePlan(one.result).total_ms, SummarisePlan(two.result).total_ms));
    const int degree = both.result.distribution.cfg_degree;
    EXPECT_DOUBLE_EQ(total, SummarisePlan((degree == 1 ? one : two).result).total_ms);
    taken.insert(degree);
    for (const CellClass& cls : both.result.classes) {
      const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
      EXPECT_EQ(both.result.candidates[chosen].strategy.cfg_degree, degree);
    }
    const Plan plan = PlanOf(workload, both, costs);
    EXPECT_EQ(plan.cfg_degree(), degree);
    EXPECT_NEAR(plan.total_ms(), total, 1e-9);
  }
  EXPECT_EQ(taken, (std::set<int>{1, 2}));  // both degrees must occur in the test
}

TEST(CfgDegreeTest, WhenOneDegreeIsExcludedTheOtherIsChosen) {
  // With half the memory: two concurrent passes put twice the heads or rows on a rank.
  const Workload workload = MakeWorkload(8, 256, 2, "dense");
  Searched made{OptionsFor(workload, 4), {}};
  const std::int64_t share = 4 * 256 * 8 * 32 * 2 / 4;  // Q, K, V and O of a rank
  made.options.partition.memory_per_rank = share + share / 4;
  const auto masks = planner::OpenMasks(workload);
  SearchSpace space = MakeSearchSpace(
      {{Family::kUlysses}, {1, 2}, {}, "given", ""}, workload, *masks, H200Costs(), made.options);
  made.result = Search(workload, *masks, H200Costs(), std::move(space.candidates), made.options);
  EXPECT_EQ(made.result.candidates[0].excluded, "");
  EXPECT_THAT(made.result.candidates[1].excluded, ::testing::HasSubstr("--memory-per-rank"));
  EXPECT_EQ(made.result.distribution.cfg_degree, 1);
}

TEST(CfgDegreeTest, APlanOfTwoDegreesIsRefused) {
  const Workload workload = MakeWorkload(5, 150, 2, "random:density=0.3,seed=3");
  Plan plan = PlanOf(workload, SearchWith(workload, 4, {2}, H200Costs()), H200Costs());
  const Plan other = PlanOf(workload, SearchWith(workload, 4, {1}, H200Costs()), H200Costs());
  plan.strategies.push_back(other.strategies.front());
  plan.strategies.back().partition = static_cast<int>(plan.partitions.size());
  plan.partitions.push_back(other.partitions[other.strategies.front().partition]);
  const int last = static_cast<int>(plan.strategies.size()) - 1;
  Plan in_cell = plan;
  in_cell.cells.back().strategy = last;
  in_cell.cells.back().contract.reset();
  Plan in_fallback = plan;
  in_fallback.contracts.front().fallback = last;
  for (const Plan& broken : {in_cell, in_fallback}) {
    ExpectError(ErrorCode::kInternal, {"cfg_degree", "expected 2"}, [&] {
      planner::ValidatePlan(broken, "plan", ErrorCode::kInternal);
    });
  }
}

TEST(SearchSpaceTest, LayoutsAreMadeForTheRanksOfAPassGroup) {
  Workload workload;
  workload.model = planner::ModelPreset("wan2.1-t2v-14b-480p");
  workload.block = {128, 128};
  planner::ApplyMaskFlag("radial", workload);
  const auto masks = planner::OpenMasks(workload);
  SearchOptions options = OptionsFor(workload, 8);
  options.steps = {workload.model.steps - 2, workload.model.steps};
  options.layers = {1, 3};
  const auto space_of = [&](const std::string& layout) {
    return MakeSearchSpace(
        {{Family::kRing}, {1, 2}, {}, layout, ""}, workload, *masks, H200Costs(), options);
  };
  // Another token order may help a ring of 8 and not one of 4; each degree has its own layouts.
  const SearchSpace own = space_of("auto");
  ASSERT_GE(own.layouts.size(), 2U);
  std::set<std::string> names;
  for (const Candidate& candidate : own.candidates) {
    const auto layout = static_cast<std::size_t>(candidate.strategy.layout);
    ASSERT_LT(layout, own.layouts.size());
    EXPECT_EQ(candidate.layout, own.layouts[layout].name);
    EXPECT_THAT(planner::LayoutNames(PassRanks(8, candidate.strategy.cfg_degree)),
                ::testing::Contains(candidate.layout));
    EXPECT_TRUE(names.insert(NameOfCandidate(candidate)).second) << "twice";
  }
  EXPECT_TRUE(names.contains("ring R8"));
  EXPECT_TRUE(names.contains("ring C2 R4"));
  // A requested layout is listed once, whatever the degree.
  const SearchSpace named = space_of("strided:4");
  EXPECT_EQ(named.layouts.size(), 2U);
  std::vector<std::string> of_named;
  for (const Candidate& candidate : named.candidates)
    of_named.push_back(NameOfCandidate(candidate));
  EXPECT_EQ(
      of_named,
      (std::vector<std::string>{
          "ring R8", "ring R8, layout strided:4", "ring C2 R4", "ring C2 R4, layout strided:4"}));
}

}  // namespace
}  // namespace dbsp::tuner
