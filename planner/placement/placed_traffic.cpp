// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/placed_traffic.h"

#include <algorithm>

#include "planner/workload/layer_counts.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {
namespace {

/// Rows of a head on a rank between two checks whether they need all columns already.
constexpr std::size_t kRowsPerCheck = 16;

void AddBits(const BlockMask& mask, std::size_t row, std::uint64_t* into) {
  const auto bits = mask.row(static_cast<int>(row));
  for (std::size_t w = 0; w < bits.size(); ++w) into[w] |= bits[w];
}

}  // namespace

std::int64_t PlacedTraffic::Busiest() const {
  return std::max(*std::ranges::max_element(sent), *std::ranges::max_element(received));
}

TrafficCounter::TrafficCounter(const LayerMasks& masks,
                               std::span<const int> row_home,
                               std::span<const int> col_home,
                               int ranks,
                               const LayerCounts* counts)
    : masks_(masks),
      counts_(counts),
      row_home_(row_home),
      ranks_(static_cast<std::size_t>(ranks)),
      cols_(col_home.size()),
      words_((cols_ + 63) / 64),
      home_(ranks_, words_),
      rows_at_(ranks_, 0),
      cols_at_(ranks_, 0),
      whole_(static_cast<std::size_t>(masks.heads()), ranks_, -1),
      need_(ranks_, words_),
      columns_(ranks_, 0) {
  for (std::size_t j = 0; j < cols_; ++j) {
    const auto rank = static_cast<std::size_t>(col_home[j]);
    home_(rank, j / 64) |= 1ULL << (j % 64);
    ++cols_at_[rank];
  }
  for (const int rank : row_home) ++rows_at_[rank];
}

PlacedTraffic TrafficCounter::Of(const RowOwners& owner) {
  PlacedTraffic traffic{std::vector<std::int64_t>(ranks_, 0), std::vector<std::int64_t>(ranks_, 0)};
  for (std::size_t h = 0; owner.rows() > 0 && h < owner.heads(); ++h) {
    if (owner.IsWhole(h)) {
      AddWhole(h, static_cast<std::size_t>(owner.RankOf(h)), traffic);
    } else {
      AddSplit(h, owner.RowsOf(h), traffic);
    }
  }
  return traffic;
}

std::span<const std::int64_t> TrafficCounter::WholeNeed(std::size_t head) {
  if (masks_.heads() == 0) return cols_at_;
  const std::span<std::int64_t> columns = whole_.row(head);
  if (columns.front() >= 0) return columns;
  const std::span<std::uint64_t> need = need_.row(0);
  std::ranges::fill(need, 0);
  const std::span<const std::uint64_t> joined = counts_ == nullptr
                                                    ? std::span<const std::uint64_t>()
                                                    : counts_->Of(masks_.head[head].get()).needs;
  for (std::size_t at = 0; at < joined.size(); at += words_) {
    for (std::size_t w = 0; w < words_; ++w) need[w] |= joined[at + w];
  }
  for (std::size_t r = 0; counts_ == nullptr && r < row_home_.size(); ++r) {
    AddBits(*masks_.head[head], r, need.data());
    if (r % kRowsPerCheck == kRowsPerCheck - 1 &&
        CountBits(need) == static_cast<std::int64_t>(cols_)) {
      break;  // a dense head soon needs every column
    }
  }
  for (std::size_t p = 0; p < ranks_; ++p) {
    columns[p] = CountBits(need, home_.row(p));
  }
  return columns;
}

void TrafficCounter::AddWhole(std::size_t head, std::size_t rank, PlacedTraffic& traffic) {
  for (std::size_t p = 0; p < ranks_; ++p) {
    if (p == rank) continue;
    const std::int64_t units = rows_at_[p] * static_cast<std::int64_t>(cols_);
    for (const std::size_t end : {p, rank}) {  // Q one way, O the other
      traffic.sent[end] += units;
      traffic.received[end] += units;
    }
  }
  AddColumns(rank, WholeNeed(head), traffic);
}

void TrafficCounter::AddSplit(std::size_t head,
                              std::span<const int> owner,
                              PlacedTraffic& traffic) {
  const bool known = masks_.heads() > 0;
  std::ranges::fill(need_.values(), 0);
  std::vector<std::size_t> has(ranks_, 0);  // [rank] rows so far
  std::vector<bool> all(ranks_, !known);  // [rank] whether its rows need every column
  for (std::size_t r = 0; r < owner.size(); ++r) {
    const auto rank = static_cast<std::size_t>(owner[r]);
    ++has[rank];
    if (!all[rank]) {
      const std::span<std::uint64_t> need = need_.row(rank);
      AddBits(*masks_.head[head], r, need.data());
      all[rank] =
          has[rank] % kRowsPerCheck == 0 && CountBits(need) == static_cast<std::int64_t>(cols_);
    }
    if (owner[r] == row_home_[r]) continue;
    for (const int end : {owner[r], row_home_[r]}) {  // Q one way, O the other
      traffic.sent[end] += static_cast<std::int64_t>(cols_);
      traffic.received[end] += static_cast<std::int64_t>(cols_);
    }
  }
  for (std::size_t rank = 0; rank < ranks_; ++rank) {
    if (has[rank] == 0) continue;
    const std::span<const std::uint64_t> need = need_.row(rank);
    for (std::size_t p = 0; known && p < ranks_; ++p) {
      columns_[p] = CountBits(need, home_.row(p));
    }
    AddColumns(rank, known ? std::span<const std::int64_t>(columns_) : cols_at_, traffic);
  }
}

void TrafficCounter::AddColumns(std::size_t rank,
                                std::span<const std::int64_t> columns,
                                PlacedTraffic& traffic) const {
  const auto rows = static_cast<std::int64_t>(row_home_.size());
  for (std::size_t from = 0; from < ranks_; ++from) {
    if (from == rank) continue;
    traffic.sent[from] += 2 * rows * columns[from];
    traffic.received[rank] += 2 * rows * columns[from];
  }
}

PlacedTraffic TrafficOf(std::span<const int> owner,
                        const LayerMasks& masks,
                        std::span<const int> row_home,
                        std::span<const int> col_home,
                        int ranks) {
  const std::size_t rows = row_home.size();
  const std::size_t heads = rows == 0 ? 0 : owner.size() / rows;
  std::vector<int> first(heads);
  for (std::size_t h = 0; h < heads; ++h) first[h] = owner[h * rows];
  RowOwners owners(first, rows);
  for (std::size_t i = 0; i < heads * rows; ++i) {
    if (owner[i] != first[i / rows]) owners.Set(i / rows, i % rows, owner[i]);
  }
  return TrafficCounter(masks, row_home, col_home, ranks).Of(owners);
}

}  // namespace dbsp::planner
