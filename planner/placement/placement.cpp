// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/placement.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {
namespace {

/// Steps of Level() and Relieve() per rank. Each step brings a rank to the mean or moves a single
/// row.
constexpr int kStepsPerRank = 64;
/// Rows between two checks whether they need every column already.
constexpr std::size_t kRowsPerUnionCheck = 16;

}  // namespace

Placement::Placement(const RowLoads& loads,
                     const LayerMasks& masks,
                     std::span<const int> row_home,
                     std::span<const int> col_home,
                     int ranks,
                     const PlacedOptions& options,
                     std::span<const int> head_owner,
                     std::span<const std::int64_t> totals)
    : loads_(loads),
      masks_(masks),
      row_home_(row_home),
      rows_(static_cast<std::size_t>(loads.rows)),
      ranks_(static_cast<std::size_t>(ranks)),
      cols_(static_cast<std::int64_t>(col_home.size())),
      words_((col_home.size() + 63) / 64),
      away_(ranks_, words_),
      owner_(head_owner, rows_),
      load_(ranks_, 0),
      held_(static_cast<std::size_t>(loads.heads), ranks_),
      memory_(
          masks,
          {loads.heads, rows_, col_home.size(), ranks_, options.row_bytes, options.column_bytes},
          options.memory_per_rank) {
  for (std::size_t p = 0; p < ranks_; ++p) {
    const auto away = away_.row(p);
    std::fill_n(away.begin(), cols_ / 64, ~std::uint64_t{0});
    if (cols_ % 64 != 0) away[words_ - 1] = (std::uint64_t{1} << (cols_ % 64)) - 1;
  }
  for (std::size_t j = 0; j < col_home.size(); ++j) {
    away_(col_home[j], j / 64) &= ~(1ULL << (j % 64));
  }
  first_home_.assign(ranks_, 0);
  last_home_.assign(ranks_, 0);
  for (std::size_t r = 0; r < rows_; ++r) last_home_[row_home[r]] = r;
  for (std::size_t r = rows_; r-- > 0;) {
    first_home_[row_home[r]] = r;
  }
  for (std::size_t h = 0; h < head_owner.size(); ++h) {
    const auto rank = static_cast<std::size_t>(head_owner[h]);
    load_[rank] += totals[h];
    held_(h, rank) = totals[h];
  }
  memory_.Start(owner_);
}

void Placement::Relieve() {
  if (memory_.cap() == 0) return;
  for (std::size_t step = 0; step < ranks_ * kStepsPerRank; ++step) {
    const std::size_t from = memory_.Fullest();
    if (memory_.bytes(from) <= memory_.cap()) return;
    Range best;
    std::size_t to = from;
    if (!FindHead(from, best, to) && !FindPart(from, best, to)) break;
    Move(best, from, to);
  }
  const std::size_t fullest = memory_.Fullest();
  if (memory_.bytes(fullest) <= memory_.cap()) return;
  Fail(ErrorCode::kNotFound,
       "placed: rank {} would hold {} bytes of Q, K, V and O, expected at most {}; use more ranks "
       "or more memory per rank",
       fullest,
       memory_.bytes(fullest),
       memory_.cap());
}

void Placement::Level(double mean, double limit) {
  for (std::size_t step = 0; step < ranks_ * kStepsPerRank; ++step) {
    const auto from = static_cast<std::size_t>(std::ranges::max_element(load_) - load_.begin());
    const auto to = static_cast<std::size_t>(std::ranges::min_element(load_) - load_.begin());
    if (static_cast<double>(load_[from]) <= limit) return;
    const double want =
        std::min(static_cast<double>(load_[from]) - mean, mean - static_cast<double>(load_[to]));
    Range best;
    if (FindRange(from, to, want, best) || FindRow(from, to, want, best)) {
      Move(best, from, to);
      continue;
    }
    Range back;
    if (!FindTrade(from, to, want, best, back)) return;
    Move(best, from, to);
    Move(back, to, from);
  }
}

bool Placement::FindRange(std::size_t from, std::size_t to, double want, Range& best) const {
  bool found = false;
  std::size_t largest = 0;
  for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
    const std::int64_t held = held_(h, from);
    if (held > held_(largest, from)) largest = h;
    if (held == 0 || static_cast<double>(held) < want) continue;
    std::size_t last = rows_;
    for (const std::size_t start : Starts(h, from, to, want)) {
      if (start == last) continue;
      last = start;
      Range range = RangeFrom(h, start, from, want);
      if (range.load <= 0 || range.load >= load_[from] - load_[to]) continue;
      if (!Fits(range, from, to)) continue;
      range.moved = AddedTraffic(range, from, to);
      if (!found || range.moved < best.moved) best = range;
      found = true;
    }
  }
  const std::int64_t most = held_(largest, from);
  if (found || most == 0 || static_cast<double>(most) >= want) return found;
  best = {largest, 0, rows_, most, 0};
  return Fits(best, from, to);
}

bool Placement::Fits(const Range& range, std::size_t from, std::size_t to) const {
  return memory_.Fits(owner_, {range.head, range.begin, range.end}, from, to);
}

bool Placement::FindHead(std::size_t from, Range& best, std::size_t& to) const {
  const std::int64_t excess = memory_.bytes(from) - memory_.cap();
  std::int64_t freed = 0;
  for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
    const std::int64_t bytes = memory_.bytes(h, from);
    if (bytes == 0 || (freed >= excess ? bytes < excess || bytes >= freed : bytes <= freed)) {
      continue;
    }
    const Range range{h, 0, rows_, held_(h, from), 0};
    for (std::size_t p = 0; p < ranks_; ++p) {
      if (p == from || !Fits(range, from, p)) continue;
      best = range;
      to = p;
      freed = bytes;
      break;
    }
  }
  return freed > 0;
}

bool Placement::FindPart(std::size_t from, Range& best, std::size_t& to) const {
  std::size_t most = 0;
  for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
    if (memory_.bytes(h, from) == 0) continue;
    std::size_t first = 0;
    while (OwnerOf(h, first) != static_cast<int>(from)) ++first;
    for (std::size_t p = 0; p < ranks_; ++p) {
      std::size_t low = first;
      for (std::size_t high = rows_; p != from && low < high;) {
        const std::size_t middle = (low + high + 1) / 2;
        if (Fits({h, first, middle, 0, 0}, from, p)) {
          low = middle;
        } else {
          high = middle - 1;
        }
      }
      if (low - first <= most) continue;
      most = low - first;
      best = {h, first, low, 0, 0};
      to = p;
    }
  }
  for (std::size_t r = best.begin; r < best.end; ++r) {
    if (OwnerOf(best.head, r) == static_cast<int>(from)) {
      best.load += loads_.At(best.head, r);
    }
  }
  return most > 0;
}

std::array<std::size_t, 3> Placement::Starts(std::size_t head,
                                             std::size_t from,
                                             std::size_t to,
                                             double want) const {
  std::size_t first = 0;
  while (OwnerOf(head, first) != static_cast<int>(from)) ++first;
  std::size_t last = rows_;
  double sum = 0;
  while (last > first && sum < want) {
    --last;
    if (OwnerOf(head, last) == static_cast<int>(from)) {
      sum += loads_.At(head, last);
    }
  }
  return {first, std::clamp(first_home_[to], first, last), last};
}

Placement::Range Placement::RangeFrom(std::size_t head,
                                      std::size_t start,
                                      std::size_t from,
                                      double want) const {
  Range range{head, start, start, 0, 0};
  for (std::size_t r = start; r < rows_; ++r) {
    if (OwnerOf(head, r) != static_cast<int>(from)) continue;
    const std::int64_t next = range.load + loads_.At(head, r);
    if (static_cast<double>(next) - want > want - static_cast<double>(range.load)) break;
    range.load = next;
    range.end = r + 1;
  }
  return range;
}

bool Placement::FindRow(std::size_t from, std::size_t to, double want, Range& best) const {
  const std::int64_t gap = load_[from] - load_[to];
  double error = 0;
  bool found = false;
  bool shared = false;
  for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
    const bool shares = held_(h, to) > 0;
    if (held_(h, from) == 0 || (shared && !shares)) continue;
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::int64_t load = loads_.At(h, r);
      if (load == 0 || load >= gap || OwnerOf(h, r) != static_cast<int>(from)) continue;
      const double off = std::abs(static_cast<double>(load) - want);
      if (found && shares == shared && off >= error) continue;
      if (!Fits({h, r, r + 1, load, 0}, from, to)) continue;
      best = {h, r, r + 1, load, 0};
      error = off;
      found = true;
      shared = shares;
    }
  }
  return found;
}

bool Placement::FindTrade(
    std::size_t from, std::size_t to, double want, Range& best, Range& back) const {
  const std::int64_t gap = load_[from] - load_[to];
  double error = want;
  bool found = false;
  for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
    if (held_(h, from) == 0) continue;
    std::size_t row = 0;
    while (OwnerOf(h, row) != static_cast<int>(from)) ++row;
    const Range give{h, row, row + 1, loads_.At(h, row), 0};
    for (std::size_t other = 0; other < static_cast<std::size_t>(loads_.heads); ++other) {
      if (other == h || held_(other, to) == 0) continue;
      std::size_t first = 0;
      while (OwnerOf(other, first) != static_cast<int>(to)) ++first;
      const Range take = RangeFrom(other, first, to, static_cast<double>(give.load) - want);
      const std::int64_t moved = give.load - take.load;
      const double off = std::abs(static_cast<double>(moved) - want);
      if (take.load == 0 || moved <= 0 || moved >= gap || off >= error) continue;
      if (!Fits(give, from, to) || !Fits(take, to, from)) continue;
      best = give;
      back = take;
      error = off;
      found = true;
    }
  }
  return found;
}

std::int64_t Placement::AddedTraffic(const Range& range, std::size_t from, std::size_t to) const {
  std::vector<std::size_t> rows;
  for (std::size_t r = range.begin; r < range.end; ++r) {
    if (OwnerOf(range.head, r) == static_cast<int>(from)) rows.push_back(r);
  }
  return AddedTraffic(range.head, rows, from, to);
}

std::int64_t Placement::AddedTraffic(std::size_t head,
                                     std::span<const std::size_t> rows,
                                     std::size_t from,
                                     std::size_t to) const {
  std::int64_t away = 0;
  const bool known = masks_.heads() > 0;
  std::vector<std::uint64_t> need(known ? words_ : 0, 0);
  std::vector<std::uint64_t> have(need.size(), 0);
  const bool holds = held_(head, to) > 0;
  std::size_t added = 0;
  bool all = false;  // whether every column is needed
  const auto add = [&](std::size_t row, std::vector<std::uint64_t>& into) {
    if (all) return;
    const auto bits = masks_.head[head]->row(static_cast<int>(row));
    for (std::size_t w = 0; w < words_; ++w) into[w] |= bits[w];
    all = ++added % kRowsPerUnionCheck == 0 && CountBits(into) == cols_;
  };
  for (const std::size_t r : rows) {
    away += row_home_[r] == static_cast<int>(from) ? 1 : 0;
    away -= row_home_[r] == static_cast<int>(to) ? 1 : 0;
    if (known) add(r, need);
  }
  const auto moved = [&](std::int64_t columns) {
    return 2 * (away * cols_ + columns * static_cast<std::int64_t>(rows_));
  };
  if (!known) return moved(holds ? 0 : cols_);
  all = false;
  for (std::size_t r = 0; holds && !all && r < rows_; ++r) {
    if (OwnerOf(head, r) == static_cast<int>(to)) add(r, have);
  }
  for (std::size_t w = 0; w < words_; ++w) need[w] &= ~have[w];
  return moved(CountBits(need, away_.row(to)));
}

void Placement::Move(const Range& range, std::size_t from, std::size_t to) {
  Rows rows{{}, range.load};
  for (std::size_t r = range.begin; r < range.end; ++r) {
    if (OwnerOf(range.head, r) == static_cast<int>(from)) rows.rows.push_back(r);
  }
  Move(range.head, rows, from, to);
}

void Placement::Move(std::size_t head, const Rows& rows, std::size_t from, std::size_t to) {
  for (const std::size_t r : rows.rows) owner_.Set(head, r, static_cast<int>(to));
  load_[from] -= rows.load;
  load_[to] += rows.load;
  held_(head, from) -= rows.load;
  held_(head, to) += rows.load;
  memory_.Moved(owner_, head, from, to);
}

Partition Placement::Build() const {
  Partition partition{
      static_cast<int>(ranks_), loads_.heads, loads_.rows, static_cast<int>(cols_), {}};
  std::vector<std::vector<int>> whole(ranks_);
  for (int h = 0; h < loads_.heads; ++h) {
    const auto head = static_cast<std::size_t>(h);
    if (owner_.IsWhole(head) && rows_ > 0) {
      whole[owner_.RankOf(head)].push_back(h);
      continue;
    }
    const std::span<const int> owner = owner_.RowsOf(head);
    std::vector<int> index(ranks_, -1);  // ring index of a rank in this head's group
    for (const int rank : owner) index[rank] = 0;
    HeadGroup group{{h}, {}, {}, {}};
    for (std::size_t p = 0; p < ranks_; ++p) {
      if (index[p] < 0) continue;
      index[p] = static_cast<int>(group.ranks.size());
      group.ranks.push_back(static_cast<int>(p));
    }
    if (group.ranks.size() == 1) {
      whole[group.ranks.front()].push_back(h);
      continue;
    }
    for (const int rank : owner) {
      group.row_owner.push_back(index[rank]);
    }
    partition.groups.push_back(std::move(group));
  }
  for (std::size_t p = 0; p < ranks_; ++p) {
    if (!whole[p].empty()) {
      partition.groups.push_back({std::move(whole[p]), {static_cast<int>(p)}, {}, {}});
    }
  }
  return partition;
}

}  // namespace dbsp::planner
