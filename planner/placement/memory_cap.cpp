// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/memory_cap.h"

#include <algorithm>

#include "planner/workload/popcount.h"

namespace dbsp::planner {

std::int64_t MemoryCap::Count(const RowOwners& owner,
                              std::size_t rank,
                              const Rows& more,
                              std::size_t from) const {
  std::int64_t rows = 0;
  std::vector<std::uint64_t> need((blocks_.cols + 63) / 64, 0);
  const int self = static_cast<int>(rank);
  for (std::size_t r = 0; r < blocks_.rows; ++r) {
    const int holder = owner.At(more.head, r);
    const bool comes = holder == static_cast<int>(from) && r >= more.begin && r < more.end;
    if (holder != self && !comes) continue;
    ++rows;
    if (masks_.heads() == 0) continue;
    const auto bits = masks_.head[more.head]->row(static_cast<int>(r));
    for (std::size_t w = 0; w < need.size(); ++w) need[w] |= bits[w];
  }
  std::int64_t cols = CountBits(need);
  if (masks_.heads() == 0 && rows > 0) cols = static_cast<std::int64_t>(blocks_.cols);
  return rows * blocks_.row_bytes + cols * blocks_.column_bytes;
}

void MemoryCap::Start(const RowOwners& owner) {
  if (cap_ == 0) return;
  held_ = Matrix<std::int64_t>(static_cast<std::size_t>(blocks_.heads), blocks_.ranks);
  bytes_.assign(blocks_.ranks, 0);
  for (std::size_t h = 0; h < static_cast<std::size_t>(blocks_.heads); ++h) {
    for (std::size_t p = 0; p < blocks_.ranks; ++p) Moved(owner, h, p, p);
  }
}

bool MemoryCap::Fits(const RowOwners& owner,
                     const Rows& rows,
                     std::size_t from,
                     std::size_t to) const {
  if (cap_ == 0) return true;
  const std::int64_t others = bytes_[to] - bytes(rows.head, to);
  return others + Count(owner, to, rows, from) <= cap_;
}

void MemoryCap::Moved(const RowOwners& owner, std::size_t head, std::size_t from, std::size_t to) {
  if (cap_ == 0) return;
  for (const std::size_t rank : {from, to}) {
    std::int64_t& held = held_(head, rank);
    const std::int64_t now = Count(owner, rank, {head, 0, 0}, rank);
    bytes_[rank] += now - held;
    held = now;
  }
}

std::size_t MemoryCap::Fullest() const {
  return static_cast<std::size_t>(std::ranges::max_element(bytes_) - bytes_.begin());
}

}  // namespace dbsp::planner
