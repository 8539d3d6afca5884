// SPDX-License-Identifier: Apache-2.0
// Bit-packed block masks: the key blocks that each query block attends to.
//
// A BlockMask is the mask of one head. LayerMasks are the masks of one (step, layer). Heads with
// the same mask share the object, so that callers can compute counts and hashes once per object.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace dbsp {

/// rows x cols bits, row-major. Each row is padded with zero bits to whole 64-bit words.
/// requires rows, cols >= 0; indices in range (checked by DBSP_DCHECK)
/// threads  const members are safe concurrently
class BlockMask {
 public:
  BlockMask() = default;
  /// All bits zero.
  /// errors  Error{kInvalidArgument} when a size is negative.
  BlockMask(int rows, int cols);
  /// All bits one.
  static BlockMask Full(int rows, int cols);

  [[nodiscard]] int rows() const { return rows_; }
  [[nodiscard]] int cols() const { return cols_; }
  [[nodiscard]] int words_per_row() const { return words_per_row_; }
  /// Bits of row i, words_per_row() words; bit j of the row is word j / 64, bit j % 64.
  [[nodiscard]] std::span<const std::uint64_t> row(int i) const {
    return {words_.data() + static_cast<std::size_t>(i) * words_per_row_,
            static_cast<std::size_t>(words_per_row_)};
  }
  /// The same for writing. Bits at and above cols() must stay zero.
  [[nodiscard]] std::span<std::uint64_t> mutable_row(int i) {
    return {words_.data() + static_cast<std::size_t>(i) * words_per_row_,
            static_cast<std::size_t>(words_per_row_)};
  }
  [[nodiscard]] bool Get(int i, int j) const {
    return (row(i)[static_cast<std::size_t>(j) / 64] >> (j % 64)) & 1U;
  }
  void Set(int i, int j, bool value = true);
  /// Sets the bits [begin, end) of row i.
  void SetRange(int i, int begin, int end);
  /// Number of set bits: in the mask, in row i, and in the columns [begin, end) of row i.
  [[nodiscard]] std::int64_t Count() const;
  [[nodiscard]] int RowCount(int i) const;
  [[nodiscard]] int RowCount(int i, int begin, int end) const;
  /// Count() over rows * cols; 0 for an empty mask.
  [[nodiscard]] double Density() const;
  /// Appends the set columns of row i to `out`, ascending.
  void AppendRow(int i, std::vector<int>& out) const;
  /// Bitwise or, in place.
  /// errors  Error{kInvalidArgument} when the shapes differ.
  void Or(const BlockMask& other);
  [[nodiscard]] std::span<const std::uint64_t> words() const { return words_; }
  bool operator==(const BlockMask&) const = default;

 private:
  int rows_ = 0;
  int cols_ = 0;
  int words_per_row_ = 0;
  std::vector<std::uint64_t> words_;
};

using BlockMaskPtr = std::shared_ptr<const BlockMask>;

/// The masks of one (step, layer), one entry per head; heads may share an object.
struct LayerMasks {
  std::vector<BlockMaskPtr> head;

  [[nodiscard]] int heads() const { return static_cast<int>(head.size()); }
  [[nodiscard]] int rows() const { return head.empty() ? 0 : head.front()->rows(); }
  [[nodiscard]] int cols() const { return head.empty() ? 0 : head.front()->cols(); }
};

}  // namespace dbsp
