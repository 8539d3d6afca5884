// SPDX-License-Identifier: Apache-2.0
// Masks with an exact number of active blocks at seeded positions, for heads of which only the
// density is known. Counts and the imbalance of heads are real; positions are not.
#pragma once

#include <cstdint>
#include <string>

#include "core/block_mask.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {

enum class Pattern : std::uint8_t {
  kRandom,  ///< every set of `active` blocks is equally likely
  kBand,  ///< three quarters nearest to the diagonal, the rest at random elsewhere
};
/// Pattern by name. requires "random" or "band"
[[nodiscard]] Pattern ParsePattern(const std::string& name);

/// Mask of rows x cols with exactly `active` active blocks.
/// requires 0 <= active <= rows * cols < 2^32
[[nodiscard]] BlockMask SyntheticMask(
    int rows, int cols, std::int64_t active, Pattern pattern, Prng& prng);

/// Masks of heads with active[head] active blocks. Every (seed, step, layer, head) has its own
/// stream of random numbers.
[[nodiscard]] LayerMasks SyntheticLayer(int rows,
                                        int cols,
                                        const std::vector<std::int64_t>& active,
                                        Pattern pattern,
                                        std::uint64_t seed,
                                        int step,
                                        int layer);

}  // namespace dbsp::planner
