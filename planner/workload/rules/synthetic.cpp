// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/synthetic.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/error.h"

namespace dbsp::planner {
namespace {

/// Sets `amount` of the blocks that are not `value` to `value`. Every choice is equally likely.
/// requires at least `amount` such blocks
void Flip(BlockMask& mask, std::int64_t amount, bool value, Prng& prng) {
  const auto rows = static_cast<std::uint64_t>(mask.rows());
  const auto cols = static_cast<std::uint64_t>(mask.cols());
  while (amount > 0) {
    const std::uint64_t at = prng.Below(rows * cols);
    const auto i = static_cast<int>(at / cols);
    const auto j = static_cast<int>(at % cols);
    if (mask.Get(i, j) == value) continue;
    mask.Set(i, j, value);
    --amount;
  }
}

/// Activates `amount` of the inactive blocks at random. If that is more than half of them, it
/// activates all and clears the rest, so the expected number of draws stays below 1.4 per block.
void AddRandom(BlockMask& mask, std::int64_t amount, Prng& prng) {
  const std::int64_t unset = static_cast<std::int64_t>(mask.rows()) * mask.cols() - mask.Count();
  if (2 * amount <= unset) {
    Flip(mask, amount, true, prng);
    return;
  }
  BlockMask before = mask;
  mask = BlockMask::Full(mask.rows(), mask.cols());
  for (std::int64_t left = unset - amount; left > 0;) {
    const auto cols = static_cast<std::uint64_t>(mask.cols());
    const std::uint64_t at = prng.Below(static_cast<std::uint64_t>(mask.rows()) * cols);
    const auto i = static_cast<int>(at / cols);
    const auto j = static_cast<int>(at % cols);
    if (before.Get(i, j) || !mask.Get(i, j)) continue;
    mask.Set(i, j, false);
    --left;
  }
}

/// Columns of row i within `reach` of the diagonal. Distances are in units of 1 / (rows * cols) of
/// the sides, so a rectangular mask has one diagonal, too.
struct Columns {
  int begin;
  int end;
};
Columns NearDiagonal(int i, int rows, int cols, std::int64_t reach) {
  // Block centres: |(2i + 1) * cols - (2j + 1) * rows| <= reach.
  const std::int64_t centre = static_cast<std::int64_t>(2 * i + 1) * cols;
  const auto clamp = [&](std::int64_t j) {
    return static_cast<int>(std::clamp<std::int64_t>(j, 0, cols));
  };
  const auto floor_div = [](std::int64_t a, std::int64_t b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
  };
  const std::int64_t two = 2LL * rows;
  return {clamp(floor_div(centre - reach - rows + two - 1, two)),
          clamp(floor_div(centre + reach - rows, two) + 1)};
}

std::int64_t BandCount(int rows, int cols, std::int64_t reach) {
  std::int64_t count = 0;
  for (int i = 0; i < rows; ++i) {
    const Columns columns = NearDiagonal(i, rows, cols, reach);
    count += std::max(0, columns.end - columns.begin);
  }
  return count;
}

/// Activates the widest band around the diagonal with at most `amount` blocks. returns  its blocks
std::int64_t AddBand(BlockMask& mask, std::int64_t amount) {
  const int rows = mask.rows();
  const int cols = mask.cols();
  std::int64_t low = -1;
  std::int64_t high = 2LL * rows * cols;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (BandCount(rows, cols, middle) <= amount ? low : high) = middle;
  }
  if (low < 0) return 0;
  for (int i = 0; i < rows; ++i) {
    const Columns columns = NearDiagonal(i, rows, cols, low);
    mask.SetRange(i, columns.begin, columns.end);
  }
  return BandCount(rows, cols, low);
}

}  // namespace

Pattern ParsePattern(const std::string& name) {
  DBSP_CHECK(name == "random" || name == "band");
  return name == "band" ? Pattern::kBand : Pattern::kRandom;
}

BlockMask SyntheticMask(int rows, int cols, std::int64_t active, Pattern pattern, Prng& prng) {
  const std::int64_t all = static_cast<std::int64_t>(rows) * cols;
  DBSP_CHECK(active >= 0 && active <= all && all < (1LL << 32));
  if (active == all) return BlockMask::Full(rows, cols);
  BlockMask mask(rows, cols);
  const std::int64_t band = pattern == Pattern::kBand ? AddBand(mask, active - active / 4) : 0;
  AddRandom(mask, active - band, prng);
  return mask;
}

LayerMasks SyntheticLayer(int rows,
                          int cols,
                          const std::vector<std::int64_t>& active,
                          Pattern pattern,
                          std::uint64_t seed,
                          int step,
                          int layer) {
  LayerMasks masks;
  for (std::size_t h = 0; h < active.size(); ++h) {
    Prng prng{seed, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(layer), h};
    masks.head.push_back(
        std::make_shared<const BlockMask>(SyntheticMask(rows, cols, active[h], pattern, prng)));
  }
  return masks;
}

}  // namespace dbsp::planner
