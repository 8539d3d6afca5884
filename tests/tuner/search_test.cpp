// SPDX-License-Identifier: Apache-2.0
#include "tuner/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <map>

#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"
#include "planner/timeline/contract.h"
#include "planner/timeline/validate.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/presets.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/token_layout.h"
#include "tests/core/expect_error.h"
#include "tests/planner/fake_costs.h"
#include "tuner/baselines.h"
#include "tuner/cluster_costs.h"
#include "tuner/layouts.h"
#include "tuner/make_plan.h"
#include "tuner/tune_tool.h"

namespace dbsp::tuner {
namespace {

using dbsp::testing::ExpectError;

Workload MakeWorkload(
    int heads, std::int64_t tokens, int steps, int layers, const std::string& mask) {
  Workload workload;
  workload.model = {"test", layers, heads, 32, {1, 1, static_cast<int>(tokens)}, 0, steps, 2};
  workload.block = {16, 16};
  planner::ApplyMaskFlag(mask, workload);
  return workload;
}

SearchOptions OptionsFor(const Workload& workload, int ranks, int threads = 1) {
  SearchOptions options;
  options.ranks = ranks;
  options.dtype = DType::kBf16;
  options.steps = {0, workload.model.steps};
  options.layers = {0, workload.model.layers};
  options.threads = threads;
  return options;
}

const ClusterCosts& H200Costs() {
  static const ClusterCosts costs(ParseCluster("h200x8"));
  return costs;
}

SearchResult RunSearch(const Workload& workload, const SearchOptions& options) {
  const auto masks = planner::OpenMasks(workload);
  auto candidates = MakeCandidates(SearchableFamilies(), options.ranks, workload.model.heads, "");
  return Search(workload, *masks, H200Costs(), std::move(candidates), options);
}

/// ClusterCosts with the cost of one operation replaced by an invalid estimate.
class BrokenCosts : public planner::Costs {
 public:
  BrokenCosts(planner::Estimate bad, bool break_hop) : bad_(bad), break_hop_(break_hop) {}
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& w) const override {
    return break_hop_ ? H200Costs().Attention(w) : bad_;
  }
  [[nodiscard]] planner::Estimate Copy(std::int64_t b) const override {
    return H200Costs().Copy(b);
  }
  [[nodiscard]] planner::Estimate Merge(std::int64_t r, int d) const override {
    return H200Costs().Merge(r, d);
  }
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> n, std::int64_t b) const override {
    return H200Costs().AllToAll(n, b);
  }
  [[nodiscard]] planner::Estimate Hop(std::span<const int> n, std::int64_t b) const override {
    return break_hop_ ? bad_ : H200Costs().Hop(n, b);
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t b) const override {
    return H200Costs().BandwidthBoundNs(b);
  }
  [[nodiscard]] CostSource source() const override { return CostSource::kAnalytic; }

 private:
  planner::Estimate bad_;
  bool break_hop_;
};

/// Counts how many layers of masks are made.
class CountingMasks : public planner::MaskSource {
 public:
  CountingMasks(const Workload& workload, bool keys)
      : inner_(planner::OpenMasks(workload)), keys_(keys) {}
  [[nodiscard]] LayerMasks At(int step, int layer) override {
    ++made;
    return inner_->At(step, layer);
  }
  [[nodiscard]] std::string KeyAt(int step, int layer) const override {
    return keys_ ? inner_->KeyAt(step, layer) : "";
  }
  std::atomic<int> made{0};

 private:
  std::unique_ptr<planner::MaskSource> inner_;
  bool keys_;
};

TEST(SearchTest, EqualsBruteForceOnSmallWorkloads) {
  struct Case {
    int heads, ranks;
    std::int64_t tokens;
    const char* mask;
  };
  for (const Case& c : {Case{4, 4, 200, "random:density=0.3,seed=1"},
                        Case{5, 3, 131, "random:density=0.5,seed=2"},
                        Case{3, 6, 96, "random:density=0.2,seed=3"},
                        Case{2, 1, 50, "dense"},
                        Case{1, 8, 40, "random:density=0.9,seed=4"}}) {
    SCOPED_TRACE(c.mask);
    const Workload workload = MakeWorkload(c.heads, c.tokens, 2, 2, c.mask);
    const SearchOptions options = OptionsFor(workload, c.ranks);
    const SearchResult result = RunSearch(workload, options);
    const auto masks = planner::OpenMasks(workload);
    for (const SearchCell& cell : result.cells) {
      const CellClass& cls = result.classes[cell.cls];
      std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
      for (std::size_t i = 0; i < result.candidates.size(); ++i) {
        ASSERT_EQ(result.candidates[i].excluded, "");
        const CellPlan alone = MakeCellPlan(result.shape,
                                            masks->At(cell.step, cell.layer),
                                            result.candidates[i].strategy,
                                            H200Costs(),
                                            options);
        EXPECT_EQ(cls.scores[i].total_ns, alone.prediction.total_ns);
        EXPECT_EQ(cls.scores[i].bytes_per_rank, alone.prediction.bytes_per_rank);
        EXPECT_NEAR(cls.scores[i].rho_barrier, alone.prediction.rho_barrier, 1e-9);
        smallest = std::min(smallest, alone.prediction.total_ns);
      }
      EXPECT_EQ(cls.scores[cls.choice.best].total_ns, smallest);
    }
  }
}

TEST(SearchTest, ThreadsThatShareTheCandidatesOfACellFindTheSameScores) {
  const Workload workload = MakeWorkload(6, 400, 1, 3, "random:density=0.2,seed=7");
  const SearchResult alone = RunSearch(workload, OptionsFor(workload, 4));
  SearchOptions options = OptionsFor(workload, 4, 8);  // more threads than cells
  std::vector<std::int64_t> done;
  options.on_cell = [&](std::int64_t cells) { done.push_back(cells); };
  const SearchResult shared = RunSearch(workload, options);
  EXPECT_EQ(done, (std::vector<std::int64_t>{1, 2, 3}));
  ASSERT_EQ(shared.classes.size(), alone.classes.size());
  for (std::size_t c = 0; c < alone.classes.size(); ++c) {
    EXPECT_EQ(shared.classes[c].choice.chosen, alone.classes[c].choice.chosen);
    for (std::size_t i = 0; i < alone.candidates.size(); ++i) {
      EXPECT_EQ(shared.classes[c].scores[i].total_ns, alone.classes[c].scores[i].total_ns);
      EXPECT_EQ(shared.classes[c].scores[i].low_ns, alone.classes[c].scores[i].low_ns);
      EXPECT_EQ(shared.classes[c].scores[i].high_ns, alone.classes[c].scores[i].high_ns);
      EXPECT_EQ(shared.classes[c].scores[i].same_as, alone.classes[c].scores[i].same_as);
    }
  }
}

TEST(PartitionOfTest, RowsAreBalancedWhenThatSavesOnePercentOfTheTime) {
  const Workload workload = MakeWorkload(12, 640, 1, 1, "dense");
  LayerMasks masks;
  for (int h = 0; h < 12; ++h) {  // few rows with many active blocks, or many rows with few
    auto mask = std::make_shared<BlockMask>(40, 40);
    for (int r = 0; r < (h % 4 == 0 ? 8 : 40); ++r) mask->SetRange(r, 0, h % 4 == 0 ? 40 : 2);
    masks.head.push_back(mask);
  }
  planner::FakeCosts costs;
  costs.pair_ns = 0.01;
  costs.byte_ns = costs.copy_ns = 0;
  const SearchOptions options = OptionsFor(workload, 4);
  int gained = 0;
  for (const Family family : {Family::kPlaced, Family::kBalanced}) {
    Strategy strategy;
    strategy.family = family;
    strategy.ulysses_degree = 4;
    strategy.exchange = planner::ExchangeOf(family, 1);
    const auto total_ns = [&](const Partition& made) {
      return static_cast<double>(
          PredictOn(workload.shape(), masks, made, strategy, costs, options).total_ns);
    };
    const HomeLayout home = MakeHomeLayout(workload.shape(), 4);
    const Partition even =
        planner::MakePartition(family, workload.shape(), masks, 4, 4, 1, home, options.partition);
    costs.row_ns = 0;
    EXPECT_EQ(PartitionOf(workload.shape(), masks, strategy, costs, options), even);
    costs.row_ns = 40;
    const Partition weighed = PartitionOf(workload.shape(), masks, strategy, costs, options);
    EXPECT_TRUE(weighed == even || total_ns(weighed) < 0.99 * total_ns(even));
    gained += weighed == even ? 0 : 1;
  }
  EXPECT_GT(gained, 0);
}

TEST(SearchTest, TheSamePlanFromAnyNumberOfThreads) {
  const Workload workload = MakeWorkload(4, 160, 3, 3, "random:density=0.3,seed=5");
  const SearchResult one = RunSearch(workload, OptionsFor(workload, 4, 1));
  const SearchResult four = RunSearch(workload, OptionsFor(workload, 4, 4));
  ASSERT_EQ(one.classes.size(), four.classes.size());
  EXPECT_EQ(one.uniform, four.uniform);
  for (std::size_t c = 0; c < one.classes.size(); ++c) {
    EXPECT_EQ(one.classes[c].step, four.classes[c].step);
    EXPECT_EQ(one.classes[c].layer, four.classes[c].layer);
    EXPECT_EQ(one.classes[c].choice.chosen, four.classes[c].choice.chosen);
    EXPECT_EQ(one.classes[c].scores[0].total_ns, four.classes[c].scores[0].total_ns);
  }
}

TEST(SearchTest, EqualMasksAreSearchedOnceWithAndWithoutKeys) {
  const Workload workload = MakeWorkload(4, 160, 5, 6, "dense");
  const SearchOptions options = OptionsFor(workload, 4);
  for (const bool keys : {true, false}) {
    CountingMasks masks(workload, keys);
    const SearchResult result =
        Search(workload, masks, H200Costs(), MakeCandidates({Family::kUsp}, 4, 4, ""), options);
    EXPECT_EQ(result.classes.size(), 1U);
    EXPECT_EQ(result.classes.front().cells, 30);
    EXPECT_EQ(masks.made, keys ? 1 : 30);
  }
}

TEST(SearchTest, CandidatesWithImpossibleCostsAreExcluded) {
  const Workload workload = MakeWorkload(4, 160, 1, 2, "random:density=0.3,seed=6");
  const SearchOptions options = OptionsFor(workload, 4);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const planner::Estimate& bad : {planner::Estimate{nan, nan, nan},
                                       planner::Estimate{-5, -6, -4},
                                       planner::Estimate{inf, inf, inf},
                                       planner::Estimate{5, 6, 7},
                                       planner::Estimate{1, 0, nan},
                                       planner::Estimate{1, -1, 2}}) {
    const auto masks = planner::OpenMasks(workload);
    const auto run = [&](bool break_hop) {
      return Search(workload,
                    *masks,
                    BrokenCosts(bad, break_hop),
                    MakeCandidates(SearchableFamilies(), 4, 4, ""),
                    options);
    };
    const SearchResult result = run(true);
    for (const Candidate& candidate : result.candidates) {
      EXPECT_EQ(candidate.excluded.empty(), candidate.strategy.ring_degree == 1)
          << NameOfCandidate(candidate) << ": " << candidate.excluded;
    }
    for (const CellClass& cls : result.classes) {
      const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
      EXPECT_EQ(result.candidates[chosen].strategy.ring_degree, 1);
    }
    ExpectError(ErrorCode::kNotFound, {"every candidate is excluded", "attention"}, [&] {
      (void)run(false);
    });
  }
}

TEST(MakePlanTest, IsValidAndEveryPredictionIsThatOfTheCellsMasks) {
  for (const int ranks : {1, 2, 3, 8}) {
    SCOPED_TRACE(ranks);
    const Workload workload = MakeWorkload(3, 150, 3, 2, "random:density=0.25,seed=9");
    const SearchOptions options = OptionsFor(workload, ranks, 2);
    const SearchResult result = RunSearch(workload, options);
    const auto masks = planner::OpenMasks(workload);
    PlanOrigin origin;
    origin.cluster = "h200x8";
    origin.device = "h200 (analytic)";
    origin.generator = "test";
    const Plan plan = MakePlan(workload, *masks, H200Costs(), result, options, origin);
    EXPECT_NO_THROW(planner::ValidatePlan(plan, "plan", ErrorCode::kInternal));
    EXPECT_EQ(plan.costs, CostSource::kAnalytic);
    ASSERT_EQ(plan.cells.size(), 6U);
    for (std::size_t a = 0; a < plan.partitions.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) EXPECT_FALSE(plan.partitions[a] == plan.partitions[b]);
    }
    for (const PlanCell& cell : plan.cells) {
      const Strategy& strategy = plan.strategies[cell.strategy];
      const Prediction& stored = plan.predictions[cell.prediction];
      const CellPlan alone = MakeCellPlan(
          plan.shape, masks->At(cell.step, cell.layer), strategy, H200Costs(), options);
      EXPECT_EQ(stored.total_ns, alone.prediction.total_ns);
      EXPECT_EQ(stored.segments, alone.prediction.segments);
      EXPECT_EQ(plan.partitions[strategy.partition], alone.partition);
    }
  }
}

struct Planned {
  SearchOptions options;
  SearchResult result;
  Plan plan;
};

/// Makes a plan of `workload` for a run that needs `replan_ns` to make a new plan.
Planned PlanWith(const Workload& workload, double replan_ns, int cfg_degree = 1) {
  Planned made;
  made.options = OptionsFor(workload, 4, 2);
  made.options.replan_ns = replan_ns;
  const auto masks = planner::OpenMasks(workload);
  auto candidates = MakeCandidates({Family::kUlysses, Family::kRing, Family::kPlaced},
                                   4,
                                   workload.model.heads,
                                   "",
                                   {.cfg_degree = cfg_degree});
  made.result = Search(workload, *masks, H200Costs(), std::move(candidates), made.options);
  made.plan = MakePlan(workload, *masks, H200Costs(), made.result, made.options, {});
  planner::ValidatePlan(made.plan, "plan", ErrorCode::kInternal);
  return made;
}

TEST(MakePlanTest, StoresTheLoadsOfThePlanAndOfPlainUlyssesAndRing) {
  const Workload workload = MakeWorkload(5, 240, 4, 2, "random:density=0.3,seed=4");
  for (const double replan_ns : {0.0, 3000.0}) {  // every cell with its own plan, and with reuse
    const Plan plan = PlanWith(workload, replan_ns).plan;
    const BaselineLoads baselines(plan.shape, plan.ranks);
    ASSERT_EQ(plan.baselines.size(), 2U);
    const auto masks = planner::OpenMasks(workload);
    for (const PlanCell& cell : plan.cells) {
      const LayerMasks own = masks->At(cell.step, cell.layer);
      const Strategy& strategy = plan.strategies[cell.strategy];
      EXPECT_EQ(plan.predictions[cell.prediction].active_blocks,
                planner::RankLoads(planner::RowLoadsOf(own), plan.partitions[strategy.partition]));
      const auto expected = baselines.On(own);
      for (std::size_t b = 0; b < plan.baselines.size(); ++b) {
        EXPECT_EQ(plan.baselines[b].active_blocks[cell.prediction], expected[b]);
      }
    }
  }
}

TEST(MakePlanTest, StoresBaselinesOnAllRanksWhateverWasSearched) {
  const Workload workload = MakeWorkload(5, 240, 4, 2, "random:density=0.3,seed=4");
  const auto masks = planner::OpenMasks(workload);
  for (const int cfg_degree : {1, 2}) {
    SCOPED_TRACE(cfg_degree);
    Planned made = PlanWith(workload, 0, cfg_degree);
    PlanOrigin origin;
    origin.baselines = PriceBaselines(*masks, H200Costs(), made.result, made.options);
    const Plan plan = MakePlan(workload, *masks, H200Costs(), made.result, made.options, origin);
    ASSERT_EQ(plan.baselines.size(), 2U);
    for (std::size_t b = 0; b < 2; ++b) {
      const Baseline& baseline = plan.baselines[b];
      EXPECT_EQ(baseline.cfg_degree, 1);
      EXPECT_EQ(baseline.active_blocks[0].size(), 4U) << "all ranks, not those of a pass group";
      const Gain gain = dbsp::GainOver(plan, baseline).value();
      const Gain of_search = GainOver(made.result, origin.baselines[b], 0).value();
      EXPECT_DOUBLE_EQ(gain.gain, of_search.gain);
      EXPECT_DOUBLE_EQ(gain.low.value(), of_search.low.value());
    }
    // The baseline of a search that ran concurrent passes is that of one that did not.
    Planned plain = PlanWith(workload, 0, 1);
    const auto searched = PriceBaselines(*masks, H200Costs(), plain.result, plain.options);
    EXPECT_EQ(searched[0].times, origin.baselines[0].times);
    EXPECT_EQ(searched[1].times, origin.baselines[1].times);
    std::size_t close = 0;
    for (const SearchCell& cell : made.result.cells) {
      close += made.result.classes[cell.cls].choice.close ? 1 : 0;
    }
    EXPECT_EQ(plan.close_calls.value().size(), close);
  }
}

TEST(MakePlanTest, EveryCellSatisfiesItsContractAndTheFallbackIgnoresMasks) {
  const Workload workload = MakeWorkload(5, 150, 3, 2, "random:density=0.25,seed=9");
  const Plan plan = PlanWith(workload, 0).plan;
  const auto masks = planner::OpenMasks(workload);
  for (const PlanCell& cell : plan.cells) {
    const Strategy& strategy = plan.strategies[cell.strategy];
    const Partition& partition = plan.partitions[strategy.partition];
    ASSERT_TRUE(cell.contract);
    const Contract& contract = plan.contracts[*cell.contract];
    const LayerMasks own = masks->At(cell.step, cell.layer);
    EXPECT_TRUE(planner::ContractHolds(own, partition, contract));
    EXPECT_NEAR(contract.rho_limit, 1.05 * planner::BarrierRho(own, partition), 1e-9);
    const Strategy& fallback = plan.strategies[contract.fallback];
    EXPECT_TRUE(fallback.family == Family::kUlysses || fallback.family == Family::kRing ||
                fallback.family == Family::kUsp);
  }
}

class ReuseTest : public ::testing::TestWithParam<int> {};

TEST_P(ReuseTest, ExpensivePlansAreReusedAndLoseAtMostTheirPrice) {
  const int cfg_degree = GetParam();
  const Workload workload = MakeWorkload(5, 240, 8, 2, "random:density=0.3,seed=4");
  const double own_ms = PlanWith(workload, 0, cfg_degree).plan.total_ms();
  std::size_t last = workload.model.steps * 2U + 1;
  for (const double price : {1.0, 500.0, 3000.0, 1e9}) {
    SCOPED_TRACE(price);
    const Plan plan = PlanWith(workload, price, cfg_degree).plan;
    std::map<int, std::vector<int>> used;  // strategies of a layer, step by step
    for (const PlanCell& cell : plan.cells) used[cell.layer].push_back(cell.strategy);
    std::size_t plans = 0;
    for (const auto& [layer, strategies] : used) {
      plans += 1;
      for (std::size_t s = 1; s < strategies.size(); ++s) {
        plans += strategies[s] != strategies[s - 1] ? 1 : 0;
      }
    }
    EXPECT_LE(plans, last);
    last = plans;
    EXPECT_LE(plan.total_ms(), own_ms + static_cast<double>(plans) * price / 1e6 + 1e-9);
    const auto masks = planner::OpenMasks(workload);
    for (const PlanCell& cell : plan.cells) {
      const Strategy& strategy = plan.strategies[cell.strategy];
      const Prediction alone = PredictOn(plan.shape,
                                         masks->At(cell.step, cell.layer),
                                         plan.partitions[strategy.partition],
                                         strategy,
                                         H200Costs(),
                                         OptionsFor(workload, 4));
      EXPECT_EQ(plan.predictions[cell.prediction].total_ns, alone.total_ns);
    }
  }
  EXPECT_EQ(last, 2U);  // at the highest price every layer has one plan
}

INSTANTIATE_TEST_SUITE_P(CfgDegrees, ReuseTest, ::testing::Values(1, 2));

TEST(RelativeFolderTest, IsThePathFromThePlanToTheWorkload) {
  EXPECT_EQ(RelativeFolder("/a/b", "/a/b"), ".");
  EXPECT_EQ(RelativeFolder("/a/b", "/a/c/d"), "../c/d");
  EXPECT_EQ(RelativeFolder("", ""), ".");
}

TEST(ParseRangeTest, TakesBothEndsAndRefusesTheRest) {
  EXPECT_EQ(ParseRange("", 7, "--steps").end, 7);
  EXPECT_EQ(ParseRange("2-5", 7, "--steps").begin, 2);
  EXPECT_EQ(ParseRange("2-5", 7, "--steps").end, 6);
  EXPECT_EQ(ParseRange("6", 7, "--steps").end, 7);
  for (const char* bad : {"7", "5-2", "-1", "1-", "-", "a", "1-b", "0-7", "1-2-3", " 1"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"--steps", "from 0 to 6"}, [&] {
      (void)ParseRange(bad, 7, "--steps");
    });
  }
}

TEST(LayoutsTest, AStridedRingIsChosenForThePlanWhereOnlyRingsAreAllowed) {
  Workload workload;
  workload.model = planner::ModelPreset("wan2.1-t2v-14b-480p");
  workload.block = {128, 128};
  planner::ApplyMaskFlag("radial", workload);
  const auto masks = planner::OpenMasks(workload);
  SearchOptions options = OptionsFor(workload, 8);
  options.steps = {workload.model.steps - 2, workload.model.steps};
  options.layers = {1, 3};
  CandidateOptions variants;
  auto candidates = MakeCandidates({Family::kRing}, 8, workload.model.heads, "", variants);
  options.layouts = ChooseLayouts("auto", workload, *masks, H200Costs(), candidates, options);
  ASSERT_EQ(options.layouts.size(), 2U);
  variants.layouts = {"given", options.layouts[1].name};
  candidates = MakeCandidates({Family::kRing}, 8, workload.model.heads, "", variants);
  ASSERT_EQ(candidates.size(), 2U);
  EXPECT_EQ(NameOfCandidate(candidates[1]), "ring R8, layout " + options.layouts[1].name);
  const SearchResult result = Search(workload, *masks, H200Costs(), candidates, options);
  EXPECT_EQ(result.distribution.layout, 1);
  EXPECT_EQ(result.uniform, 1);
  Plan plan = MakePlan(workload, *masks, H200Costs(), result, options, {});
  planner::ValidatePlan(plan, "plan", ErrorCode::kInternal);
  ASSERT_EQ(plan.layouts.size(), 2U);
  EXPECT_EQ(plan.layouts[1], options.layouts[1]);
  for (const Strategy& strategy : plan.strategies) EXPECT_EQ(strategy.layout, 1);
  for (const CellClass& cls : result.classes) {
    EXPECT_LT(cls.scores[1].total_ns, cls.scores[0].total_ns);
    EXPECT_LT(cls.scores[1].rho_barrier, cls.scores[0].rho_barrier);
  }
}

TEST(LayoutsTest, TheGivenOrderIsKeptWhenNoOtherHelps) {
  const Workload workload = MakeWorkload(4, 512, 1, 1, "dense");
  const auto masks = planner::OpenMasks(workload);
  const SearchOptions options = OptionsFor(workload, 4);
  const auto all = MakeCandidates(SearchableFamilies(), 4, 4, "");
  const auto layouts = [&](std::string_view text, const std::vector<Candidate>& candidates) {
    return ChooseLayouts(text, workload, *masks, H200Costs(), candidates, options);
  };
  EXPECT_EQ(layouts("auto", all).size(), 1U);
  EXPECT_EQ(layouts("auto", MakeCandidates({Family::kUlysses}, 4, 4, "")).size(), 1U);
  EXPECT_EQ(layouts("given", all).size(), 1U);
  ASSERT_EQ(layouts("zigzag:4", all).size(), 2U);
  EXPECT_EQ(layouts("zigzag:4", all)[1].name, "zigzag:4");
  ExpectError(
      ErrorCode::kInvalidArgument, {"layout up", "strided:N"}, [&] { (void)layouts("up", all); });
}

TEST(LayoutsTest, WholeHeadsCostTheSameInAnyOrder) {
  const Workload workload = MakeWorkload(5, 300, 1, 1, "random:density=0.3,seed=2");
  const auto masks = planner::OpenMasks(workload);
  SearchOptions options = OptionsFor(workload, 4);
  const AttentionShape shape = workload.shape();
  options.layouts = {planner::MakeLayout("given", shape), planner::MakeLayout("strided:4", shape)};
  CandidateOptions variants;
  variants.layouts = {"given", "strided:4"};
  const SearchResult result =
      Search(workload,
             *masks,
             H200Costs(),
             MakeCandidates({Family::kUlysses}, 4, workload.model.heads, "", variants),
             options);
  ASSERT_EQ(result.candidates.size(), 2U);
  EXPECT_EQ(result.distribution.layout, 0);
  EXPECT_EQ(result.classes[0].scores[1].same_as, 0);
}

}  // namespace
}  // namespace dbsp::tuner
