// SPDX-License-Identifier: Apache-2.0
// Counts set bits with the best instruction set of this machine.
// The instruction that counts the bits of words (AVX512_VPOPCNTDQ) is in a target that Highway
// leaves out unless asked.
#define HWY_WANT_AVX3_DL 1
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "planner/workload/popcount.cpp"
#include <hwy/foreach_target.h>
// foreach_target includes this file once per target and has to come first.
#include <hwy/highway.h>

#include "planner/workload/popcount.h"

HWY_BEFORE_NAMESPACE();
namespace dbsp::planner {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Set bits of a[w] & b[w], w below n.
std::int64_t CommonBits(const std::uint64_t* a, const std::uint64_t* b, std::size_t n) {
  const hn::ScalableTag<std::uint64_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::int64_t count = 0;
  std::size_t w = 0;
  if (n >= lanes) {
    auto sum = hn::Zero(d);
    for (; w + lanes <= n; w += lanes) {
      const auto common = hn::And(hn::LoadU(d, a + w), hn::LoadU(d, b + w));
      sum = hn::Add(sum, hn::PopulationCount(common));
    }
    count = static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d, sum)));
  }
  for (; w < n; ++w) count += static_cast<std::int64_t>(hwy::PopCount(a[w] & b[w]));
  return count;
}

std::int64_t OwnBits(const std::uint64_t* words, std::size_t n) {
  return CommonBits(words, words, n);
}

void RowPartBits(const std::uint64_t* words,
                 std::size_t pitch,
                 std::span<const std::vector<WordBits>> parts,
                 std::uint64_t* counts) {
  const hn::CappedTag<std::uint64_t, kRowLanes> d;
  const auto zero = hn::Zero(d);
  // The words of a few rows stay in the first-level cache for all parts.
  for (std::size_t i = 0; i < pitch; i += hn::Lanes(d)) {
    std::uint64_t* out = counts + i;
    for (const std::vector<WordBits>& part : parts) {
      auto sum = zero;
      for (const WordBits& entry : part) {
        const auto row = hn::LoadU(d, words + entry.word * pitch + i);
        sum = hn::Add(sum, hn::PopulationCount(hn::And(row, hn::Set(d, entry.bits))));
      }
      const auto active = hn::IfThenElse(hn::Eq(sum, zero), zero, hn::Set(d, kActiveRow));
      hn::StoreU(hn::Or(sum, active), d, out);
      out += pitch;
    }
  }
}

void SlicedRowPartBits(std::span<const std::uint64_t> words,
                       std::size_t length,
                       std::size_t pitch,
                       std::span<const std::vector<WordBits>> parts,
                       std::uint64_t* counts) {
  const hn::CappedTag<std::uint64_t, kRowLanes> d;
  const std::size_t plane = length * pitch;
  const std::size_t planes = plane == 0 ? 0 : words.size() / plane;
  for (std::size_t i = 0; i < pitch; i += hn::Lanes(d)) {
    std::uint64_t* out = counts + i;
    for (const std::vector<WordBits>& part : parts) {
      auto sum = hn::Zero(d);
      for (std::size_t n = 0; n < planes; ++n) {
        const std::uint64_t* rows = words.data() + n * plane + i;
        auto ones = hn::Zero(d);
        for (const WordBits& entry : part) {
          const auto row = hn::LoadU(d, rows + entry.word * pitch);
          ones = hn::Add(ones, hn::PopulationCount(hn::And(row, hn::Set(d, entry.bits))));
        }
        sum = hn::Add(sum, hn::ShiftLeftSame(ones, static_cast<int>(n)));
      }
      hn::StoreU(sum, d, out);
      out += pitch;
    }
  }
}

void PartBits(const std::uint64_t* row,
              std::span<const std::vector<WordBits>> parts,
              std::int64_t* counts) {
  for (const std::vector<WordBits>& part : parts) {
    std::int64_t count = 0;
    for (const WordBits& entry : part) {
      count += static_cast<std::int64_t>(hwy::PopCount(row[entry.word] & entry.bits));
    }
    *counts++ = count;
  }
}

void AddSelectedBits(const SlicedRows& sliced,
                     const std::uint64_t* select,
                     std::size_t stride,
                     std::int64_t* sums) {
  const hn::ScalableTag<std::uint64_t> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::uint64_t* run = sliced.bits;
  for (std::size_t i = 0; i < sliced.rows; ++i) {
    // Lanes are added up once per row.
    auto in_lanes = hn::Zero(d);
    std::uint64_t count = 0;
    for (std::size_t p = 0; p < sliced.planes; ++p, run += sliced.pitch) {
      std::size_t w = 0;
      for (; w + lanes <= sliced.length; w += lanes) {
        const auto common = hn::And(hn::LoadU(d, run + w), hn::LoadU(d, select + w));
        const auto bits = hn::PopulationCount(common);
        in_lanes = hn::Add(in_lanes, hn::ShiftLeftSame(bits, static_cast<int>(p)));
      }
      std::uint64_t rest = 0;
      for (; w < sliced.length; ++w) rest += hwy::PopCount(run[w] & select[w]);
      count += rest << p;
    }
    if (sliced.length >= lanes) count += hn::GetLane(hn::SumOfLanes(d, in_lanes));
    sums[i * stride] += static_cast<std::int64_t>(count);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace dbsp::planner
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "core/error.h"

namespace dbsp::planner {
namespace {

HWY_EXPORT(CommonBits);
HWY_EXPORT(OwnBits);
HWY_EXPORT(PartBits);
HWY_EXPORT(RowPartBits);
HWY_EXPORT(SlicedRowPartBits);
HWY_EXPORT(AddSelectedBits);

}  // namespace

std::int64_t CountBits(std::span<const std::uint64_t> words) {
  return HWY_DYNAMIC_DISPATCH(OwnBits)(words.data(), words.size());
}

std::int64_t CountBits(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
  DBSP_DCHECK(a.size() == b.size());
  return HWY_DYNAMIC_DISPATCH(CommonBits)(a.data(), b.data(), a.size());
}

void CountParts(std::span<const std::uint64_t> row,
                std::span<const std::vector<WordBits>> parts,
                std::span<std::int64_t> counts) {
  DBSP_DCHECK(counts.size() == parts.size());
  HWY_DYNAMIC_DISPATCH(PartBits)(row.data(), parts, counts.data());
}

void CountRowParts(std::span<const std::uint64_t> words,
                   std::size_t pitch,
                   std::span<const std::vector<WordBits>> parts,
                   std::span<std::uint64_t> counts) {
  DBSP_CHECK(pitch % kRowLanes == 0 && counts.size() == parts.size() * pitch);
  HWY_DYNAMIC_DISPATCH(RowPartBits)(words.data(), pitch, parts, counts.data());
}

void CountSlicedRowParts(std::span<const std::uint64_t> words,
                         std::size_t length,
                         std::size_t pitch,
                         std::span<const std::vector<WordBits>> parts,
                         std::span<std::uint64_t> counts) {
  DBSP_CHECK(pitch % kRowLanes == 0 && counts.size() == parts.size() * pitch);
  HWY_DYNAMIC_DISPATCH(SlicedRowPartBits)(words, length, pitch, parts, counts.data());
}

void AddSelected(const SlicedRows& sliced,
                 const std::uint64_t* select,
                 std::size_t stride,
                 std::int64_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddSelectedBits)(sliced, select, stride, sums);
}

}  // namespace dbsp::planner
#endif  // HWY_ONCE
