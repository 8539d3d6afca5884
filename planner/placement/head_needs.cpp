// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_needs.h"

#include <algorithm>

#include "core/matrix.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {
namespace {

/// Sampled rows of a head, over all ranks.
constexpr std::size_t kSampledRows = 512;
/// Rows of a rank between two checks whether they need every column already.
constexpr std::size_t kSampledRowsPerCheck = 8;
/// Starting ranks of a head.
constexpr std::size_t kStarts = 3;

class NeedSampler {
 public:
  NeedSampler(std::span<const int> row_home, std::span<const int> col_home, int ranks)
      : ranks_(static_cast<std::size_t>(ranks)),
        cols_(col_home.size()),
        words_((cols_ + 63) / 64),
        rows_(ranks_),
        home_(ranks_, words_),
        need_(ranks_, words_),
        run_(words_) {
    for (std::size_t r = 0; r < row_home.size(); ++r) {
      rows_[row_home[r]].push_back(static_cast<int>(r));
    }
    for (std::vector<int>& rows : rows_) {
      const std::size_t all = rows.size();
      const std::size_t most = std::max<std::size_t>(1, kSampledRows / ranks_);
      if (all <= most) continue;
      for (std::size_t n = 0; n < most; ++n) rows[n] = rows[n * all / most];
      rows.resize(most);
    }
    for (std::size_t j = 0; j < cols_; ++j) {
      home_(col_home[j], j / 64) |= 1ULL << (j % 64);
    }
  }

  /// Mean needs over the starts. Ranks beyond the point at which all columns are needed are not
  /// sampled.
  void Sample(const BlockMask& mask, std::span<double> needs) {
    std::vector<bool> known(ranks_, false);
    std::ranges::fill(needs, 0);
    const std::size_t starts = std::min(ranks_, kStarts);
    for (std::size_t n = 0; n < starts; ++n) {
      const std::size_t p = n * ranks_ / starts;
      const auto home = home_.row(p);
      std::ranges::fill(run_, 0);
      double part = 0;
      bool all = false;
      for (std::size_t k = 1; k <= ranks_; ++k) {
        if (const std::size_t rank = (p + k - 1) % ranks_; !all) {
          if (!known[rank]) SampleRank(mask, rank);
          known[rank] = true;
          for (std::size_t w = 0; w < words_; ++w) run_[w] |= need_(rank, w);
          const std::int64_t needed = CountBits(run_);
          part = static_cast<double>(needed - CountBits(run_, home)) /
                 static_cast<double>(cols_ * starts);
          all = needed == static_cast<std::int64_t>(cols_);
        }
        needs[k] += part;
      }
    }
  }

 private:
  void SampleRank(const BlockMask& mask, std::size_t rank) {
    const std::span<std::uint64_t> need = need_.row(rank);
    std::ranges::fill(need, 0);
    std::size_t sampled = 0;
    for (const int row : rows_[rank]) {
      const auto bits = mask.row(row);
      for (std::size_t w = 0; w < words_; ++w) need[w] |= bits[w];
      if (++sampled % kSampledRowsPerCheck == 0 &&
          CountBits(need) == static_cast<std::int64_t>(cols_))
        return;
    }
  }

  std::size_t ranks_;
  std::size_t cols_;
  std::size_t words_;
  std::vector<std::vector<int>> rows_;  ///< [rank] sampled rows at home there
  Matrix<std::uint64_t> home_;  ///< [rank][word] columns at home there
  Matrix<std::uint64_t> need_;  ///< [rank][word] columns that its rows need
  std::vector<std::uint64_t> run_;  ///< [word] columns that a run of ranks needs
};

}  // namespace

std::vector<double> NeedsOf(const LayerMasks& masks,
                            std::span<const int> row_home,
                            std::span<const int> col_home,
                            int ranks) {
  const auto stride = static_cast<std::size_t>(ranks) + 1;
  std::vector<double> needs(static_cast<std::size_t>(masks.heads()) * stride, 0);
  if (col_home.empty()) return needs;
  NeedSampler sampler(row_home, col_home, ranks);
  for (std::size_t h = 0; h < static_cast<std::size_t>(masks.heads()); ++h) {
    sampler.Sample(*masks.head[h], std::span(needs).subspan(h * stride, stride));
  }
  return needs;
}

}  // namespace dbsp::planner
