// SPDX-License-Identifier: Apache-2.0
#include "tuner/kernel_selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include "core/error.h"
#include "core/json.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/mask_flag.h"
#include "tests/planner/fake_costs.h"
#include "tests/planner/random_case.h"
#include "tuner/comparison.h"
#include "tuner/make_plan.h"
#include "tuner/search.h"

namespace dbsp::tuner {
namespace {

using planner::AttentionWork;
using planner::Estimate;

/// Kernels with different costs per call, row and block.
class KernelCosts : public planner::FakeCosts {
 public:
  struct Rates {
    double call = 0;
    double row = 0;
    double block = 0;
  };
  std::map<std::string, Rates> kernels;

  [[nodiscard]] Estimate Attention(const AttentionWork& work) const override {
    const Rates& rates = kernels.at(work.kernel);
    const double ns = rates.call + rates.row * static_cast<double>(work.active_rows) +
                      rates.block * static_cast<double>(work.active_blocks);
    return {ns, 0.9 * ns, 1.1 * ns};
  }
};

std::vector<std::string> NamesOf(const KernelCosts& costs) {
  std::vector<std::string> names;
  for (const auto& [name, rates] : costs.kernels) names.push_back(name);
  return names;
}

/// A kernel that is fast for few blocks, one for many, one in between, and one that is never best.
KernelCosts RandomCosts(std::mt19937_64& random) {
  KernelCosts costs;
  std::uniform_real_distribution<double> draw(0.5, 2.0);
  costs.kernels["dense"] = {2000 * draw(random), 20 * draw(random), 10 * draw(random)};
  costs.kernels["sparse"] = {100 * draw(random), 40 * draw(random), 60 * draw(random)};
  costs.kernels["rows"] = {500 * draw(random), 2 * draw(random), 40 * draw(random)};
  costs.kernels["worse"] = {8000, 90, 150};
  return costs;
}

std::int64_t MakespanWith(planner::LayerVolumes work,
                          const std::string& kernel,
                          const planner::Costs& costs) {
  for (auto& step : work.attention) {
    for (AttentionWork& part : step) part.kernel = kernel;
  }
  const auto durations = planner::PriceLayer(work, costs, planner::Bound::kExpected);
  return planner::Simulate(work, durations, planner::RingSync::kNeighbour).makespan_ns;
}

TEST(ChooseKernelTest, TheTimelineIsTheShortestOfAllKernels) {
  std::mt19937_64 random(5);
  std::map<std::string, int> chosen;
  for (int i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    const planner::RandomCase made = planner::MakeRandomCase(random);
    const KernelCosts costs = RandomCosts(random);
    const std::vector<std::string> names = NamesOf(costs);
    const planner::LayerVolumes before = planner::BuildLayerVolumes(
        made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kBf16);
    planner::LayerVolumes work = before;
    const auto best = static_cast<std::size_t>(ChooseKernel(work, names, costs));
    ++chosen[names[best]];
    std::int64_t shortest = std::numeric_limits<std::int64_t>::max();
    for (const std::string& name : names) {
      shortest = std::min(shortest, MakespanWith(before, name, costs));
    }
    const Prediction prediction = planner::Predict(work, made.layer.shape, DType::kBf16, costs);
    EXPECT_EQ(prediction.total_ns, shortest);
    EXPECT_LE(prediction.lower_bound_ns, prediction.total_ns);
    EXPECT_EQ(MakespanWith(before, names[best], costs), shortest);
  }
  EXPECT_EQ(chosen.size(), 3U) << "every kernel but the one that is never better is of use";
  EXPECT_FALSE(chosen.contains("worse"));
}

TEST(ChooseKernelTest, OfEqualKernelsTheFirstIsChosenAndASingleOneIsUsed) {
  std::mt19937_64 random(6);
  KernelCosts costs;
  costs.kernels["b"] = costs.kernels["a"] = {10, 2, 3};
  const planner::RandomCase made = planner::MakeRandomCase(random);
  auto work = planner::BuildLayerVolumes(
      made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kBf16);
  EXPECT_EQ(ChooseKernel(work, std::vector<std::string>{"b", "a"}, costs), 0);
  EXPECT_EQ(work.attention[0][0].kernel, "b");
  EXPECT_EQ(ChooseKernel(work, std::vector<std::string>{"a"}, costs), 0);
  EXPECT_EQ(work.attention[0][0].kernel, "a");
  EXPECT_EQ(work.whole.kernel, "a");
}

/// Steps with decreasing density, so that no kernel is the best everywhere.
Workload Fading() {
  Workload workload;
  workload.model = {"fading", 2, 6, 32, {24, 8, 8}, 0, 6, 1};
  workload.block = {16, 16};
  planner::ApplyMaskFlag("radial:decay=0.05,dense_steps=3,dense_layers=1", workload);
  return workload;
}

SearchResult RunSearch(const Workload& workload,
                       const planner::Costs& costs,
                       const std::vector<std::string>& kernels,
                       const SearchOptions& base) {
  SearchOptions options = base;
  options.kernels = kernels;
  const auto masks = planner::OpenMasks(workload);
  // Partitions price moved blocks by the default kernel, whichever kernel a cell runs.
  auto candidates = MakeCandidates(
      SearchableFamilies(), options.ranks, workload.model.heads, "dense", {{1, 2}, true});
  return Search(workload, *masks, costs, std::move(candidates), options);
}

TEST(KernelPerCellTest, NoSingleKernelIsBetterInAnyCellAndThePlanNamesWhatEachRuns) {
  const Workload workload = Fading();
  KernelCosts costs;
  costs.kernels["dense"] = {200000, 10, 30};
  costs.kernels["sparse"] = {1000, 10, 50};
  costs.call_ns = 0;
  SearchOptions options;
  options.ranks = 4;
  options.dtype = DType::kBf16;
  options.steps = {0, workload.model.steps};
  options.layers = {0, workload.model.layers};
  const SearchResult both = RunSearch(workload, costs, {"dense", "sparse"}, options);
  for (const char* name : {"dense", "sparse"}) {
    const SearchResult single = RunSearch(workload, costs, {name}, options);
    ASSERT_EQ(single.classes.size(), both.classes.size());
    for (std::size_t c = 0; c < both.classes.size(); ++c) {
      for (std::size_t i = 0; i < both.candidates.size(); ++i) {
        EXPECT_LE(both.classes[c].scores[i].total_ns, single.classes[c].scores[i].total_ns);
        EXPECT_LE(both.classes[c].scores[i].lower_bound_ns, both.classes[c].scores[i].total_ns);
      }
    }
    EXPECT_LT(SummarisePlan(both).total_ms, SummarisePlan(single).total_ms) << name;
  }
  const auto masks = planner::OpenMasks(workload);
  options.kernels = {"dense", "sparse"};
  const Plan plan = MakePlan(workload, *masks, costs, both, options, {});
  std::map<std::string, int> cells;
  for (const PlanCell& cell : plan.cells) {
    ++cells[plan.strategies[cell.strategy].kernel];
  }
  EXPECT_GT(cells["dense"], 0);
  EXPECT_GT(cells["sparse"], 0);
  EXPECT_EQ(cells.size(), 2U);

  const Json document =
      Json::parse(CompareJson(both, "fading", "hash", {CostSource::kFitted, "", ""}, true));
  bool several = false;
  for (const Json& candidate : document["candidates"]) {
    EXPECT_GE(candidate["kernels"].size(), 1U);
    several |= candidate["kernels"].size() == 2;
  }
  EXPECT_TRUE(several);
  std::map<std::string, int> in_cells;
  for (const Json& cell : document["cells"]) ++in_cells[cell["kernel"].get<std::string>()];
  EXPECT_EQ(in_cells, cells);
  EXPECT_THAT(
      VerdictLines(both, CostSource::kFitted, {}, std::nullopt),
      ::testing::HasSubstr(fmt::format(
          "plan: kernels by cells: dense in {}, sparse in {}", cells["dense"], cells["sparse"])));
}

TEST(KernelPerCellTest, AReusedPlanKeepsItsKernel) {
  const Workload workload = Fading();
  KernelCosts costs;
  costs.kernels["dense"] = {200000, 10, 30};
  costs.kernels["sparse"] = {1000, 10, 50};
  SearchOptions options;
  options.ranks = 4;
  options.dtype = DType::kBf16;
  options.steps = {0, workload.model.steps};
  options.layers = {1, 2};
  options.replan_ns = 1e15;  // every layer makes one plan
  options.kernels = {"dense", "sparse"};
  const SearchResult result = RunSearch(workload, costs, options.kernels, options);
  const auto masks = planner::OpenMasks(workload);
  const Plan plan = MakePlan(workload, *masks, costs, result, options, {});
  for (const PlanCell& cell : plan.cells) {
    EXPECT_EQ(cell.strategy, plan.cells.front().strategy);
    const Strategy& strategy = plan.strategies[cell.strategy];
    EXPECT_EQ(strategy.kernel, "dense") << "the first step is dense";
  }
}

}  // namespace
}  // namespace dbsp::tuner
