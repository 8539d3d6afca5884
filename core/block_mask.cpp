// SPDX-License-Identifier: Apache-2.0
#include "core/block_mask.h"

#include <bit>

#include "core/error.h"

namespace dbsp {
namespace {

/// Bits [begin, end) of one word, 0 <= begin <= end <= 64.
std::uint64_t WordRange(int begin, int end) {
  const std::uint64_t upto_end = end == 64 ? ~0ULL : (1ULL << end) - 1;
  const std::uint64_t upto_begin = begin == 64 ? ~0ULL : (1ULL << begin) - 1;
  return upto_end & ~upto_begin;
}

}  // namespace

BlockMask::BlockMask(int rows, int cols) : rows_(rows), cols_(cols) {
  if (rows < 0 || cols < 0) {
    Fail(ErrorCode::kInvalidArgument, "block mask: size {} x {} is negative", rows, cols);
  }
  words_per_row_ = (cols + 63) / 64;
  words_.assign(static_cast<std::size_t>(rows) * static_cast<std::size_t>(words_per_row_), 0);
}

BlockMask BlockMask::Full(int rows, int cols) {
  BlockMask mask(rows, cols);
  for (int i = 0; i < rows; ++i) mask.SetRange(i, 0, cols);
  return mask;
}

void BlockMask::Set(int i, int j, bool value) {
  DBSP_DCHECK(i >= 0 && i < rows_ && j >= 0 && j < cols_);
  std::uint64_t& word = mutable_row(i)[static_cast<std::size_t>(j) / 64];
  const std::uint64_t bit = 1ULL << (j % 64);
  word = value ? word | bit : word & ~bit;
}

void BlockMask::SetRange(int i, int begin, int end) {
  DBSP_DCHECK(i >= 0 && i < rows_ && begin >= 0 && end <= cols_);
  if (begin >= end) return;
  auto words = mutable_row(i);
  for (int w = begin / 64; w <= (end - 1) / 64; ++w) {
    const int low = w == begin / 64 ? begin % 64 : 0;
    const int high = w == (end - 1) / 64 ? (end - 1) % 64 + 1 : 64;
    words[w] |= WordRange(low, high);
  }
}

std::int64_t BlockMask::Count() const {
  std::int64_t count = 0;
  for (const std::uint64_t word : words_) count += std::popcount(word);
  return count;
}

int BlockMask::RowCount(int i) const {
  int count = 0;
  for (const std::uint64_t word : row(i)) count += std::popcount(word);
  return count;
}

int BlockMask::RowCount(int i, int begin, int end) const {
  if (begin >= end) return 0;
  const auto words = row(i);
  int count = 0;
  for (int w = begin / 64; w <= (end - 1) / 64; ++w) {
    const int low = w == begin / 64 ? begin % 64 : 0;
    const int high = w == (end - 1) / 64 ? (end - 1) % 64 + 1 : 64;
    count += std::popcount(words[w] & WordRange(low, high));
  }
  return count;
}

double BlockMask::Density() const {
  const double size = static_cast<double>(rows_) * static_cast<double>(cols_);
  return size > 0 ? static_cast<double>(Count()) / size : 0.0;
}

void BlockMask::AppendRow(int i, std::vector<int>& out) const {
  const auto words = row(i);
  for (std::size_t w = 0; w < words.size(); ++w) {
    for (std::uint64_t bits = words[w]; bits != 0; bits &= bits - 1) {
      out.push_back(static_cast<int>(w) * 64 + std::countr_zero(bits));
    }
  }
}

void BlockMask::Or(const BlockMask& other) {
  if (rows_ != other.rows_ || cols_ != other.cols_) {
    Fail(ErrorCode::kInvalidArgument,
         "block mask: or of {} x {} with {} x {}",
         rows_,
         cols_,
         other.rows_,
         other.cols_);
  }
  for (std::size_t w = 0; w < words_.size(); ++w) words_[w] |= other.words_[w];
}

}  // namespace dbsp
