// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "kernels/memory.h"
#include "tests/kernels/attention_case.h"

namespace dbsp::kernels {
namespace {

using testing::AttentionCase;
using testing::CaseOptions;
using testing::DenseMaskedSoftmax;
using testing::ErrorOf;
using testing::MakeCase;

/// Tolerance of fp32 sums of a few thousand terms. Observed errors are at most 1e-6.
constexpr double kTolerance = 5e-6;

class AttentionTest : public ::testing::TestWithParam<std::string> {
 protected:
  void Run(AttentionCase& call) const {
    call.Bind();
    FindCpuAttention(GetParam()).run(call.args);
  }
  void ExpectRight(const CaseOptions& options, std::uint64_t seed) const {
    AttentionCase call = MakeCase(options, seed);
    Run(call);
    EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), kTolerance), kTolerance)
        << fmt::format("seed {} d {} block {}x{} of {}x{} density {} spread {}",
                       seed,
                       options.head_dim,
                       options.block.q,
                       options.block.k,
                       options.q_blocks,
                       options.k_blocks,
                       options.density,
                       options.spread);
  }
};
INSTANTIATE_TEST_SUITE_P(Variants,
                         AttentionTest,
                         ::testing::Values("cpu.block_sparse", "cpu.reference"),
                         [](const auto& variant) { return variant.param.substr(4); });

TEST_P(AttentionTest, EqualsADenseMaskedSoftmaxForEveryHeadDim) {
  for (int d = 8; d <= 256; d += d < 128 ? 8 : 24) {
    ExpectRight({.head_dim = d, .block = {24, 40}, .q_blocks = 2, .k_blocks = 3}, 100 + d);
  }
}

TEST_P(AttentionTest, EqualsADenseMaskedSoftmaxForRandomShapes) {
  std::mt19937_64 random(7);
  const int sides[] = {1, 2, 3, 5, 7, 8, 13, 16, 17, 32, 48, 61, 64, 100, 128};
  for (int i = 0; i < 60; ++i) {
    CaseOptions options;
    options.head_dim = 8 * (1 + static_cast<int>(random() % 16));
    options.block = {sides[random() % std::size(sides)], sides[random() % std::size(sides)]};
    options.q_blocks = 1 + static_cast<int>(random() % 3);
    options.k_blocks = 1 + static_cast<int>(random() % 4);
    options.density = 0.25 * static_cast<double>(random() % 5);
    ExpectRight(options, 1000 + i);
  }
}

/// Lists of single keys and of small blocks, longer than a chunk of 128 keys.
TEST_P(AttentionTest, TakesListsOfSingleKeys) {
  ExpectRight({.head_dim = 64, .block = {64, 1}, .q_blocks = 2, .k_blocks = 300}, 1);
  ExpectRight({.head_dim = 128, .block = {128, 1}, .q_blocks = 1, .k_blocks = 256, .density = 1.0},
              2);
  ExpectRight({.head_dim = 72, .block = {40, 7}, .q_blocks = 2, .k_blocks = 60}, 3);
}

TEST_P(AttentionTest, TakesTheLargestBlocks) {
  ExpectRight({.head_dim = 64, .block = {512, 512}, .q_blocks = 1, .k_blocks = 2, .density = 1.0},
              1);
  ExpectRight({.head_dim = 256, .block = {64, 512}, .q_blocks = 1, .k_blocks = 1, .density = 1.0},
              2);
  ExpectRight({.head_dim = 128, .block = {512, 16}, .q_blocks = 1, .k_blocks = 3, .density = 1.0},
              3);
}

TEST_P(AttentionTest, OneTokenAgainstOneKeyGivesThatKeysValue) {
  AttentionCase call =
      MakeCase({.head_dim = 64, .block = {1, 1}, .q_blocks = 1, .k_blocks = 1, .density = 1.0}, 3);
  Run(call);
  for (int c = 0; c < 64; ++c) EXPECT_FLOAT_EQ(call.O(0, 0, c), call.v[c]);
}

TEST_P(AttentionTest, RowsWithoutKeysGiveZeroAndMinusInfinity) {
  AttentionCase call = MakeCase({.q_blocks = 2, .k_blocks = 2, .density = 0.0, .tails = false}, 4);
  Run(call);
  for (int b = 0; b < 2; ++b) {
    for (int t = 0; t < call.args.block.q; ++t) {
      EXPECT_EQ(call.Lse(b, t), -std::numeric_limits<float>::infinity());
      for (int c = 0; c < 64; ++c) ASSERT_EQ(call.O(b, t, c), 0.0F);
    }
  }
}

TEST_P(AttentionTest, NoBlocksAtAllIsNoWork) {
  AttentionCase call = MakeCase({.q_blocks = 0, .k_blocks = 0}, 5);
  Run(call);
  EXPECT_EQ(ErrorOf(call, DenseMaskedSoftmax(call), 0.0), 0.0);
}

TEST_P(AttentionTest, LargeScoresNeitherOverflowNorVanish) {
  // Scores up to about +-20000: e^score overflows and most weights are exactly 0. fp32 dots of
  // this size have an absolute error near 1e-3, so O is exact only where one key dominates.
  for (const int d : {64, 128}) {
    AttentionCase call = MakeCase({.head_dim = d,
                                   .block = {32, 64},
                                   .q_blocks = 2,
                                   .k_blocks = 3,
                                   .density = 1.0,
                                   .spread = 40.0F},
                                  6);
    Run(call);
    for (const float x : call.o) ASSERT_TRUE(std::isfinite(x));
    EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), 1e-6), 1e-3);
  }
}

TEST_P(AttentionTest, ScoresFarBelowAnEarlierBlockAddNothing) {
  // Scores of block 0 are larger by 200, so the weights of block 1 underflow.
  for (const bool winner_first : {true, false}) {
    AttentionCase call = MakeCase({.head_dim = 8,
                                   .block = {8, 8},
                                   .q_blocks = 1,
                                   .k_blocks = 2,
                                   .density = 1.0,
                                   .tails = false},
                                  8);
    std::fill(call.q.begin(), call.q.end(), 1.0F);
    std::fill(call.k.begin(), call.k.end(), 0.0F);
    call.args.scale = 1.0F;
    const int winner = winner_first ? 0 : 1;
    for (int i = 0; i < 64; ++i) call.k[winner * 64 + i] = 25.0F;
    Run(call);
    EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), kTolerance), kTolerance) << winner_first;
    EXPECT_FLOAT_EQ(call.Lse(0, 0), 200.0F + std::log(8.0F));
  }
}

TEST_P(AttentionTest, KeysOfMinusInfinityScoreAreNoKeys) {
  AttentionCase call = MakeCase({.head_dim = 8,
                                 .block = {4, 8},
                                 .q_blocks = 1,
                                 .k_blocks = 2,
                                 .density = 1.0,
                                 .tails = false},
                                9);
  for (float& x : call.q) x = std::abs(x) + 0.1F;
  const float none = -std::numeric_limits<float>::infinity();
  std::fill(call.k.begin(), call.k.begin() + 64, none);  // the whole first block
  for (int c = 0; c < 8; ++c) call.k[64 + 8 + c] = none;  // and one key of the second
  Run(call);
  EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), kTolerance), kTolerance);
  std::fill(call.k.begin(), call.k.end(), none);
  call.ResetOutputs();
  Run(call);
  EXPECT_EQ(ErrorOf(call, DenseMaskedSoftmax(call), 0.0), 0.0);
  EXPECT_EQ(call.Lse(0, 0), none);
}

TEST_P(AttentionTest, DenormalInputsGiveTheMeanOfV) {
  AttentionCase call = MakeCase({.head_dim = 16,
                                 .block = {8, 16},
                                 .q_blocks = 1,
                                 .k_blocks = 2,
                                 .density = 1.0,
                                 .spread = 1e-40F},
                                10);
  Run(call);
  EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), kTolerance), kTolerance);
}

TEST_P(AttentionTest, RepeatsAreBitIdentical) {
  AttentionCase first =
      MakeCase({.head_dim = 128, .block = {64, 64}, .q_blocks = 2, .k_blocks = 5}, 11);
  AttentionCase second = first;
  Run(first);
  Run(second);
  EXPECT_EQ(std::memcmp(first.o.data(), second.o.data(), first.o.size() * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(first.lse.data(), second.lse.data(), first.lse.size() * sizeof(float)), 0);
}

TEST_P(AttentionTest, PartsOfTheListMergeToTheWhole) {
  for (const int parts : {1, 2, 3, 5}) {
    AttentionCase whole =
        MakeCase({.head_dim = 64, .block = {32, 48}, .q_blocks = 3, .k_blocks = 7}, 12);
    Run(whole);
    AttentionCase sum = whole;
    sum.ResetOutputs();
    for (int part = 0; part < parts; ++part) {
      AttentionCase piece = whole;
      piece.list.clear();
      piece.list_begin.assign(1, 0);
      for (int b = 0; b < whole.args.q_blocks; ++b) {
        for (auto at = whole.list_begin[b]; at < whole.list_begin[b + 1]; ++at) {
          if (whole.list[at] % parts == part) piece.list.push_back(whole.list[at]);
        }
        piece.list_begin.push_back(static_cast<std::int64_t>(piece.list.size()));
      }
      piece.ResetOutputs();
      Run(piece);
      for (int b = 0; b < whole.args.q_blocks; ++b) {
        if (part == 0) {
          for (int t = 0; t < whole.q_tokens[b]; ++t) {
            sum.Lse(b, t) = piece.Lse(b, t);
            for (int c = 0; c < 64; ++c) sum.O(b, t, c) = piece.O(b, t, c);
          }
        } else {
          MergePartial(whole.q_tokens[b],
                       64,
                       &sum.O(b, 0, 0),
                       &sum.Lse(b, 0),
                       &piece.O(b, 0, 0),
                       &piece.Lse(b, 0));
        }
      }
    }
    EXPECT_LE(ErrorOf(sum, DenseMaskedSoftmax(whole), kTolerance), kTolerance) << parts << " parts";
  }
}

TEST(AttentionTableTest, TheFirstVariantIsTheDefault) {
  EXPECT_EQ(FindCpuAttention("").name, CpuAttentionVariants().front().name);
}

TEST(AttentionTableTest, AnUnknownVariantIsAnsweredWithTheNearest) {
  try {
    (void)FindCpuAttention("cpu.block_spars");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("'cpu.block_sparse'"));
  }
}

}  // namespace
}  // namespace dbsp::kernels
