// SPDX-License-Identifier: Apache-2.0
#include "planner/placed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "planner/head_balance.h"
#include "planner/head_search.h"
#include "planner/home_ring.h"
#include "planner/mask_counts.h"
#include "planner/memory_cap.h"
#include "planner/popcount.h"

namespace dbsp::planner {
namespace {

/// Steps of the repair per rank: each brings a rank to the mean, the rest are single rows.
constexpr int kStepsPerRank = 64;

/// Rows [begin, end) of one head that would go from one rank to another.
struct Range {
  std::size_t head = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::int64_t load = 0;
  std::int64_t moved = 0;  ///< blocks moved more than now; Q, K, V and O count one each
};

class Placement {
 public:
  Placement(const RowLoads& loads,
            const LayerMasks& masks,
            std::span<const int> row_home,
            std::span<const int> col_home,
            int ranks,
            const PlacedOptions& options)
      : loads_(loads),
        masks_(masks),
        row_home_(row_home),
        rows_(static_cast<std::size_t>(loads.rows)),
        ranks_(static_cast<std::size_t>(ranks)),
        cols_(static_cast<std::int64_t>(col_home.size())),
        words_((col_home.size() + 63) / 64),
        away_(ranks_ * words_, 0),
        load_(ranks_, 0),
        held_(static_cast<std::size_t>(loads.heads) * ranks_, 0),
        memory_(
            masks,
            {loads.heads, rows_, col_home.size(), ranks_, options.row_bytes, options.column_bytes},
            options.memory_per_rank) {
    for (std::size_t j = 0; j < col_home.size(); ++j) {
      for (std::size_t p = 0; p < ranks_; ++p) {
        if (col_home[j] != static_cast<int>(p)) away_[p * words_ + j / 64] |= 1ULL << (j % 64);
      }
    }
    first_home_.assign(ranks_, 0);
    for (std::size_t r = rows_; r-- > 0;) {
      first_home_[static_cast<std::size_t>(row_home[r])] = r;
    }
  }

  void Start(const std::vector<int>& head_owner, std::span<const std::int64_t> totals) {
    owner_.resize(loads_.blocks.size());
    for (std::size_t h = 0; h < head_owner.size(); ++h) {
      const auto rank = static_cast<std::size_t>(head_owner[h]);
      std::fill_n(owner_.begin() + static_cast<std::ptrdiff_t>(h * rows_), rows_, head_owner[h]);
      load_[rank] += totals[h];
      held_[h * ranks_ + rank] = totals[h];
    }
    memory_.Start(owner_);
  }

  /// Heads, or where none fits elsewhere ranges of their rows, from the fullest rank to others
  /// until all keep within the memory cap.
  void Relieve() {
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
    Fail(
        ErrorCode::kNotFound,
        "placed: rank {} would hold {} bytes of Q, K, V and O, expected at most {}; more ranks, or "
        "more memory per rank, are needed",
        fullest,
        memory_.bytes(fullest),
        memory_.cap());
  }

  /// Rows from the heaviest to the lightest rank until the heaviest is at most `limit`.
  void Level(double mean, double limit) {
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

  [[nodiscard]] Partition Build() const;

 private:
  [[nodiscard]] int OwnerOf(std::size_t head, std::size_t row) const {
    return owner_[head * rows_ + row];
  }

  /// The cheapest range whose load is `want` up to half a row; a head that has too little goes
  /// whole only where no head has enough.
  bool FindRange(std::size_t from, std::size_t to, double want, Range& best) const {
    bool found = false;
    std::size_t largest = 0;
    for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
      const std::int64_t held = held_[h * ranks_ + from];
      if (held > held_[largest * ranks_ + from]) largest = h;
      if (held == 0 || static_cast<double>(held) < want) continue;
      std::size_t last = rows_;
      for (const std::size_t start : Starts(h, from, to, want)) {
        if (start == last) continue;
        last = start;
        Range range = RangeFrom(h, start, from, want);
        if (range.load <= 0 || range.load >= load_[from] - load_[to]) continue;
        if (!Fits(range, from, to)) continue;
        range.moved = MovedMore(range, from, to);
        if (!found || range.moved < best.moved) best = range;
        found = true;
      }
    }
    const std::int64_t most = held_[largest * ranks_ + from];
    if (found || most == 0 || static_cast<double>(most) >= want) return found;
    best = {largest, 0, rows_, most, 0};
    return Fits(best, from, to);
  }

  [[nodiscard]] bool Fits(const Range& range, std::size_t from, std::size_t to) const {
    return memory_.Fits(owner_, {range.head, range.begin, range.end}, from, to);
  }

  /// The sender's whole part of a head: the least that brings it within the cap, else the most.
  bool FindHead(std::size_t from, Range& best, std::size_t& to) const {
    const std::int64_t excess = memory_.bytes(from) - memory_.cap();
    std::int64_t freed = 0;
    for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
      const std::int64_t bytes = memory_.bytes(h, from);
      if (bytes == 0 || (freed >= excess ? bytes < excess || bytes >= freed : bytes <= freed)) {
        continue;
      }
      const Range range{h, 0, rows_, held_[h * ranks_ + from], 0};
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

  /// Most of a head's first rows that fit anywhere.
  bool FindPart(std::size_t from, Range& best, std::size_t& to) const {
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
        best.load += loads_.blocks[best.head * rows_ + r];
      }
    }
    return most > 0;
  }

  /// First rows to try: where the receiver is at home, the first row and about the last possible.
  [[nodiscard]] std::array<std::size_t, 3> Starts(std::size_t head,
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
        sum += loads_.blocks[head * rows_ + last];
      }
    }
    return {first, std::clamp(first_home_[to], first, last), last};
  }

  /// The sender's rows from `start` on, ending where their load is nearest to `want`.
  [[nodiscard]] Range RangeFrom(std::size_t head,
                                std::size_t start,
                                std::size_t from,
                                double want) const {
    Range range{head, start, start, 0, 0};
    for (std::size_t r = start; r < rows_; ++r) {
      if (OwnerOf(head, r) != static_cast<int>(from)) continue;
      const std::int64_t next = range.load + loads_.blocks[head * rows_ + r];
      if (static_cast<double>(next) - want > want - static_cast<double>(range.load)) break;
      range.load = next;
      range.end = r + 1;
    }
    return range;
  }

  /// A single row of those that help: of a head the receiver has a part of before others, which
  /// would be split once more, then the nearest to `want`.
  bool FindRow(std::size_t from, std::size_t to, double want, Range& best) const {
    const std::int64_t gap = load_[from] - load_[to];
    double error = 0;
    bool found = false;
    bool shared = false;
    for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
      const bool shares = held_[h * ranks_ + to] > 0;
      if (held_[h * ranks_ + from] == 0 || (shared && !shares)) continue;
      for (std::size_t r = 0; r < rows_; ++r) {
        const std::int64_t load = loads_.blocks[h * rows_ + r];
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

  /// A row for rows of another head that come back: where single rows are coarse beside the mean,
  /// as with few heads of which some are dense, differences of rows are not.
  bool FindTrade(std::size_t from, std::size_t to, double want, Range& best, Range& back) const {
    const std::int64_t gap = load_[from] - load_[to];
    double error = want;
    bool found = false;
    for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
      if (held_[h * ranks_ + from] == 0) continue;
      std::size_t row = 0;
      while (OwnerOf(h, row) != static_cast<int>(from)) ++row;
      const Range give{h, row, row + 1, loads_.blocks[h * rows_ + row], 0};
      for (std::size_t other = 0; other < static_cast<std::size_t>(loads_.heads); ++other) {
        if (other == h || held_[other * ranks_ + to] == 0) continue;
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

  /// Blocks that move more: two a K/V block that comes to the receiver (all columns where there are
  /// no masks), two a row (Q there, O back) that leaves home, less those that come home.
  [[nodiscard]] std::int64_t MovedMore(const Range& range, std::size_t from, std::size_t to) const {
    std::int64_t moved = 0;
    const bool known = masks_.heads() > 0;
    std::vector<std::uint64_t> need(known ? words_ : 0, 0);
    std::vector<std::uint64_t> have(need.size(), 0);
    const bool holds = held_[range.head * ranks_ + to] > 0;
    const auto add = [&](std::size_t row, std::vector<std::uint64_t>& into) {
      const auto bits = masks_.head[range.head]->row(static_cast<int>(row));
      for (std::size_t w = 0; w < words_; ++w) into[w] |= bits[w];
    };
    for (std::size_t r = range.begin; r < range.end; ++r) {
      if (OwnerOf(range.head, r) != static_cast<int>(from)) continue;
      moved += row_home_[r] == static_cast<int>(from) ? 2 : 0;
      moved -= row_home_[r] == static_cast<int>(to) ? 2 : 0;
      if (known) add(r, need);
    }
    if (!known) return moved + (holds ? 0 : 2 * cols_);
    for (std::size_t r = 0; holds && r < rows_; ++r) {
      if (OwnerOf(range.head, r) == static_cast<int>(to)) add(r, have);
    }
    for (std::size_t w = 0; w < words_; ++w) need[w] &= ~have[w];
    return moved + 2 * CountBits(need, std::span(away_).subspan(to * words_, words_));
  }

  void Move(const Range& range, std::size_t from, std::size_t to) {
    for (std::size_t r = range.begin; r < range.end; ++r) {
      int& owner = owner_[range.head * rows_ + r];
      if (owner == static_cast<int>(from)) owner = static_cast<int>(to);
    }
    load_[from] -= range.load;
    load_[to] += range.load;
    held_[range.head * ranks_ + from] -= range.load;
    held_[range.head * ranks_ + to] += range.load;
    memory_.Moved(owner_, range.head, from, to);
  }

  const RowLoads& loads_;
  const LayerMasks& masks_;
  std::span<const int> row_home_;
  std::size_t rows_;
  std::size_t ranks_;
  std::int64_t cols_;
  std::size_t words_;
  std::vector<std::uint64_t> away_;  ///< [rank][word]: columns whose home is another rank
  std::vector<std::size_t> first_home_;  ///< [rank] first row at home there, 0 where there is none
  std::vector<int> owner_;  ///< [head][row]
  std::vector<std::int64_t> load_;  ///< [rank]
  std::vector<std::int64_t> held_;  ///< [head][rank]
  MemoryCap memory_;
};

Partition Placement::Build() const {
  Partition partition{
      static_cast<int>(ranks_), loads_.heads, loads_.rows, static_cast<int>(cols_), {}};
  std::vector<std::vector<int>> whole(ranks_);
  for (int h = 0; h < loads_.heads; ++h) {
    const std::span<const int> owner =
        std::span(owner_).subspan(static_cast<std::size_t>(h) * rows_, rows_);
    std::vector<int> index(ranks_, -1);  // ring index of a rank in this head's group
    for (const int rank : owner) index[static_cast<std::size_t>(rank)] = 0;
    HeadGroup group{{h}, {}, {}, {}};
    for (std::size_t p = 0; p < ranks_; ++p) {
      if (index[p] < 0) continue;
      index[p] = static_cast<int>(group.ranks.size());
      group.ranks.push_back(static_cast<int>(p));
    }
    if (group.ranks.size() == 1) {
      whole[static_cast<std::size_t>(group.ranks.front())].push_back(h);
      continue;
    }
    for (const int rank : owner) {
      group.row_owner.push_back(index[static_cast<std::size_t>(rank)]);
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

std::vector<int> HomeRanks(int blocks, int block_tokens, const HomeLayout& home) {
  return HomeRing(blocks, block_tokens, home, 1);
}

}  // namespace

std::vector<std::int64_t> RowLoads::HeadTotals() const {
  std::vector<std::int64_t> totals;
  for (int h = 0; h < heads; ++h) {
    const auto begin = blocks.begin() + static_cast<std::ptrdiff_t>(h) * rows;
    totals.push_back(std::accumulate(begin, begin + rows, std::int64_t{0}));
  }
  return totals;
}

RowLoads RowLoadsOf(const LayerMasks& masks) {
  RowLoads loads{masks.heads(), masks.rows(), {}};
  const auto rows = static_cast<std::size_t>(loads.rows);
  loads.blocks.resize(static_cast<std::size_t>(loads.heads) * rows);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const std::vector<std::int32_t> counts = RowCounts(*entry.mask);
    for (const int head : entry.heads) {
      std::ranges::copy(counts,
                        loads.blocks.begin() +
                            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(head) * rows));
    }
  }
  return loads;
}

RowLoads SpreadLoads(std::span<const std::int64_t> head_counts, int rows) {
  DBSP_CHECK(rows >= 1);
  RowLoads loads{static_cast<int>(head_counts.size()), rows, {}};
  for (const std::int64_t count : head_counts) {
    for (std::int64_t r = 0; r < rows; ++r) {
      loads.blocks.push_back(static_cast<std::int32_t>(count * (r + 1) / rows - count * r / rows));
    }
  }
  return loads;
}

Partition PlaceHeads(const RowLoads& loads,
                     const LayerMasks& masks,
                     std::span<const int> row_home,
                     std::span<const int> col_home,
                     int ranks,
                     const PlacedOptions& options) {
  const bool fits =
      ranks >= 1 && row_home.size() == static_cast<std::size_t>(loads.rows) &&
      loads.blocks.size() == static_cast<std::size_t>(loads.heads) * row_home.size() &&
      (masks.heads() == 0 || (masks.heads() == loads.heads && masks.rows() == loads.rows &&
                              static_cast<std::size_t>(masks.cols()) == col_home.size()));
  if (!fits) {
    Fail(ErrorCode::kInvalidArgument,
         "placed: {} heads x {} rows on {} ranks; masks are {} x {} x {}, homes {} x {}",
         loads.heads,
         loads.rows,
         ranks,
         masks.heads(),
         masks.rows(),
         masks.cols(),
         row_home.size(),
         col_home.size());
  }
  const std::vector<std::int64_t> totals = loads.HeadTotals();
  HeadSearchOptions search;
  search.extra_heads = 0;  // rows even out what equal counts leave, and equal counts move evenly
  search.kicks = 0;
  std::vector<int> owner = SearchHeadOwners(totals, ranks, search);
  const std::vector<int> contiguous = ContiguousOwners(loads.heads, ranks);
  if (MaxOverMean(totals, contiguous, ranks) < MaxOverMean(totals, owner, ranks)) {
    owner = contiguous;
  }
  const std::int64_t total = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
  const double mean = static_cast<double>(total) / ranks;
  Placement placement(loads, masks, row_home, col_home, ranks, options);
  placement.Start(owner, totals);
  placement.Relieve();
  placement.Level(mean, mean * (1 + options.tolerance));
  return placement.Build();
}

Partition MakePlaced(const AttentionShape& shape,
                     const LayerMasks& masks,
                     const HomeLayout& home,
                     const PlacedOptions& options) {
  return PlaceHeads(RowLoadsOf(masks),
                    masks,
                    HomeRanks(shape.q_blocks(), shape.block.q, home),
                    HomeRanks(shape.k_blocks(), shape.block.k, home),
                    home.ranks(),
                    options);
}

std::vector<std::int64_t> RankLoads(const RowLoads& loads, const Partition& partition) {
  DBSP_CHECK(partition.heads == loads.heads && partition.q_blocks == loads.rows);
  std::vector<std::int64_t> load(static_cast<std::size_t>(partition.ranks), 0);
  const auto rows = static_cast<std::size_t>(loads.rows);
  for (const HeadGroup& group : partition.groups) {
    for (const int head : group.heads) {
      for (std::size_t r = 0; r < rows; ++r) {
        const auto at = group.row_owner.empty() ? 0 : static_cast<std::size_t>(group.row_owner[r]);
        load[static_cast<std::size_t>(group.ranks[at])] +=
            loads.blocks[static_cast<std::size_t>(head) * rows + r];
      }
    }
  }
  return load;
}

}  // namespace dbsp::planner
