// SPDX-License-Identifier: Apache-2.0
// Many small counters that word operations add up. Counter j counts bit j of the given lists.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// 64 counters per word, bit-sliced: plane p holds bit p of every counter. Seven carry-save adders
/// add eight lists, which takes 35 operations per 64 counters.
/// source   Harley and Seal's population count, as in Hacker's Delight (Warren 2013, 5-1)
class BitCounter {
 public:
  explicit BitCounter(std::size_t words) : words_(words) {}

  /// Adds lists of `words` words each.
  void Add(std::span<const std::uint64_t* const> lists);
  /// Adds 2^shift times a list.
  void AddShifted(const std::uint64_t* list, std::size_t shift);

  [[nodiscard]] std::size_t planes() const { return plane_.size() / words_; }
  [[nodiscard]] std::span<const std::uint64_t> plane(std::size_t p) const {
    return std::span(plane_).subspan(p * words_, words_);
  }
  /// Adds counter j to sums[j * stride], for j below `counters`.
  void AddTo(std::size_t counters, std::size_t stride, std::int64_t* sums) const;

 private:
  /// Adds `carry` with weight 2^p. Overwrites `carry`.
  void Carry(std::size_t p, std::uint64_t* carry);

  std::size_t words_;
  std::vector<std::uint64_t> plane_;  ///< [plane][word]
};

}  // namespace dbsp::planner
