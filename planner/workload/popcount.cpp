// SPDX-License-Identifier: Apache-2.0
// Counts set bits with the best instruction set of this machine.
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

void PartBits(std::span<const std::uint64_t> words,
              std::size_t pitch,
              std::span<const std::vector<WordBits>> parts,
              std::span<std::int32_t> counts) {
  const std::size_t rows = counts.size() / parts.size();
  for (std::size_t i = 0; i < rows; ++i) {
    const std::uint64_t* row = words.data() + i * pitch;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      std::int32_t count = 0;
      for (const WordBits& part : parts[p]) {
        count += static_cast<std::int32_t>(hwy::PopCount(row[part.word] & part.bits));
      }
      counts[i * parts.size() + p] = count;
    }
  }
}

void AddSelectedBits(const SlicedRows& sliced,
                     const std::uint64_t* select,
                     std::size_t stride,
                     std::int64_t* sums) {
  const std::uint64_t* run = sliced.bits;
  for (std::size_t i = 0; i < sliced.rows; ++i) {
    for (std::size_t p = 0; p < sliced.planes; ++p, run += sliced.pitch) {
      sums[i * stride] += CommonBits(run, select, sliced.length) << p;
    }
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
HWY_EXPORT(AddSelectedBits);

}  // namespace

std::int64_t CountBits(std::span<const std::uint64_t> words) {
  return HWY_DYNAMIC_DISPATCH(OwnBits)(words.data(), words.size());
}

std::int64_t CountBits(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
  DBSP_DCHECK(a.size() == b.size());
  return HWY_DYNAMIC_DISPATCH(CommonBits)(a.data(), b.data(), a.size());
}

void CountParts(std::span<const std::uint64_t> words,
                std::size_t pitch,
                std::span<const std::vector<WordBits>> parts,
                std::span<std::int32_t> counts) {
  if (!parts.empty()) HWY_DYNAMIC_DISPATCH(PartBits)(words, pitch, parts, counts);
}

void AddSelected(const SlicedRows& sliced,
                 const std::uint64_t* select,
                 std::size_t stride,
                 std::int64_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddSelectedBits)(sliced, select, stride, sums);
}

}  // namespace dbsp::planner
#endif  // HWY_ONCE
