// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/speed_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/shape.h"
#include "planner/workload/rules/radial.h"
#include "planner/workload/rules/sta.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionShape;
using kernels::gpu::ListKind;
using kernels::gpu::Variant;

/// Sizes of the groups' shapes.
struct Sizes {
  /// Wan 2.1 14B at 720p: 81 frames of 1280 x 720 in a latent grid, 40 heads.
  Grid wan{21, 45, 80};
  int wan_heads = 40;
  /// The same grid in sliding tiles of 6 x 8 x 8, rounded up to whole tiles.
  Grid tiles{4, 6, 10};
  /// Lists of single keys for 75,600 tokens would need more than 32-bit offsets.
  int gather_tokens = 32768;
  int gather_heads = 12;
  int max_tokens = 65536;  ///< limits the dense groups
  int max_heads = 40;
};
constexpr Sizes kSmoke{.wan = {2, 5, 15},
                       .wan_heads = 1,
                       .tiles = {1, 1, 1},
                       .gather_tokens = 150,
                       .gather_heads = 1,
                       .max_tokens = 150,
                       .max_heads = 1};
constexpr int kSmokeBudgetS = 0;  // MeasureInTurns times every launch once even without budget

AttentionShape ShapeOf(std::int64_t tokens, int heads, int head_dim) {
  AttentionShape shape;
  shape.heads = heads;
  shape.q_tokens = shape.k_tokens = static_cast<int>(tokens);
  shape.head_dim = head_dim;
  shape.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  return shape;
}

SpeedItem Dense(int min_arch, double expected_tflops) {
  SpeedItem item;
  item.mask = "dense";
  item.kernels.min_arch = min_arch;
  item.make_lists = [](const Blocks& blocks, int heads) { return Full(blocks, heads); };
  item.same_for_heads = true;
  item.expected_tflops = expected_tflops;
  return item;
}

/// Dense attention as the base of a group of sparse masks: on the kernels of 128 queries, because
/// the group's time belongs to its masks.
SpeedItem DenseBase() {
  SpeedItem item = Dense(90, 0);
  item.kernels.q_block = 128;
  return item;
}

SpeedItem RandomBlocks(int min_arch, int block, double density, double expected_of_dense) {
  SpeedItem item;
  item.mask = fmt::format("random {:.2f}", density);
  item.kernels = {ListKind::kBlocks, block, block, min_arch};
  item.make_lists = [density](const Blocks& blocks, int heads) {
    return Random(blocks, heads, density, 1, 11);
  };
  item.expected_of_dense = expected_of_dense;
  return item;
}

SpeedItem Keys(int run, double density, double expected_of_dense) {
  SpeedItem item;
  item.mask = run == 1 ? fmt::format("keys {:.2f}", density)
                       : fmt::format("runs of {}, {:.2f}", run, density);
  item.kernels = {ListKind::kKeys, 128, 1, 0};
  item.make_lists = [run, density](const Blocks& blocks, int heads) {
    return Random(blocks, heads, density, run, 13);
  };
  item.expected_of_dense = expected_of_dense;
  return item;
}

/// Block-sparse attention over every block that contains a listed key. It is the alternative to
/// gathering the keys.
SpeedItem UnionOfKeys(double density) {
  SpeedItem item;
  item.mask = fmt::format("blocks of runs of 8, {:.2f}", density);
  item.kernels = {ListKind::kBlocks, 128, 128, 90};
  item.make_lists = [density](const Blocks& blocks, int heads) {
    Blocks keys = blocks;
    keys.k_block = 1;
    return BlocksOfKeys(Random(keys, heads, density, 8, 13), blocks.k_block);
  };
  return item;
}

SpeedItem FromRule(const std::string& name,
                   int block,
                   const BlockMask& mask,
                   double expected_of_dense) {
  SpeedItem item;
  item.mask = name;
  item.kernels = {ListKind::kBlocks, block, block, 90};
  item.make_lists = [mask](const Blocks& blocks, int heads) {
    return FromMask(mask, blocks, heads);
  };
  item.same_for_heads = true;
  item.expected_of_dense = expected_of_dense;
  return item;
}

SpeedItem Radial(const Grid& grid, int block, double expected_of_dense) {
  planner::RadialOptions options;
  options.decay = 0.2;
  options.block = block;
  options.sink = true;
  return FromRule("radial", block, planner::RadialMask(grid, 0, options), expected_of_dense);
}

SpeedItem Sta(const Grid& tiles, int block, double expected_of_dense) {
  return FromRule(
      "sta 3x3x5", block, planner::StaMask(tiles, {3, 3, 5}, 0, {block, block}), expected_of_dense);
}

SpeedGroup DenseGroup(
    const Sizes& sizes, int tokens, int heads, int head_dim, double expected_tflops) {
  return {fmt::format("dense d{} {} tokens {} heads", head_dim, tokens, heads),
          ShapeOf(std::min(tokens, sizes.max_tokens), std::min(heads, sizes.max_heads), head_dim),
          8,
          {Dense(90, expected_tflops)}};
}

SpeedGroup WanGroup(const Sizes& sizes, int block, const std::vector<double>& expected_of_dense) {
  SpeedGroup group{fmt::format("wan 720p {}x{}", block, block),
                   ShapeOf(sizes.wan.tokens(), sizes.wan_heads, 128),
                   14,
                   {DenseBase()}};
  const double densities[] = {0.5, 0.3, 0.2, 0.1};
  for (std::size_t i = 0; i < 4; ++i) {
    group.items.push_back(RandomBlocks(90, block, densities[i], expected_of_dense[i]));
  }
  group.items.push_back(Radial(sizes.wan, block, expected_of_dense[3]));
  return group;
}

SpeedGroup StaGroup(const Sizes& sizes, int block, double expected_of_dense) {
  return {fmt::format("wan 720p sta {}x{}", block, block),
          ShapeOf(sizes.tiles.tokens() * planner::kStaTileTokens, sizes.wan_heads, 128),
          10,
          {DenseBase(), Sta(sizes.tiles, block, expected_of_dense)}};
}

SpeedGroup GatherGroup(const Sizes& sizes) {
  SpeedGroup group{
      "gather", ShapeOf(sizes.gather_tokens, sizes.gather_heads, 128), 12, {DenseBase()}};
  for (const double density : {0.1, 0.3, 0.6}) group.items.push_back(Keys(1, density, 0.75));
  for (const double density : {0.1, 0.3, 0.6}) group.items.push_back(Keys(8, density, 0.80));
  group.items.push_back(UnionOfKeys(0.1));
  return group;
}

/// Makes smoke groups: each item is timed once and has no expected speed.
std::vector<SpeedGroup> ApplySmoke(std::vector<SpeedGroup> groups, bool smoke) {
  if (!smoke) return groups;
  for (SpeedGroup& group : groups) {
    group.name = "smoke: " + group.name;
    group.budget_s = kSmokeBudgetS;
    for (SpeedItem& item : group.items) item.expected_of_dense = item.expected_tflops = 0.0;
  }
  return groups;
}

}  // namespace

std::vector<SpeedGroup> SpeedGroups(bool smoke) {
  const Sizes sizes = smoke ? kSmoke : Sizes{};
  std::vector<SpeedGroup> groups;
  groups.push_back(DenseGroup(sizes, 16384, 40, 128, 640));
  groups.push_back(WanGroup(sizes, 128, {0.95, 0.93, 0.90, 0.85}));
  groups.push_back(DenseGroup(sizes, 16384, 40, 64, 430));
  groups.push_back(GatherGroup(sizes));
  groups.push_back(StaGroup(sizes, 128, 0.85));
  groups.push_back(WanGroup(sizes, 64, {0.65, 0.65, 0.65, 0.65}));
  groups.push_back({"portable d128 16384 tokens 24 heads",
                    ShapeOf(std::min(16384, sizes.max_tokens), std::min(24, sizes.max_heads), 128),
                    8,
                    {Dense(80, 300), RandomBlocks(80, 128, 0.3, 0)}});
  groups.push_back(DenseGroup(sizes, 65536, 24, 128, 640));
  groups.push_back(DenseGroup(sizes, 32768, 24, 128, 640));
  groups.push_back(DenseGroup(sizes, 65536, 24, 64, 430));
  groups.push_back(StaGroup(sizes, 64, 0.65));
  return ApplySmoke(std::move(groups), smoke);
}

SpeedGroup RepeatGroup(int device_arch, bool smoke) {
  SpeedGroup group = DenseGroup(smoke ? kSmoke : Sizes{}, 16384, 8, 128, 0);
  group.items = {Dense(device_arch == 90 ? 90 : 80, 0)};
  group.budget_s = 14;
  return ApplySmoke({std::move(group)}, smoke).front();
}

std::vector<SpeedGroup> CurveGroups(bool smoke) {
  const Sizes sizes = smoke ? kSmoke : Sizes{};
  constexpr double kDensities[] = {0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05};
  std::vector<SpeedGroup> groups;
  for (const int head_dim : {128, 64}) {
    for (const int block : {128, 64}) {
      SpeedGroup group{fmt::format("curve d{} {}x{}", head_dim, block, block),
                       ShapeOf(sizes.gather_tokens, sizes.gather_heads, head_dim),
                       8,
                       {Dense(90, 0)}};
      for (const double density : kDensities) {
        group.items.push_back(RandomBlocks(0, block, density, 0));
      }
      groups.push_back(std::move(group));
    }
    SpeedGroup gather{fmt::format("curve d{} gather", head_dim),
                      ShapeOf(sizes.gather_tokens, sizes.gather_heads, head_dim),
                      8,
                      {Dense(90, 0)}};
    for (const double density : kDensities) gather.items.push_back(Keys(1, density, 0));
    groups.push_back(std::move(gather));
  }
  return ApplySmoke(std::move(groups), smoke);
}

std::vector<const Variant*> MatchingVariants(const KernelFilter& filter,
                                             int head_dim,
                                             std::span<const Variant* const> variants) {
  std::vector<const Variant*> matching;
  for (const Variant* variant : variants) {
    const bool matches = variant->list == filter.list && variant->head_dim == head_dim &&
                         (filter.q_block == 0 || variant->q_block == filter.q_block) &&
                         (filter.k_block == 0 || variant->k_block == filter.k_block) &&
                         (filter.min_arch == 0 || variant->min_arch == filter.min_arch);
    if (matches) matching.push_back(variant);
  }
  return matching;
}

}  // namespace dbsp::gpu_check
