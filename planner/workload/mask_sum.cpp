// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_sum.h"

#include <algorithm>
#include <bit>
#include <map>

#include "core/error.h"
#include "planner/workload/bit_counter.h"

namespace dbsp::planner {
namespace {

/// Rows added at a time. Their planes and the words of eight masks fit the first-level cache.
constexpr std::size_t kRowsAtOnce = 16;

}  // namespace

MaskSum::MaskSum(std::span<const DistinctMask> masks)
    : rows_(masks.front().mask->rows()),
      cols_(masks.front().mask->cols()),
      words_(static_cast<std::size_t>(masks.front().mask->words_per_row())) {
  std::map<std::size_t, std::vector<const std::uint64_t*>>
      by_heads;  // by number of heads that share a mask
  std::size_t most = 0;
  for (const DistinctMask& entry : masks) {
    DBSP_CHECK(entry.mask->rows() == rows_ && entry.mask->cols() == cols_);
    by_heads[entry.heads.size()].push_back(entry.mask->words().data());
    most += entry.heads.size();
  }
  planes_ = static_cast<std::size_t>(std::bit_width(most));
  const auto rows = static_cast<std::size_t>(rows_);
  bits_.assign(rows * planes_ * words_, 0);
  pitch_ = (rows + kRowLanes - 1) / kRowLanes * kRowLanes;
  by_word_.resize(planes_ * words_ * pitch_);
  for (std::size_t begin = 0; begin < rows && words_ > 0; begin += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, rows - begin);
    BitCounter sum(count * words_);
    for (const auto& [heads, words] : by_heads) {
      std::vector<const std::uint64_t*> lists;
      for (const std::uint64_t* start : words) lists.push_back(start + begin * words_);
      if (heads == 1) {
        sum.Add(lists);
        continue;
      }
      BitCounter once(count * words_);
      once.Add(lists);
      for (std::size_t bit = 0; heads >> bit != 0; ++bit) {
        for (std::size_t p = 0; ((heads >> bit) & 1U) != 0 && p < once.planes(); ++p) {
          sum.AddShifted(once.plane(p).data(), bit + p);
        }
      }
    }
    for (std::size_t p = 0; p < std::min(planes_, sum.planes()); ++p) {
      const std::uint64_t* plane = sum.plane(p).data();
      for (std::size_t r = 0; r < count; ++r) {
        std::copy_n(plane + r * words_, words_, &bits_[((begin + r) * planes_ + p) * words_]);
      }
      for (std::size_t w = 0; w < words_; ++w) {
        std::uint64_t* rows_of_word = &by_word_[(p * words_ + w) * pitch_ + begin];
        for (std::size_t r = 0; r < count; ++r) rows_of_word[r] = plane[r * words_ + w];
      }
    }
  }
}

std::vector<std::int64_t> MaskSum::RowParts(std::span<const int> col_owner, int parts) const {
  DBSP_CHECK(col_owner.size() == static_cast<std::size_t>(cols_));
  const auto stride = static_cast<std::size_t>(parts);
  const auto rows = static_cast<std::size_t>(rows_);
  std::vector<std::vector<WordBits>> part_bits(stride);
  for (std::size_t j = 0; j < col_owner.size(); ++j) {
    std::vector<WordBits>& part = part_bits[col_owner[j]];
    if (part.empty() || part.back().word != j / 64) part.push_back({j / 64, 0});
    part.back().bits |= 1ULL << (j % 64);
  }
  AlignedWords counts(stride * pitch_);
  CountSlicedRowParts(by_word_, words_, pitch_, part_bits, counts);
  std::vector<std::int64_t> sums(rows * stride);
  for (std::size_t k = 0; k < stride; ++k) {
    for (std::size_t i = 0; i < rows; ++i) {
      sums[i * stride + k] = static_cast<std::int64_t>(counts[k * pitch_ + i]);
    }
  }
  return sums;
}

std::vector<std::int64_t> MaskSum::ColumnParts(std::span<const int> row_owner, int parts) const {
  DBSP_CHECK(row_owner.size() == static_cast<std::size_t>(rows_));
  const auto stride = static_cast<std::size_t>(parts);
  const auto cols = static_cast<std::size_t>(cols_);
  std::vector<std::int64_t> sums(cols * stride, 0);
  std::vector<std::vector<const std::uint64_t*>> rows_of(stride);
  for (std::size_t i = 0; i < row_owner.size(); ++i) {
    rows_of[row_owner[i]].push_back(&bits_[i * planes_ * words_]);
  }
  for (std::size_t k = 0; k < stride && words_ > 0; ++k) {
    // All planes of a row form one list. They are counted side by side and then added.
    BitCounter counter(planes_ * words_);
    counter.Add(rows_of[k]);
    BitCounter sum(words_);
    for (std::size_t p = 0; p < planes_; ++p) {
      for (std::size_t q = 0; q < counter.planes(); ++q) {
        sum.AddShifted(counter.plane(q).data() + p * words_, p + q);
      }
    }
    sum.AddTo(cols, stride, sums.data() + k);
  }
  return sums;
}

}  // namespace dbsp::planner
