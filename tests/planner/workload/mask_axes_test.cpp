// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_axes.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using testing::ExpectError;

constexpr MaskArraySizes kSizes{50, 6, 2, 4, 16, 16};  // steps, layers, passes, heads, Q, K

std::string Letters(const std::vector<std::int64_t>& leading,
                    const AxesRequest& request = {},
                    const MaskArraySizes& sizes = kSizes) {
  return ResolveAxes(leading, request, sizes, "f: array 'm'").letters;
}

TEST(MaskAxesTest, SizesDecideWhereOneReadingIsPossible) {
  EXPECT_EQ(Letters({}), "QK");
  EXPECT_EQ(Letters({4}), "HQK");
  EXPECT_EQ(Letters({6}), "LQK");
  EXPECT_EQ(Letters({50}), "TQK");
  EXPECT_EQ(Letters({2}), "PQK");
  EXPECT_EQ(Letters({1}), "BQK");
  EXPECT_EQ(Letters({1, 1}), "BHQK");
  EXPECT_EQ(Letters({1, 4}), "BHQK");
  EXPECT_EQ(Letters({6, 4}), "LHQK");
  EXPECT_EQ(Letters({6, 1}), "LHQK");
  EXPECT_EQ(Letters({2, 4}), "PHQK");
  EXPECT_EQ(Letters({50, 4}), "THQK");
  EXPECT_EQ(Letters({4, 6, 4}), "TLHQK");
  EXPECT_EQ(Letters({4, 1, 4}), "TLHQK");
  EXPECT_EQ(Letters({1, 6, 4}), "TLHQK");
  EXPECT_EQ(Letters({50, 2, 4}), "TPHQK");
  EXPECT_EQ(Letters({6, 2, 4}), "LPHQK");
  EXPECT_EQ(Letters({4, 6, 2, 4}), "TLPHQK");
  EXPECT_EQ(Letters({2, 50, 6, 4}), "PTLHQK");
  EXPECT_EQ(Letters({1, 1, 1, 1, 4}), "TLPBHQK");
}

TEST(MaskAxesTest, SeveralReadingsAreRefusedWithTheirLetters) {
  const MaskArraySizes equal{6, 6, 2, 4, 16, 16};
  ExpectError(ErrorCode::kInvalidArgument, {"'m'", "axes=LHQK", "axes=THQK"}, [&] {
    static_cast<void>(Letters({6, 4}, {}, equal));
  });
  ExpectError(ErrorCode::kInvalidArgument, {"axes=TLHQK", "axes=PLHQK"}, [] {
    static_cast<void>(Letters({2, 6, 4}));
  });
  EXPECT_EQ(Letters({6, 4}, {"THQK", {}, {}}, equal), "THQK");
}

TEST(MaskAxesTest, ReadingsWithTheSameLettersHaveTheUsualOrder) {
  const MaskArraySizes equal{6, 6, 1, 4, 16, 16};
  EXPECT_EQ(Letters({6, 6, 4}, {}, equal), "TLHQK");
  EXPECT_EQ(Letters({6, 50, 4}), "LTHQK");
  EXPECT_EQ(Letters({6, 6, 4}, {"LTHQK", {}, {}}, equal), "LTHQK");
  const MaskArraySizes all{2, 2, 2, 2, 16, 16};
  EXPECT_EQ(Letters({2, 2, 2, 2}, {}, all), "TLPHQK");
  ExpectError(ErrorCode::kInvalidArgument, {"axes=TLHQK", "axes=PLHQK", "axes=TPHQK"}, [&] {
    static_cast<void>(Letters({2, 2, 2}, {}, all));
  });
}

TEST(MaskAxesTest, SizesOfNothingAreRefusedWithExamples) {
  for (const std::vector<std::int64_t>& leading : {std::vector<std::int64_t>{3},
                                                   {7, 4},
                                                   {4, 3},
                                                   {4, 5, 4},
                                                   {51, 6, 4},
                                                   {0, 4},
                                                   {6, 0},
                                                   {4, 6, 2, 2, 4},
                                                   {1, 1, 1, 1, 1, 4}}) {
    ExpectError(ErrorCode::kMismatch, {"4 heads", "6 layers", "50 steps", "axes="}, [&] {
      static_cast<void>(Letters(leading));
    });
  }
}

TEST(MaskAxesTest, BatchAndPassAreAxesOnlyOnRequest) {
  EXPECT_EQ(Letters({7, 4}, {{}, 1, {}}), "BHQK");
  EXPECT_EQ(Letters({3, 4}, {{}, {}, 2}), "PHQK");
  EXPECT_EQ(Letters({6, 4}, {{}, 1, {}}), "BHQK");
  EXPECT_EQ(Letters({2, 6, 4}, {{}, {}, 1}), "PLHQK");
}

TEST(MaskAxesTest, LettersAreCheckedAgainstArrayAndModel) {
  EXPECT_EQ(Letters({4, 6}, {"hlqk", {}, {}}), "HLQK");
  EXPECT_EQ(Letters({60, 4}, {"THQK", {}, {}}), "THQK");  // more entries than steps
  for (const char* letters : {"QK", "LHKQ", "LLQK", "LXQK", "LH", "HQKL", "LHQ"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"axes"}, [&] {
      static_cast<void>(Letters({6, 4}, {letters, {}, {}}));
    });
  }
  ExpectError(ErrorCode::kMismatch, {"axis L", "7", "expected 6"}, [] {
    static_cast<void>(Letters({7, 4}, {"LHQK", {}, {}}));
  });
  ExpectError(ErrorCode::kMismatch, {"axis H", "3", "expected 4"}, [] {
    static_cast<void>(Letters({6, 3}, {"LHQK", {}, {}}));
  });
  ExpectError(ErrorCode::kMismatch, {"axis P", "3 passes", "pass=N"}, [] {
    static_cast<void>(Letters({3, 4}, {"PHQK", {}, {}}));
  });
  ExpectError(ErrorCode::kMismatch, {"axis T", "size 0"}, [] {
    static_cast<void>(Letters({0, 4}, {"THQK", {}, {}}));
  });
}

}  // namespace
}  // namespace dbsp
