// SPDX-License-Identifier: Apache-2.0
// A two-dimensional array of fixed size in one allocation.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/error.h"

namespace dbsp {

/// Elements in row-major order. T must not be bool, whose vector has no addressable elements.
template <typename T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t cols, const T& value = T())
      : rows_(rows), cols_(cols), values_(rows * cols, value) {}

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t cols() const { return cols_; }
  [[nodiscard]] bool empty() const { return values_.empty(); }

  /// requires row < rows(), col < cols()
  T& operator()(std::size_t row, std::size_t col) {
    DBSP_DCHECK(row < rows_ && col < cols_);
    return values_[row * cols_ + col];
  }
  const T& operator()(std::size_t row, std::size_t col) const {
    DBSP_DCHECK(row < rows_ && col < cols_);
    return values_[row * cols_ + col];
  }
  /// requires row < rows()
  [[nodiscard]] std::span<T> row(std::size_t row) {
    DBSP_DCHECK(row < rows_);
    return std::span(values_).subspan(row * cols_, cols_);
  }
  [[nodiscard]] std::span<const T> row(std::size_t row) const {
    DBSP_DCHECK(row < rows_);
    return std::span(values_).subspan(row * cols_, cols_);
  }
  /// All elements, row by row.
  [[nodiscard]] std::span<T> values() { return values_; }
  [[nodiscard]] std::span<const T> values() const { return values_; }

  bool operator==(const Matrix&) const = default;

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::vector<T> values_;
};

}  // namespace dbsp
