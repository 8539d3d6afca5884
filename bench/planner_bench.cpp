// SPDX-License-Identifier: Apache-2.0
// Time to plan one layer of Wan2.1-14B 720p: 40 heads of 1182 x 1182 blocks of 64 tokens. All masks
// differ; a quarter of the blocks is active.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>

#include "planner/placement/families.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/workload/layer_counts.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {
namespace {

constexpr int kRanks = 8;

struct Layer {
  AttentionShape shape{40, 128, 75600, {64, 64}};
  LayerMasks masks;
  HomeLayout home;
};

const Layer& OneLayer() {
  static const Layer layer = [] {
    Layer made;
    made.home = MakeHomeLayout(made.shape, kRanks);
    std::mt19937_64 random(1);
    for (int h = 0; h < made.shape.heads; ++h) {
      auto mask = std::make_shared<BlockMask>(made.shape.q_blocks(), made.shape.k_blocks());
      for (int i = 0; i < mask->rows(); ++i) {
        for (auto& word : mask->mutable_row(i)) word = random() & random();
        mask->mutable_row(i).back() &= (1ULL << (mask->cols() % 64)) - 1;
      }
      made.masks.head.push_back(std::move(mask));
    }
    return made;
  }();
  return layer;
}

void ColumnSumsOfLayer(benchmark::State& state) {
  const LayerCounts counts(OneLayer().masks);
  const std::vector<int> rows(static_cast<std::size_t>(OneLayer().masks.rows()), 0);
  for (auto _ : state) benchmark::DoNotOptimize(counts.Sum().ColumnParts(rows, 1));
}
BENCHMARK(ColumnSumsOfLayer)->Unit(benchmark::kMillisecond);

void LayerCountsOfLayer(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(LayerCounts(OneLayer().masks).masks().heads());
}
BENCHMARK(LayerCountsOfLayer)->Unit(benchmark::kMillisecond);

void CountsOfLayer(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(RowLoadsOf(OneLayer().masks));
}
BENCHMARK(CountsOfLayer)->Unit(benchmark::kMillisecond);

void PartitionDbsp(benchmark::State& state) {
  const Layer& layer = OneLayer();
  const int ring = static_cast<int>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(MakePartition(
        Family::kDbsp, layer.shape, layer.masks, kRanks, kRanks / ring, ring, layer.home));
  }
}
BENCHMARK(PartitionDbsp)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);

void PartitionBalanced(benchmark::State& state) {
  const Layer& layer = OneLayer();
  const int ring = static_cast<int>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(MakePartition(
        Family::kBalanced, layer.shape, layer.masks, kRanks, kRanks / ring, ring, layer.home));
  }
}
BENCHMARK(PartitionBalanced)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);

void VolumesOf(benchmark::State& state, Family family, Exchange exchange = Exchange::kRing) {
  const Layer& layer = OneLayer();
  Strategy strategy;
  strategy.family = family;
  strategy.ring_degree = static_cast<int>(state.range(0));
  strategy.ulysses_degree = kRanks / strategy.ring_degree;
  strategy.exchange = ExchangeOf(family, strategy.ring_degree);
  Partition partition = MakePartition(family,
                                      layer.shape,
                                      layer.masks,
                                      kRanks,
                                      strategy.ulysses_degree,
                                      strategy.ring_degree,
                                      layer.home);
  if (exchange != Exchange::kRing) {
    strategy.exchange = exchange;
    for (HeadGroup& group : partition.groups) group.col_owner.clear();
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        BuildLayerVolumes(layer.shape, layer.masks, partition, strategy, layer.home, DType::kBf16));
  }
}
void VolumesUsp(benchmark::State& state) { VolumesOf(state, Family::kUsp); }
void VolumesDbsp(benchmark::State& state) { VolumesOf(state, Family::kDbsp); }
void VolumesNeeded(benchmark::State& state) { VolumesOf(state, Family::kUsp, Exchange::kNeeded); }
void VolumesAllGather(benchmark::State& state) {
  VolumesOf(state, Family::kUsp, Exchange::kAllGather);
}
BENCHMARK(VolumesUsp)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);
BENCHMARK(VolumesDbsp)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);
BENCHMARK(VolumesNeeded)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);
BENCHMARK(VolumesAllGather)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dbsp::planner
