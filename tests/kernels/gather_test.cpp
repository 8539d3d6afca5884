// SPDX-License-Identifier: Apache-2.0
// Gather attention on the CPU against a dense masked softmax in double precision.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "kernels/attention.h"
#include "kernels/key_lists.h"
#include "tests/kernels/attention_case.h"

namespace dbsp::kernels {
namespace {

using testing::AttentionCase;
using testing::DenseMaskedSoftmax;
using testing::ErrorOf;
using testing::MakeCase;

/// As in attention_test.cpp: fp32 sums of a few hundred terms.
constexpr double kTolerance = 5e-6;

/// A case with the lists that keep(row, key) describes. The last query block has `tail` queries.
AttentionCase CaseOf(
    int m, int rows, int keys, int tail, int d, const std::function<bool(int, int)>& keep) {
  AttentionCase made = MakeCase({.head_dim = d,
                                 .block = {m, 1},
                                 .q_blocks = rows,
                                 .k_blocks = keys,
                                 .density = 0.0,
                                 .tails = false},
                                static_cast<std::uint64_t>(m + rows + keys + tail + d));
  made.q_tokens.back() = tail;
  BlockMask bits(rows, keys);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < keys; ++j) {
      if (keep(i, j)) bits.Set(i, j);
    }
  }
  KeyLists lists;
  AppendKeyLists(bits, lists);
  made.list.assign(lists.list.begin(), lists.list.end());
  made.list_begin.assign(lists.begin.begin(), lists.begin.end());
  made.Bind();
  return made;
}

void ExpectRight(AttentionCase call, const std::string& what) {
  AttentionGather(call.Bind());
  EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), kTolerance), kTolerance) << what;
}

TEST(GatherTest, EqualsADenseMaskedSoftmaxForAnyListAndTail) {
  std::mt19937_64 random(5);
  for (const int m : {64, 128}) {
    for (const int tail : {1, 17, m - 1, m}) {
      for (const double density : {0.02, 0.3, 0.6, 0.97}) {
        const int keys = 130 + static_cast<int>(random() % 300);
        const int d = 8 * (1 + static_cast<int>(random() % 16));
        const auto keep = [&](int, int) {
          return static_cast<double>(random() % 1000) < 1000 * density;
        };
        ExpectRight(CaseOf(m, 3, keys, tail, d, keep),
                    fmt::format("M {} tail {} density {} keys {} d {}", m, tail, density, keys, d));
      }
    }
  }
}

/// Runs of 16 and more keys are read where they are, shorter ones are packed, and both end chunks.
TEST(GatherTest, TakesRunsOfEveryLength) {
  for (const int run : {2, 3, 8, 15, 16, 17, 31, 64, 127, 128, 129, 300}) {
    const auto keep = [&](int row, int key) { return (key + row) % (run + 1) != run; };
    ExpectRight(CaseOf(64, 2, 420, 33, 64, keep), fmt::format("runs of {}", run));
  }
  const auto mixed = [](int, int key) { return key % 40 < 20 || key % 3 == 0; };
  ExpectRight(CaseOf(128, 2, 700, 100, 128, mixed), "short and long runs in turn");
}

TEST(GatherTest, TakesOneKeyAndAllKeys) {
  ExpectRight(CaseOf(64, 3, 200, 5, 64, [](int i, int j) { return j == 99 * i; }), "one key");
  ExpectRight(CaseOf(128, 2, 515, 127, 64, [](int, int) { return true; }), "all keys");
  ExpectRight(CaseOf(64, 1, 1, 1, 64, [](int, int) { return true; }), "one query and one key");
}

TEST(GatherTest, RowsWithoutKeysGiveZeroAndMinusInfinity) {
  AttentionCase call = CaseOf(64, 3, 90, 10, 64, [](int row, int) { return row == 1; });
  AttentionGather(call.Bind());
  EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(call), kTolerance), kTolerance);
  for (const int row : {0, 2}) {
    for (int t = 0; t < call.q_tokens[row]; ++t) {
      EXPECT_EQ(call.Lse(row, t), -std::numeric_limits<float>::infinity());
      for (int c = 0; c < 64; ++c) ASSERT_EQ(call.O(row, t, c), 0.0F);
    }
  }
}

TEST(GatherTest, KeysThatNoListNamesAreNotUsed) {
  AttentionCase call = CaseOf(64, 2, 300, 64, 64, [](int, int key) { return key % 5 == 2; });
  const AttentionCase clean = call;
  for (int j = 0; j < 300; ++j) {
    if (j % 5 == 2) continue;
    for (int c = 0; c < 64; ++c) {
      call.k[static_cast<std::size_t>(j) * 64 + c] = std::numeric_limits<float>::quiet_NaN();
      call.v[static_cast<std::size_t>(j) * 64 + c] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  AttentionGather(call.Bind());
  EXPECT_LE(ErrorOf(call, DenseMaskedSoftmax(clean), kTolerance), kTolerance);
}

/// Attention does not depend on the order of keys: the GPU's lists have whole runs first.
TEST(GatherTest, TheOrderOfArrangeRunsGivesTheSame) {
  AttentionCase call =
      CaseOf(64, 2, 500, 64, 64, [](int, int j) { return j % 7 == 0 || j / 90 == 3; });
  const auto expected = DenseMaskedSoftmax(call);
  KeyLists lists{{call.list_begin.begin(), call.list_begin.end()},
                 {call.list.begin(), call.list.end()}};
  ArrangeRuns(lists);
  ASSERT_NE(std::vector<int>(lists.list.begin(), lists.list.end()), call.list);
  call.list.assign(lists.list.begin(), lists.list.end());
  AttentionGather(call.Bind());
  EXPECT_LE(ErrorOf(call, expected, kTolerance), kTolerance);
}

/// Key lists of whole blocks, of block-sparse attention with the same blocks, are the same mask.
TEST(GatherTest, AgreesWithBlockSparseAttentionWhereTheMasksAreEqual) {
  for (const int side : {64, 128}) {
    AttentionCase blocks = MakeCase(
        {.head_dim = 128, .block = {side, side}, .q_blocks = 3, .k_blocks = 5, .density = 0.6},
        static_cast<std::uint64_t>(side));
    AttentionCase keys = blocks;
    keys.args.block.k = 1;
    keys.args.k_blocks = blocks.args.k_blocks * side;
    keys.k_tokens.assign(static_cast<std::size_t>(keys.args.k_blocks), 1);
    keys.list.clear();
    keys.list_begin.assign(1, 0);
    for (int i = 0; i < blocks.args.q_blocks; ++i) {
      for (auto at = blocks.list_begin[i]; at < blocks.list_begin[i + 1]; ++at) {
        const int block = blocks.list[at];
        for (int t = 0; t < blocks.k_tokens[block]; ++t) keys.list.push_back(block * side + t);
      }
      keys.list_begin.push_back(static_cast<std::int64_t>(keys.list.size()));
    }
    const auto expected = DenseMaskedSoftmax(blocks);
    AttentionBlockSparse(blocks.Bind());
    AttentionGather(keys.Bind());
    EXPECT_LE(ErrorOf(blocks, expected, kTolerance), kTolerance) << side;
    EXPECT_LE(ErrorOf(keys, expected, kTolerance), kTolerance) << side;
  }
}

TEST(GatherTest, RefusesBlocksOfSeveralKeys) {
  AttentionCase call = MakeCase({.block = {64, 2}}, 1);
  try {
    AttentionGather(call.Bind());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(error.what(),
                 "kernel cpu.gather: head_dim 64 with blocks 64x2; expected head_dim 8, 16, .. "
                 "256, 1 to 512 queries per block and 1 key per block");
  }
}

TEST(GatherTest, TheTableSaysWhichListsAKernelTakes) {
  EXPECT_EQ(FindCpuAttention("cpu.block_sparse").list, ListForm::kBlocks);
  EXPECT_EQ(FindCpuAttention("cpu.gather").list, ListForm::kKeys);
  EXPECT_EQ(FindCpuAttention("cpu.reference").list, ListForm::kBoth);
}

}  // namespace
}  // namespace dbsp::kernels
