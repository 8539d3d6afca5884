// SPDX-License-Identifier: Apache-2.0
// Many small counters added up by word operations: counter j counts bit j of the lists given.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// 64 counters a word, bit-sliced: plane p holds bit p of every counter. Eight lists are added by
/// seven carry-save adders, 35 operations for 64 counters, whatever the bits are.
/// source   Harley and Seal's population count, as in Hacker's Delight (Warren 2013, 5-1)
class BitCounter {
 public:
  explicit BitCounter(std::size_t words) : words_(words) {}

  /// Adds lists of `words` words. requires each list to hold as many
  void Add(std::span<const std::uint64_t* const> lists);
  /// Adds 2^shift times a list.
  void AddShifted(const std::uint64_t* list, std::size_t shift);

  [[nodiscard]] std::size_t planes() const { return plane_.size() / words_; }
  [[nodiscard]] std::span<const std::uint64_t> plane(std::size_t p) const {
    return std::span(plane_).subspan(p * words_, words_);
  }
  /// Adds counter j to sums[j * stride], j below `counters`.
  void AddTo(std::size_t counters, std::size_t stride, std::int64_t* sums) const;

 private:
  /// `carry` with weight 2^p, destroyed.
  void Carry(std::size_t p, std::uint64_t* carry);

  std::size_t words_;
  std::vector<std::uint64_t> plane_;  ///< [plane][word]
};

}  // namespace dbsp::planner
