// SPDX-License-Identifier: Apache-2.0
// Parts of split heads: their rows, and the moves of single rows between their ranks.
#include <algorithm>

#include "planner/placement/placement.h"

namespace dbsp::planner {
namespace {

/// Largest number of single-row moves per rank. Each makes the heavier of two ranks lighter.
constexpr std::size_t kRowsPerRank = 256;

}  // namespace

void Placement::TakeHome(std::size_t head) {
  const auto from = static_cast<std::size_t>(OwnerOf(head, 0));
  std::vector<Rows> to(ranks_);
  for (std::size_t r = 0; r < rows_; ++r) {
    Rows& rows = to[row_home_[r]];
    rows.rows.push_back(r);
    rows.load += loads_.At(head, r);
  }
  for (std::size_t p = 0; p < ranks_; ++p) {
    if (p != from && !to[p].rows.empty()) Move(head, to[p], from, p);
  }
}

void Placement::Fill(std::vector<HeadShare> shares) {
  std::vector<std::vector<char>> sharers(loads_.heads);
  for (const HeadShare& share : shares) {
    std::vector<char>& ranks = sharers[share.head];
    ranks.resize(ranks_, 0);
    ranks[share.rank] = 1;
    ranks[OwnerOf(static_cast<std::size_t>(share.head), 0)] = 1;
  }
  std::ranges::stable_sort(shares,
                           [](const HeadShare& a, const HeadShare& b) { return a.load < b.load; });
  for (const HeadShare& share : shares) {
    const auto head = static_cast<std::size_t>(share.head);
    const auto to = static_cast<std::size_t>(share.rank);
    std::size_t from = 0;  // the rank with most of the head has all rows not taken yet
    for (std::size_t p = 0; p < ranks_; ++p) {
      if (held_(head, p) > held_(head, from)) from = p;
    }
    if (from == to) continue;
    const Rows up = PartFrom(first_home_[to], true, from, to, share, sharers[head]);
    const Rows down = PartFrom(last_home_[to], false, from, to, share, sharers[head]);
    const bool first =
        AddedTraffic(head, up.rows, from, to) <= AddedTraffic(head, down.rows, from, to);
    Move(head, first ? up : down, from, to);
  }
}

Placement::Rows Placement::PartFrom(std::size_t start,
                                    bool forward,
                                    std::size_t from,
                                    std::size_t to,
                                    const HeadShare& share,
                                    const std::vector<char>& sharers) const {
  const auto head = static_cast<std::size_t>(share.head);
  Rows part;
  for (const bool others : {false, true}) {
    for (std::size_t n = 0; n < rows_; ++n) {
      const std::size_t r = (start + (forward ? n : rows_ - n)) % rows_;
      const auto home = static_cast<std::size_t>(row_home_[r]);
      const bool other = home != to && sharers[home] != 0;
      if (other != others || OwnerOf(head, r) != static_cast<int>(from)) continue;
      const std::int64_t next = part.load + loads_.At(head, r);
      if (next - share.load > share.load - part.load) return part;
      part.load = next;
      part.rows.push_back(r);
    }
  }
  return part;
}

void Placement::LevelShared(double limit) {
  for (std::size_t step = 0; step < ranks_ * kRowsPerRank; ++step) {
    const auto from = static_cast<std::size_t>(std::ranges::max_element(load_) - load_.begin());
    if (static_cast<double>(load_[from]) <= limit) return;
    Range best;
    std::size_t to = from;
    if (!FindShared(from, limit, best, to)) return;
    Move(best, from, to);
  }
}

bool Placement::FindShared(std::size_t from, double limit, Range& best, std::size_t& to) const {
  auto heavier = static_cast<double>(load_[from]);
  for (std::size_t h = 0; h < static_cast<std::size_t>(loads_.heads); ++h) {
    if (held_(h, from) == 0 || owner_.IsWhole(h)) continue;
    std::size_t lightest = from;  // of the ranks that share it; it is the best receiver of any row
    for (std::size_t p = 0; p < ranks_; ++p) {
      if (held_(h, p) > 0 && load_[p] < load_[lightest]) lightest = p;
    }
    for (std::size_t r = 0; r < rows_ && lightest != from; ++r) {
      const std::int64_t load = loads_.At(h, r);
      if (load == 0 || OwnerOf(h, r) != static_cast<int>(from)) continue;
      const std::int64_t after = std::max(load_[from] - load, load_[lightest] + load);
      if (static_cast<double>(after) >= heavier) continue;
      best = {h, r, r + 1, load, 0};
      to = lightest;
      heavier = std::max(static_cast<double>(after), limit);
    }
  }
  return to != from;
}

bool Placement::WithinMemory() const {
  return memory_.cap() == 0 || memory_.bytes(memory_.Fullest()) <= memory_.cap();
}

std::int64_t Placement::Heaviest() const { return *std::ranges::max_element(load_); }

}  // namespace dbsp::planner
