// SPDX-License-Identifier: Apache-2.0
// Masks with an exact number of active blocks at made-up, seeded positions. They stand in where
// only a head's density is known: counts and head imbalance are real, positions are not.
#pragma once

#include <cstdint>
#include <string>

#include "core/block_mask.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {

enum class Pattern : std::uint8_t {
  kRandom,  ///< every set of `kept` blocks equally likely
  kBand,  ///< three quarters of the blocks nearest to the diagonal, the rest anywhere else
};
/// "random", "band"; requires one of the two
[[nodiscard]] Pattern ParsePattern(const std::string& name);

/// Exactly `kept` bits of rows x cols.
/// requires 0 <= kept <= rows * cols < 2^32
[[nodiscard]] BlockMask SyntheticMask(
    int rows, int cols, std::int64_t kept, Pattern pattern, Prng& prng);

/// Heads whose kept counts are known beforehand: counts[head], one prng stream per
/// (seed, step, layer, head).
[[nodiscard]] LayerMasks SyntheticLayer(int rows,
                                        int cols,
                                        const std::vector<std::int64_t>& kept,
                                        Pattern pattern,
                                        std::uint64_t seed,
                                        int step,
                                        int layer);

}  // namespace dbsp::planner
