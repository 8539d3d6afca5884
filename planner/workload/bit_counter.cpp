// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/bit_counter.h"

#include <algorithm>
#include <array>

namespace dbsp::planner {
namespace {

constexpr std::size_t kLists = 8;

/// Full adder, bit by bit: a + b + c = 2 * high + low.
void FullAdd(
    std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t& high, std::uint64_t& low) {
  const std::uint64_t half = a ^ b;
  high = (a & b) | (half & c);
  low = half ^ c;
}

/// Adds eight lists to the first three planes. `eights` receives the carry, which has weight 8.
void AddEight(const std::array<const std::uint64_t*, kLists>& list,
              std::size_t words,
              std::uint64_t* plane,
              std::uint64_t* eights) {
  std::uint64_t* ones = plane;
  std::uint64_t* twos = plane + words;
  std::uint64_t* fours = plane + 2 * words;
  const auto [l0, l1, l2, l3, l4, l5, l6, l7] = list;
  for (std::size_t w = 0; w < words; ++w) {
    std::uint64_t one = ones[w];
    std::uint64_t two = twos[w];
    std::uint64_t four = fours[w];
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    std::uint64_t d = 0;
    FullAdd(one, l0[w], l1[w], a, one);
    FullAdd(one, l2[w], l3[w], b, one);
    FullAdd(two, a, b, c, two);
    FullAdd(one, l4[w], l5[w], a, one);
    FullAdd(one, l6[w], l7[w], b, one);
    FullAdd(two, a, b, d, two);
    FullAdd(four, c, d, eights[w], four);
    ones[w] = one;
    twos[w] = two;
    fours[w] = four;
  }
}

}  // namespace

void BitCounter::Carry(std::size_t p, std::uint64_t* carry) {
  while (std::any_of(carry, carry + words_, [](std::uint64_t word) { return word != 0; })) {
    if (planes() <= p) plane_.resize((p + 1) * words_, 0);
    std::uint64_t* plane = plane_.data() + p * words_;
    for (std::size_t w = 0; w < words_; ++w) {
      const std::uint64_t next = plane[w] & carry[w];
      plane[w] ^= carry[w];
      carry[w] = next;
    }
    ++p;
  }
}

void BitCounter::Add(std::span<const std::uint64_t* const> lists) {
  if (words_ == 0) return;
  std::vector<std::uint64_t> carry(words_, 0);
  if (lists.size() <= 2) {
    for (const std::uint64_t* list : lists) {
      std::copy_n(list, words_, carry.data());
      Carry(0, carry.data());
    }
    return;
  }
  const std::vector<std::uint64_t> zeros(words_, 0);
  if (planes() < 3) plane_.resize(3 * words_, 0);
  for (std::size_t at = 0; at < lists.size(); at += kLists) {
    std::array<const std::uint64_t*, kLists> eight;
    for (std::size_t k = 0; k < kLists; ++k) {
      eight[k] = at + k < lists.size() ? lists[at + k] : zeros.data();
    }
    AddEight(eight, words_, plane_.data(), carry.data());
    Carry(3, carry.data());
  }
}

void BitCounter::AddShifted(const std::uint64_t* list, std::size_t shift) {
  std::vector<std::uint64_t> carry(list, list + words_);
  Carry(shift, carry.data());
}

void BitCounter::AddTo(std::size_t counters, std::size_t stride, std::int64_t* sums) const {
  for (std::size_t p = 0; words_ > 0 && p < planes(); ++p) {
    const std::uint64_t* plane = plane_.data() + p * words_;
    for (std::size_t j = 0; j < counters; ++j) {
      sums[j * stride] += static_cast<std::int64_t>((plane[j / 64] >> (j % 64)) & 1U) << p;
    }
  }
}

}  // namespace dbsp::planner
