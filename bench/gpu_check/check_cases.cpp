// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "bench/gpu_check/check_attention.h"
#include "kernels/key_lists.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::gpu_check {
namespace {

constexpr std::array kDensities = {0.02, 0.1, 0.3, 0.6, 0.95};
constexpr std::array kRuns = {1, 1, 8, 64, 128};

int Between(planner::Prng& prng, int low, int high) {
  return low + static_cast<int>(prng.Below(static_cast<std::uint64_t>(high - low + 1)));
}

}  // namespace

CheckCase CaseOf(const kernels::gpu::Variant& variant, int index, std::uint64_t seed, bool small) {
  planner::Prng prng{seed, static_cast<std::uint64_t>(index), small ? 1ULL : 0ULL};
  CheckCase one;
  one.seed = prng.Next() >> 8;
  one.shape.head_dim = variant.head_dim;
  one.shape.batch = Between(prng, 1, 2);
  one.shape.heads = Between(prng, 1, small ? 2 : 3);
  one.shape.q_tokens = Between(prng, 1, small ? 400 : 1500);
  one.shape.k_tokens = Between(prng, 1, small ? 500 : 2000);
  // Scores of a spread that makes some rows all but one-hot.
  one.shape.scale = static_cast<float>((0.5 + 1.5 * prng.Uniform()) / std::sqrt(variant.head_dim));
  one.layout = static_cast<Layout>(prng.Below(3));
  one.density = kDensities[prng.Below(kDensities.size())];
  one.run = variant.k_block == 1 ? kRuns[prng.Below(kRuns.size())] : 1;
  const int step = variant.k_block == 1 ? variant.tile_n : variant.k_block;
  switch (index) {
    case 0:  // Everything, with tails on both sides.
      one.density = 1.0;
      one.run = 1;
      break;
    case 1:  // Nothing.
      one.density = 0.0;
      break;
    case 2:
      one.shape.q_tokens = one.shape.k_tokens = 1;
      one.density = 1.0;
      break;
    case 3:  // Whole tiles.
      one.shape.q_tokens = 2 * variant.tile_m;
      one.shape.k_tokens = 3 * step;
      one.density = 0.6;
      break;
    case 4:  // One key, and one query, more than whole tiles.
      one.shape.q_tokens = 2 * variant.tile_m + 1;
      one.shape.k_tokens = 2 * step + 1;
      one.density = 1.0;
      break;
    default:
      break;
  }
  return one;
}

Lists ListsOf(const CheckCase& one, const kernels::gpu::Variant& variant) {
  const Blocks blocks = BlocksOf(variant, one.shape);
  Lists lists = Random(blocks, one.shape.batch * one.shape.heads, one.density, one.run, one.seed);
  if (variant.k_block == 1 && one.run >= kernels::kRunKeys) {
    // Long runs are what the kernel fetches whole once they are arranged.
    kernels::KeyLists keys{std::move(lists.begin), std::move(lists.list)};
    kernels::ArrangeRuns(keys);
    lists.begin = std::move(keys.begin);
    lists.list = std::move(keys.list);
  }
  return lists;
}

}  // namespace dbsp::gpu_check
