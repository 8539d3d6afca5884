// SPDX-License-Identifier: Apache-2.0
#include "planner/placed_traffic.h"

#include <algorithm>

#include "planner/popcount.h"

namespace dbsp::planner {
namespace {

/// Rows of a whole head between two looks at whether it needs all columns already.
constexpr std::size_t kLook = 16;

class Counter {
 public:
  Counter(const LayerMasks& masks,
          std::span<const int> row_home,
          std::span<const int> col_home,
          int ranks)
      : masks_(masks),
        row_home_(row_home),
        ranks_(static_cast<std::size_t>(ranks)),
        cols_(col_home.size()),
        words_((cols_ + 63) / 64),
        home_(ranks_ * words_, 0),
        need_(ranks_ * words_, 0),
        rows_of_(ranks_, 0),
        traffic_{std::vector<std::int64_t>(ranks_, 0), std::vector<std::int64_t>(ranks_, 0)} {
    for (std::size_t j = 0; j < cols_; ++j) {
      home_[static_cast<std::size_t>(col_home[j]) * words_ + j / 64] |= 1ULL << (j % 64);
    }
  }

  void AddHead(std::size_t head, std::span<const int> owner) {
    std::ranges::fill(rows_of_, 0);
    for (std::size_t r = 0; r < owner.size(); ++r) AddRow(owner[r], row_home_[r]);
    const bool split = std::ranges::count_if(rows_of_, [](int rows) { return rows > 0; }) > 1;
    const bool all = masks_.heads() == 0;
    std::ranges::fill(need_, 0);
    for (std::size_t r = 0; r < owner.size() && !all; ++r) {
      const auto bits = masks_.head[head]->row(static_cast<int>(r));
      const auto rank = static_cast<std::size_t>(owner[r]);
      std::uint64_t* need = need_.data() + rank * words_;
      for (std::size_t w = 0; w < words_; ++w) need[w] |= bits[w];
      if (!split && r % kLook == kLook - 1 &&
          CountBits(std::span(need, words_)) == static_cast<std::int64_t>(cols_)) {
        break;  // a whole head of many blocks soon needs every column
      }
    }
    for (std::size_t p = 0; p < ranks_; ++p) {
      if (rows_of_[p] > 0) AddColumns(p, all);
    }
  }

  [[nodiscard]] PlacedTraffic Finish() { return std::move(traffic_); }

 private:
  void AddRow(int owner, int home) {
    ++rows_of_[static_cast<std::size_t>(owner)];
    if (owner == home) return;
    for (const int rank : {owner, home}) {  // Q one way, O the other
      traffic_.sent[static_cast<std::size_t>(rank)] += static_cast<std::int64_t>(cols_);
      traffic_.received[static_cast<std::size_t>(rank)] += static_cast<std::int64_t>(cols_);
    }
  }

  void AddColumns(std::size_t rank, bool all) {
    const auto rows = static_cast<std::int64_t>(row_home_.size());
    const auto need = std::span(need_).subspan(rank * words_, words_);
    for (std::size_t from = 0; from < ranks_; ++from) {
      if (from == rank) continue;
      const auto home = std::span(home_).subspan(from * words_, words_);
      const std::int64_t units = 2 * rows * (all ? CountBits(home) : CountBits(need, home));
      traffic_.sent[from] += units;
      traffic_.received[rank] += units;
    }
  }

  const LayerMasks& masks_;
  std::span<const int> row_home_;
  std::size_t ranks_;
  std::size_t cols_;
  std::size_t words_;
  std::vector<std::uint64_t> home_;  ///< [rank][word] columns at home there
  std::vector<std::uint64_t> need_;  ///< [rank][word] columns of one head
  std::vector<int> rows_of_;  ///< [rank] of one head
  PlacedTraffic traffic_;
};

}  // namespace

std::int64_t PlacedTraffic::Busiest() const {
  return std::max(*std::ranges::max_element(sent), *std::ranges::max_element(received));
}

PlacedTraffic TrafficOf(std::span<const int> owner,
                        const LayerMasks& masks,
                        std::span<const int> row_home,
                        std::span<const int> col_home,
                        int ranks) {
  Counter counter(masks, row_home, col_home, ranks);
  const std::size_t rows = row_home.size();
  for (std::size_t h = 0; rows > 0 && h < owner.size() / rows; ++h) {
    counter.AddHead(h, owner.subspan(h * rows, rows));
  }
  return counter.Finish();
}

}  // namespace dbsp::planner
