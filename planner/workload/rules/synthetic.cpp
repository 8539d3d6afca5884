// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/synthetic.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"

namespace dbsp::planner {
namespace {

/// Blocks of a mask by number, row by row.
class Positions {
 public:
  explicit Positions(BlockMask& mask)
      : words_(mask.mutable_row(0).data()),
        words_per_row_(static_cast<std::size_t>(mask.words_per_row())),
        cols_(static_cast<std::uint32_t>(mask.cols())),
        blocks_(static_cast<std::uint64_t>(mask.rows()) * cols_) {}

  /// Index of the word of a random block, and the block's bit.
  std::pair<std::size_t, std::uint64_t> Draw(Prng& prng) const {
    const auto at = static_cast<std::uint32_t>(prng.Below(blocks_));
    const std::uint32_t row = at / cols_;
    const std::uint32_t col = at - row * cols_;
    return {row * words_per_row_ + col / 64, 1ULL << (col % 64)};
  }
  [[nodiscard]] std::uint64_t* words() const { return words_; }

 private:
  std::uint64_t* words_;
  std::size_t words_per_row_;
  std::uint32_t cols_;
  std::uint64_t blocks_;
};

/// Activates `amount` of the inactive blocks at random. If that is more than half of them, it
/// activates all and clears the rest, so the expected number of draws stays below 1.4 per block.
/// requires `active` blocks of the mask active. Draws of blocks that do not change count for
/// nothing: without a branch that depends on the draw, most draws take their time alone.
void AddRandom(BlockMask& mask, std::int64_t active, std::int64_t amount, Prng& prng) {
  const std::int64_t inactive = static_cast<std::int64_t>(mask.rows()) * mask.cols() - active;
  if (2 * amount <= inactive) {
    const Positions positions(mask);
    while (amount > 0) {
      const auto [word, bit] = positions.Draw(prng);
      const std::uint64_t before = positions.words()[word];
      positions.words()[word] = before | bit;
      amount -= (before & bit) == 0 ? 1 : 0;
    }
    return;
  }
  const BlockMask before = std::move(mask);
  mask = BlockMask::Full(before.rows(), before.cols());
  const Positions positions(mask);
  for (std::int64_t left = inactive - amount; left > 0;) {
    const auto [word, bit] = positions.Draw(prng);
    const std::uint64_t clear = positions.words()[word] & ~before.words()[word] & bit;
    positions.words()[word] &= ~clear;
    left -= clear != 0 ? 1 : 0;
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

/// floor(numerator / divisor) for a numerator that grows by a fixed step, without divisions.
class SteppedQuotient {
 public:
  SteppedQuotient(std::int64_t numerator, std::int64_t step, std::int64_t divisor)
      : divisor_(divisor), step_(step / divisor), step_rest_(step % divisor) {
    quotient_ = numerator / divisor;
    rest_ = numerator % divisor;
    if (rest_ >= 0) return;
    rest_ += divisor;
    --quotient_;
  }
  [[nodiscard]] std::int64_t value() const { return quotient_; }
  void Next() {
    rest_ += step_rest_;
    const bool carry = rest_ >= divisor_;
    rest_ -= carry ? divisor_ : 0;
    quotient_ += step_ + (carry ? 1 : 0);
  }

 private:
  std::int64_t divisor_;
  std::int64_t step_;
  std::int64_t step_rest_;
  std::int64_t quotient_ = 0;
  std::int64_t rest_ = 0;
};

/// Blocks within `reach` of the diagonal: the sum of the widths of NearDiagonal over the rows.
std::int64_t BandCount(int rows, int cols, std::int64_t reach) {
  const std::int64_t two = 2LL * rows;
  SteppedQuotient begin(cols - reach - rows + two - 1, 2LL * cols, two);
  SteppedQuotient last(cols + reach - rows, 2LL * cols, two);
  std::int64_t count = 0;
  for (int i = 0; i < rows; ++i) {
    const std::int64_t from = std::max<std::int64_t>(0, begin.value());
    const std::int64_t to = std::min<std::int64_t>(cols, last.value() + 1);
    count += std::max<std::int64_t>(0, to - from);
    begin.Next();
    last.Next();
  }
  return count;
}

/// Activates the widest band around the diagonal with at most `amount` blocks. returns  its blocks
std::int64_t AddBand(BlockMask& mask, std::int64_t amount) {
  const int rows = mask.rows();
  const int cols = mask.cols();
  // Distances from the diagonal are cols - rows modulo 2 * gcd(rows, cols).
  const std::int64_t unit = 2 * std::gcd(rows, cols);
  const std::int64_t least = std::abs(cols - rows) % unit;
  std::int64_t below = -1;
  std::int64_t above = 2LL * rows * cols / unit + 1;
  while (above - below > 1) {
    const std::int64_t middle = below + (above - below) / 2;
    (BandCount(rows, cols, least + middle * unit) <= amount ? below : above) = middle;
  }
  const std::int64_t low = below < 0 ? -1 : least + below * unit;
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
  AddRandom(mask, band, active - band, prng);
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
