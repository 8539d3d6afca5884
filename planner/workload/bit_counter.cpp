// SPDX-License-Identifier: Apache-2.0
// Adds with the best instruction set of this machine.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "planner/workload/bit_counter.cpp"
#include <hwy/foreach_target.h>
// foreach_target includes this file once per target and has to come first.
#include <hwy/highway.h>

#include "planner/workload/bit_counter.h"

HWY_BEFORE_NAMESPACE();
namespace dbsp::planner {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Full adder, bit by bit: a + b + c = 2 * high + low.
template <typename V>
HWY_ATTR void FullAdd(V a, V b, V c, V& high, V& low) {
  const V half = hn::Xor(a, b);
  high = hn::Or(hn::And(a, b), hn::And(half, c));
  low = hn::Xor(half, c);
}

template <typename D>
HWY_ATTR void AddEightFrom(D d,
                           const std::uint64_t* const* list,
                           std::size_t begin,
                           std::size_t words,
                           std::uint64_t* plane,
                           std::uint64_t* eights) {
  using V = hn::Vec<D>;
  for (std::size_t w = begin; w + hn::Lanes(d) <= words; w += hn::Lanes(d)) {
    const auto load = [&](int k) HWY_ATTR { return hn::LoadU(d, list[k] + w); };
    V one = hn::LoadU(d, plane + w);
    V two = hn::LoadU(d, plane + words + w);
    V four = hn::LoadU(d, plane + 2 * words + w);
    V a = hn::Zero(d);
    V b = a;
    V c = a;
    V e = a;
    V eight = a;
    FullAdd(one, load(0), load(1), a, one);
    FullAdd(one, load(2), load(3), b, one);
    FullAdd(two, a, b, c, two);
    FullAdd(one, load(4), load(5), a, one);
    FullAdd(one, load(6), load(7), b, one);
    FullAdd(two, a, b, e, two);
    FullAdd(four, c, e, eight, four);
    hn::StoreU(one, d, plane + w);
    hn::StoreU(two, d, plane + words + w);
    hn::StoreU(four, d, plane + 2 * words + w);
    hn::StoreU(eight, d, eights + w);
  }
}

/// Adds eight lists to the first three planes. `eights` receives the carry, which has weight 8.
void AddEight(const std::uint64_t* const* list,
              std::size_t words,
              std::uint64_t* plane,
              std::uint64_t* eights) {
  const hn::ScalableTag<std::uint64_t> d;
  AddEightFrom(d, list, 0, words, plane, eights);
  const std::size_t rest = words - words % hn::Lanes(d);
  AddEightFrom(hn::CappedTag<std::uint64_t, 1>(), list, rest, words, plane, eights);
}

template <typename D>
HWY_ATTR bool CarryFrom(
    D d, std::size_t begin, std::size_t words, std::uint64_t* plane, std::uint64_t* carry) {
  auto any = hn::Zero(d);
  for (std::size_t w = begin; w + hn::Lanes(d) <= words; w += hn::Lanes(d)) {
    const auto old = hn::LoadU(d, plane + w);
    const auto in = hn::LoadU(d, carry + w);
    const auto out = hn::And(old, in);
    hn::StoreU(hn::Xor(old, in), d, plane + w);
    hn::StoreU(out, d, carry + w);
    any = hn::Or(any, out);
  }
  return !hn::AllTrue(d, hn::Eq(any, hn::Zero(d)));
}

/// Adds `carry` to a plane; `carry` receives what carries over. Returns whether anything does.
bool AddToPlane(std::size_t words, std::uint64_t* plane, std::uint64_t* carry) {
  const hn::ScalableTag<std::uint64_t> d;
  const std::size_t rest = words - words % hn::Lanes(d);
  const bool over = CarryFrom(d, 0, words, plane, carry);
  return CarryFrom(hn::CappedTag<std::uint64_t, 1>(), rest, words, plane, carry) || over;
}

}  // namespace HWY_NAMESPACE
}  // namespace dbsp::planner
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <array>

#include "core/error.h"
#include "planner/workload/bit_transpose.h"

namespace dbsp::planner {
namespace {

HWY_EXPORT(AddEight);
HWY_EXPORT(AddToPlane);

constexpr std::size_t kLists = 8;

}  // namespace

void BitCounter::Carry(std::size_t p, std::uint64_t* carry) {
  if (std::all_of(carry, carry + words_, [](std::uint64_t word) { return word == 0; })) return;
  for (bool over = true; over; ++p) {
    if (planes() <= p) plane_.resize((p + 1) * words_, 0);
    over = HWY_DYNAMIC_DISPATCH(AddToPlane)(words_, plane_.data() + p * words_, carry);
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
    HWY_DYNAMIC_DISPATCH(AddEight)(eight.data(), words_, plane_.data(), carry.data());
    Carry(3, carry.data());
  }
}

void BitCounter::AddShifted(const std::uint64_t* list, std::size_t shift) {
  std::vector<std::uint64_t> carry(list, list + words_);
  Carry(shift, carry.data());
}

void BitCounter::AddTo(std::size_t counters, std::size_t stride, std::int64_t* sums) const {
  constexpr std::size_t kBits = 64;
  DBSP_CHECK(words_ == 0 || planes() < kBits);
  std::array<std::uint64_t, kBits> block;
  for (std::size_t w = 0; w < words_ && w * kBits < counters; ++w) {
    // The planes of 64 counters, transposed, are the 64 counters.
    block.fill(0);
    for (std::size_t p = 0; p < planes(); ++p) block[p] = plane_[p * words_ + w];
    TransposeBits(block.data());
    const std::size_t end = std::min(kBits, counters - w * kBits);
    for (std::size_t j = 0; j < end; ++j) {
      sums[(w * kBits + j) * stride] += static_cast<std::int64_t>(block[j]);
    }
  }
}

}  // namespace dbsp::planner
#endif  // HWY_ONCE
