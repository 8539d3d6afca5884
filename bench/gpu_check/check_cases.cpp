// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
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
  CheckCase check_case;
  check_case.seed = prng.Next() >> 8;
  check_case.shape.head_dim = variant.head_dim;
  check_case.shape.batch = Between(prng, 1, 2);
  check_case.shape.heads = Between(prng, 1, small ? 2 : 3);
  check_case.shape.q_tokens = Between(prng, 1, small ? 400 : 1500);
  check_case.shape.k_tokens = Between(prng, 1, small ? 500 : 2000);
  // With this scale the softmax of some rows is close to one-hot.
  check_case.shape.scale =
      static_cast<float>((0.5 + 1.5 * prng.Uniform()) / std::sqrt(variant.head_dim));
  check_case.layout = static_cast<Layout>(prng.Below(3));
  check_case.density = kDensities[prng.Below(kDensities.size())];
  check_case.run = variant.k_block == 1 ? kRuns[prng.Below(kRuns.size())] : 1;
  const int step = variant.k_block == 1 ? variant.tile_n : variant.k_block;
  const int long_step = std::max(step, variant.tile_n);  // two key blocks of 64 in some kernels
  switch (index) {
    case 0:  // Every entry, with partial blocks of queries and of keys.
      check_case.density = 1.0;
      check_case.run = 1;
      break;
    case 1:  // No entry.
      check_case.density = 0.0;
      break;
    case 2:
      check_case.shape.q_tokens = check_case.shape.k_tokens = 1;
      check_case.density = 1.0;
      break;
    case 3:  // Whole tiles only.
      check_case.shape.q_tokens = 2 * variant.tile_m;
      check_case.shape.k_tokens = 3 * step;
      check_case.density = 0.6;
      break;
    case 4:  // Whole tiles, one more query and one more key.
      check_case.shape.q_tokens = 2 * variant.tile_m + 1;
      check_case.shape.k_tokens = 2 * step + 1;
      check_case.density = 1.0;
      break;
    case 5:  // The reference of the exponents rises at every step.
      check_case.scores = Scores::kGrowing;
      check_case.shape.q_tokens = variant.tile_m + 5;
      check_case.shape.k_tokens = 3 * long_step + 17;
      check_case.density = 1.0;
      break;
    case 6:
      check_case.scores = Scores::kOneHot;
      check_case.shape.k_tokens = 2 * long_step + 9;
      check_case.density = 0.6;
      break;
    case 7:
      check_case.scores = Scores::kLarge;
      check_case.shape.k_tokens = 3 * long_step;
      check_case.density = 0.1;  // some rows without keys
      break;
    default:
      break;
  }
  return check_case;
}

Lists ListsOf(const CheckCase& check_case, const kernels::gpu::Variant& variant) {
  const Blocks blocks = BlocksOf(variant, check_case.shape);
  Lists lists = Random(blocks,
                       check_case.shape.batch * check_case.shape.heads,
                       check_case.density,
                       check_case.run,
                       check_case.seed);
  if (variant.k_block == 1 && check_case.run >= kernels::kRunKeys) {
    // The kernel loads a run of keys with one copy once ArrangeRuns has put the runs first.
    kernels::KeyLists keys{std::move(lists.begin), std::move(lists.list)};
    kernels::ArrangeRuns(keys);
    lists.begin = std::move(keys.begin);
    lists.list = std::move(keys.list);
  }
  return lists;
}

}  // namespace dbsp::gpu_check
