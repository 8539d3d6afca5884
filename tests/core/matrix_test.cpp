// SPDX-License-Identifier: Apache-2.0
#include "core/matrix.h"

#include <gtest/gtest.h>

#include <numeric>

namespace dbsp {
namespace {

TEST(MatrixTest, ElementsAreStoredRowByRow) {
  Matrix<int> matrix(2, 3);
  std::iota(matrix.values().begin(), matrix.values().end(), 0);
  EXPECT_EQ(matrix.rows(), 2);
  EXPECT_EQ(matrix.cols(), 3);
  EXPECT_EQ(matrix(0, 2), 2);
  EXPECT_EQ(matrix(1, 0), 3);
  EXPECT_EQ(std::vector<int>(matrix.row(1).begin(), matrix.row(1).end()),
            (std::vector<int>{3, 4, 5}));
  matrix(1, 1) = 7;
  EXPECT_EQ(matrix.row(1)[1], 7);
}

TEST(MatrixTest, EveryElementStartsWithTheGivenValue) {
  const Matrix<double> matrix(4, 2, -1.5);
  for (const double value : matrix.values()) EXPECT_EQ(value, -1.5);
}

TEST(MatrixTest, EqualityComparesShapeAndElements) {
  EXPECT_EQ(Matrix<int>(2, 3, 1), Matrix<int>(2, 3, 1));
  EXPECT_NE(Matrix<int>(2, 3, 1), Matrix<int>(3, 2, 1));
  EXPECT_NE(Matrix<int>(2, 3, 1), Matrix<int>(2, 3, 2));
}

TEST(MatrixTest, ADefaultMatrixHasNoElements) {
  EXPECT_TRUE(Matrix<int>().empty());
  EXPECT_TRUE(Matrix<int>(3, 0).empty());
  EXPECT_FALSE(Matrix<int>(1, 1).empty());
}

}  // namespace
}  // namespace dbsp
