// SPDX-License-Identifier: Apache-2.0
// MergePartial and CopyBlocks against their definitions.
#include "kernels/memory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace dbsp::kernels {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr float kGuard = -777.0F;

struct Partial {
  std::vector<float> o, lse;
};

Partial RandomPartial(std::int64_t rows, int d, std::mt19937& random, float lse_spread) {
  std::normal_distribution<float> normal;
  Partial part{std::vector<float>(rows * d), std::vector<float>(rows)};
  for (float& x : part.o) x = normal(random);
  for (float& x : part.lse) x = random() % 5 == 0 ? kNone : lse_spread * normal(random);
  for (std::int64_t r = 0; r < rows; ++r) {
    if (part.lse[r] == kNone) std::fill_n(part.o.begin() + r * d, d, 0.0F);
  }
  return part;
}

void Merge(Partial& into, const Partial& part, int d) {
  MergePartial(static_cast<std::int64_t>(into.lse.size()),
               d,
               into.o.data(),
               into.lse.data(),
               part.o.data(),
               part.lse.data());
}

TEST(MergePartialTest, EqualsItsDefinitionInDoublePrecision) {
  std::mt19937 random(1);
  for (const int d : {1, 3, 8, 17, 64, 128, 256}) {
    for (const float spread : {1.0F, 30.0F, 1e4F}) {
      const Partial a = RandomPartial(37, d, random, spread);
      const Partial b = RandomPartial(37, d, random, spread);
      Partial merged = a;
      Merge(merged, b, d);
      for (int r = 0; r < 37; ++r) {
        const double max = std::max(a.lse[r], b.lse[r]);
        const bool none = max == kNone;
        const double lse =
            none ? max : max + std::log(std::exp(a.lse[r] - max) + std::exp(b.lse[r] - max));
        if (none) {
          EXPECT_EQ(merged.lse[r], kNone);
        } else {
          EXPECT_NEAR(merged.lse[r], lse, 1e-6 * std::max(1.0, std::abs(lse)));
        }
        for (int c = 0; c < d; ++c) {
          const double want = none ? 0.0
                                   : a.o[r * d + c] * std::exp(a.lse[r] - lse) +
                                         b.o[r * d + c] * std::exp(b.lse[r] - lse);
          ASSERT_NEAR(merged.o[r * d + c], want, 2e-6) << "d " << d << " row " << r;
        }
      }
    }
  }
}

TEST(MergePartialTest, TheOrderOfPartsDoesNotMatter) {
  std::mt19937 random(2);
  constexpr int kDim = 64;
  std::vector<Partial> parts;
  for (int i = 0; i < 5; ++i) parts.push_back(RandomPartial(50, kDim, random, 3.0F));
  Partial forward = parts[0];
  for (int i = 1; i < 5; ++i) Merge(forward, parts[i], kDim);
  Partial backward = parts[4];
  for (int i = 3; i >= 0; --i) Merge(backward, parts[i], kDim);
  for (std::size_t i = 0; i < forward.o.size(); ++i) ASSERT_NEAR(forward.o[i], backward.o[i], 5e-6);
  for (std::size_t r = 0; r < 50; ++r) {
    if (forward.lse[r] == kNone) {
      EXPECT_EQ(backward.lse[r], kNone);
    } else {
      EXPECT_NEAR(forward.lse[r], backward.lse[r], 5e-6);
    }
  }
}

TEST(MergePartialTest, ASideWithoutKeysChangesNothing) {
  Partial some{{1.5F, -2.0F}, {0.25F}};
  const Partial none{{0.0F, 0.0F}, {kNone}};
  Partial merged = some;
  Merge(merged, none, 2);
  EXPECT_EQ(merged.o, some.o);
  EXPECT_EQ(merged.lse, some.lse);
  merged = none;
  Merge(merged, some, 2);
  EXPECT_EQ(merged.o, some.o);
  EXPECT_EQ(merged.lse, some.lse);
}

TEST(MergePartialTest, TwoSidesWithoutKeysGiveZero) {
  Partial merged{{5.0F, -5.0F}, {kNone}};
  Merge(merged, {{7.0F, 7.0F}, {kNone}}, 2);
  EXPECT_EQ(merged.o, (std::vector<float>{0.0F, 0.0F}));
  EXPECT_EQ(merged.lse[0], kNone);
}

TEST(MergePartialTest, WhatARowWithoutKeysHeldNeverComesOut) {
  const float bad = std::numeric_limits<float>::quiet_NaN();
  const Partial none{{bad, bad}, {kNone}};
  const Partial some{{1.5F, -2.0F}, {0.25F}};
  Partial merged = none;
  Merge(merged, none, 2);
  EXPECT_EQ(merged.o, (std::vector<float>{0.0F, 0.0F}));
  merged = none;
  Merge(merged, some, 2);
  EXPECT_EQ(merged.o, some.o);
  Merge(merged, none, 2);
  EXPECT_EQ(merged.o, some.o);
}

TEST(MergePartialTest, RowsBeyondTheCallStayUntouched) {
  Partial merged{std::vector<float>(6, kGuard), std::vector<float>(3, kGuard)};
  const Partial part{std::vector<float>(6, 1.0F), std::vector<float>(3, 0.0F)};
  MergePartial(2, 2, merged.o.data(), merged.lse.data(), part.o.data(), part.lse.data());
  EXPECT_EQ(merged.o[4], kGuard);
  EXPECT_EQ(merged.o[5], kGuard);
  EXPECT_EQ(merged.lse[2], kGuard);
  EXPECT_NE(merged.lse[1], kGuard);
  MergePartial(0, 2, nullptr, nullptr, nullptr, nullptr);
}

TEST(CopyBlocksTest, EqualsALoopOverTokens) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    const int d = 1 + static_cast<int>(random() % 130);
    const std::int64_t from_stride = d + (round % 3 == 0 ? 0 : static_cast<int>(random() % 200));
    const std::int64_t to_stride = d + (round % 2 == 0 ? 0 : static_cast<int>(random() % 200));
    std::vector<CopyItem> items;
    std::int64_t from_end = 5;
    std::int64_t to_end = 3;
    for (int i = 0; i < 6; ++i) {
      const int tokens = static_cast<int>(random() % 20);
      items.push_back({from_end, to_end, tokens});
      from_end += tokens * from_stride + 1;
      to_end += tokens * to_stride + 2;
    }
    std::vector<float> from(from_end + from_stride);
    for (float& x : from) x = static_cast<float>(random() % 100000);
    std::vector<float> got(to_end + to_stride, kGuard);
    std::vector<float> want = got;
    for (const CopyItem& item : items) {
      for (int t = 0; t < item.tokens; ++t) {
        std::memcpy(&want[item.to + t * to_stride],
                    &from[item.from + t * from_stride],
                    sizeof(float) * static_cast<std::size_t>(d));
      }
    }
    CopyBlocks(from.data(), from_stride, got.data(), to_stride, d, items);
    ASSERT_EQ(got, want) << "round " << round << " d " << d;
  }
}

TEST(CopyBlocksTest, UnpackUndoesPack) {
  constexpr int kTokens = 10, kHeads = 3, kDim = 8;
  std::vector<float> home(kTokens * kHeads * kDim);
  for (std::size_t i = 0; i < home.size(); ++i) home[i] = static_cast<float>(i);
  std::vector<float> blocks(home.size());
  std::vector<float> back(home.size());
  std::vector<CopyItem> pack, unpack;
  for (int h = 0; h < kHeads; ++h) {
    pack.push_back({h * kDim, h * kTokens * kDim, kTokens});
    unpack.push_back({h * kTokens * kDim, h * kDim, kTokens});
  }
  CopyBlocks(home.data(), kHeads * kDim, blocks.data(), kDim, kDim, pack);
  EXPECT_EQ(blocks[kTokens * kDim + kDim], home[kHeads * kDim + kDim]);
  CopyBlocks(blocks.data(), kDim, back.data(), kHeads * kDim, kDim, unpack);
  EXPECT_EQ(back, home);
}

}  // namespace
}  // namespace dbsp::kernels
