// SPDX-License-Identifier: Apache-2.0
#include "core/segment_id.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

TEST(SegmentIdTest, EveryKeyComesBackAndNoTwoShareANumber) {
  std::mt19937 random(7);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 2000; ++i) {
    const SegmentKey key{.step = static_cast<int>(random() % (1 << 14)),
                         .layer = static_cast<int>(random() % (1 << 12)),
                         .rank = static_cast<int>(random() % (1 << 16)),
                         .kind = static_cast<SegmentKind>(random() % kSegmentKinds),
                         .index = static_cast<int>(random() % (1 << 16))};
    const std::uint64_t id = PackSegment(key);
    EXPECT_EQ(UnpackSegment(id), key) << "seed 7, key " << i;
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 2000U);
  EXPECT_NE(PackSegment({}), 0U);
}

TEST(SegmentIdTest, NumbersOfOthersAreNoSegments) {
  const std::uint64_t id = PackSegment({.step = 3, .kind = SegmentKind::kHop});
  for (const std::uint64_t other : {std::uint64_t{0},
                                    std::uint64_t{17},
                                    ~std::uint64_t{0},
                                    id | std::uint64_t{1} << 63,
                                    id | std::uint64_t{15} << 16}) {
    EXPECT_EQ(UnpackSegment(other), std::nullopt) << other;
  }
}

TEST(SegmentIdTest, AFieldThatDoesNotFitIsNamed) {
  testing::ExpectError(ErrorCode::kInvalidArgument, {"segment rank 65536", "65535"}, [] {
    (void)PackSegment({.rank = 1 << 16});
  });
  testing::ExpectError(
      ErrorCode::kInvalidArgument, {"segment step -1"}, [] { (void)PackSegment({.step = -1}); });
}

}  // namespace
}  // namespace dbsp
