// SPDX-License-Identifier: Apache-2.0
// The portable block-sparse kernels, run on the emulator, and the complete arithmetic of their
// tiles, fragments and steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "gpu_case.h"
#include "kernels/gpu/sm80/block_sparse.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::kernels::gpu::sm80 {
namespace {

using testing::CaseOptions;
using testing::Deviation;
using testing::GpuCase;
using testing::Memory;

// Weights are rounded to bf16 (2^-9 each, averaging out), sums and maxima are fp32.
constexpr double kOutputTolerance = 5e-3;
constexpr double kLseTolerance = 1e-4;

TEST(Sm80TileTest, EveryChunkHasItsOwnPlaceInATile) {
  for (const int rows : {64, 128}) {
    for (const int chunks : {8, 16}) {
      std::set<int> places;
      for (int row = 0; row < rows; ++row) {
        for (int chunk = 0; chunk < chunks; ++chunk) {
          const int at = TileOffset(rows, row, chunk);
          EXPECT_EQ(at % kChunkBytes, 0);
          EXPECT_LT(at, rows * chunks * kChunkBytes);
          EXPECT_TRUE(places.insert(at).second);
        }
      }
    }
  }
}

/// Eight rows that an ldmatrix reads at one chunk, and eight chunks that a row's threads write,
/// use every bank of shared memory once.
TEST(Sm80TileTest, RowsOfAChunkAndChunksOfARowLieInDifferentBanks) {
  const auto bank = [](int offset) { return offset / 4 % 32; };
  for (int row = 0; row < 64; ++row) {
    for (int chunk = 0; chunk < 16; ++chunk) {
      std::set<int> down;
      std::set<int> across;
      for (int i = 0; i < 8; ++i) {
        down.insert(bank(TileOffset(64, row / 8 * 8 + i, chunk)));
        across.insert(bank(TileOffset(64, row, chunk / 8 * 8 + i)));
      }
      EXPECT_EQ(down.size(), 8U);
      EXPECT_EQ(across.size(), 8U);
    }
  }
}

/// The address a lane gives for its row is TileOffset of that row and chunk, at every column step.
TEST(Sm80TileTest, LaneAddressesFollowTheTile) {
  constexpr int kRows = 64;
  constexpr int kTile = 3 * 1024;  // a tile starts anywhere that 1024 divides
  for (int lane = 0; lane < kWarp; ++lane) {
    const int matrix = lane / 8;
    for (int kk = 0; kk < 8; ++kk) {
      const int rows_first =
          kTile + TileOffset(kRows, lane % 8 + matrix % 2 * 8, 2 * kk + matrix / 2);
      const int columns_first =
          kTile + TileOffset(kRows, lane % 8 + matrix / 2 * 8, 2 * kk + matrix % 2);
      EXPECT_EQ(ColumnStep(kTile + LaneOffsetRowsFirst(lane), kRows, kk),
                static_cast<std::uint32_t>(rows_first));
      EXPECT_EQ(ColumnStep(kTile + LaneOffsetColumnsFirst(lane), kRows, kk),
                static_cast<std::uint32_t>(columns_first));
    }
  }
}

TEST(Sm80TileTest, AccumulatorsCoverTheirTileOnce) {
  std::set<std::pair<int, int>> seen;
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int i = 0; i < 4; ++i) {
      seen.insert({AccumulatorRow(lane, i), AccumulatorColumn(lane, i)});
    }
  }
  EXPECT_EQ(seen.size(), 16U * 8U);
  EXPECT_EQ(*seen.rbegin(), (std::pair{15, 7}));
}

/// The number of steps equals a count over the listed keys, 64 at a time.
TEST(Sm80TileTest, StepsAreThePiecesThatHoldAKey) {
  for (const int k_block : {64, 128, 256}) {
    for (int k_tokens = 1; k_tokens < 700; ++k_tokens) {
      const int k_blocks = (k_tokens - 1) / k_block + 1;
      for (int last = 0; last < k_blocks; ++last) {
        int want = 0;
        for (int key = 0; key < k_block; key += kStepKeys) {
          want += last * k_block + key < k_tokens ? 1 : 0;
        }
        ASSERT_EQ(StepsOf(1, last, k_block, k_tokens), want) << k_block << ' ' << k_tokens;
        ASSERT_EQ(StepsOf(3, last, k_block, k_tokens), want + 2 * (k_block / kStepKeys));
      }
    }
  }
}

struct Launching {
  int grid = 1;
  int resident = 1;
  std::uint64_t seed = 1;
  isa::Completion completion = isa::Completion::kRandom;
};

template <class Kernel>
class Sm80Test : public ::testing::Test {
 public:
  static constexpr Variant kVariant = VariantOf<Kernel>();

  static isa::RunReport Run(GpuCase& test, const Launching& how) {
    const AttentionCall call = test.Call();
    test.Poison();
    isa::RunOptions options;
    options.seed = how.seed;
    options.completion = how.completion;
    options.resident_blocks = how.resident;
    options.regions = test.Regions();
    return emulated_gpu::RunAttention(kVariant, call, how.grid, options);
  }

  static void ExpectGood(GpuCase& test) {
    const Deviation off = test.Compare();
    EXPECT_LE(off.o, kOutputTolerance);
    EXPECT_LE(off.lse, kLseTolerance);
    EXPECT_TRUE(test.o().GapsArePoison());
  }
};

struct KernelNames {
  template <class Kernel>
  static std::string GetName(int) {
    std::string name = Kernel::kName;
    std::replace(name.begin(), name.end(), '.', '_');
    return name;
  }
};

#define DBSP_NEXT(Kernel) , Kernel
using Kernels = testing::TypesAfter<void DBSP_SM80_KERNELS(DBSP_NEXT)>;
#undef DBSP_NEXT
TYPED_TEST_SUITE(Sm80Test, Kernels, KernelNames);

TYPED_TEST(Sm80Test, RandomMasksShapesAndStridesMatchFp64) {
  // Tails of 1 token and of all but one, half a block, several tiles for a persistent thread block.
  const std::vector<CaseOptions> cases{
      {.batch = 2, .heads = 2, .q_tokens = 257, .k_tokens = 449, .memory = Memory::kTokensFirst},
      {.heads = 3, .q_tokens = 127, .k_tokens = 705, .density = 0.7, .memory = Memory::kPadded},
      {.q_tokens = 130, .k_tokens = 1025, .density = 0.25},
      {.heads = 1, .q_tokens = 1, .k_tokens = 1, .density = 1.0, .empty = 0.0},
      {.batch = 3, .heads = 1, .q_tokens = 64, .k_tokens = 191, .memory = Memory::kPadded}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    GpuCase test(TestFixture::kVariant, cases[i], 100 + i);
    TestFixture::Run(test, {.grid = i % 2 == 0 ? 1 : 3, .resident = 2, .seed = i + 1});
    TestFixture::ExpectGood(test);
  }
}

TYPED_TEST(Sm80Test, ResultsAreBitIdenticalHoweverThreadsAndCopiesInterleave) {
  GpuCase test(TestFixture::kVariant, {.heads = 1, .q_tokens = 200, .k_tokens = 600}, 7);
  TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  const auto o = test.o();
  const auto lse = test.lse();
  const std::vector<Launching> ways{
      {.seed = 2},
      {.grid = 2, .resident = 2, .seed = 3},
      {.completion = isa::Completion::kEarly},
      {.grid = 4, .resident = 1, .seed = 4, .completion = isa::Completion::kLate}};
  for (std::size_t i = 0; i < ways.size(); ++i) {
    TestFixture::Run(test, ways[i]);
    EXPECT_TRUE(test.o() == o) << "way " << i;
    EXPECT_EQ(test.lse(), lse) << "way " << i;
  }
}

/// Dense attention multiplies every pair of 64-key steps and 32-row warps twice, and no more.
TYPED_TEST(Sm80Test, AFullListIsDenseAttentionAndDoesNoOtherWork) {
  constexpr Variant variant = TestFixture::kVariant;
  GpuCase test(
      variant, {.heads = 1, .q_tokens = 200, .k_tokens = 580, .density = 1.0, .empty = 0.0}, 11);
  const isa::RunReport report = TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  const int tiles = (200 - 1) / variant.q_block + 1;
  const std::int64_t steps = tiles * ((580 - 1) / 64 + 1LL);
  const std::int64_t products = 2LL * (variant.tile_m / 16) * (64 / 8) * (variant.head_dim / 16);
  EXPECT_EQ(report.mma_count, steps * products);
  EXPECT_EQ(report.copy_async_bytes, 2LL * variant.head_dim * (200 + 2LL * tiles * 580));
}

TYPED_TEST(Sm80Test, TilesMayComeInAnyOrderAndBeEmpty) {
  GpuCase test(TestFixture::kVariant, {.q_tokens = 450, .k_tokens = 300, .empty = 0.6}, 12);
  const std::size_t with_keys = test.order().size();
  test.OrderEveryEntry();
  ASSERT_GT(test.order().size(), with_keys);
  std::mt19937_64 random(5);
  std::shuffle(test.order().begin(), test.order().end(), random);
  TestFixture::Run(test, {.grid = 2, .resident = 2});
  TestFixture::ExpectGood(test);
}

TYPED_TEST(Sm80Test, WithoutAnyKeyTheOutputIsZero) {
  GpuCase test(TestFixture::kVariant, {.batch = 2, .q_tokens = 210, .empty = 1.0}, 13);
  ASSERT_TRUE(test.order().empty());
  const isa::RunReport report = TestFixture::Run(test, {.grid = 2});
  TestFixture::ExpectGood(test);
  EXPECT_EQ(report.copy_async_bytes, 0);
  EXPECT_EQ(report.mma_count, 0);
}

/// Scores that grow along the keys move the reference of the exponents many times.
TYPED_TEST(Sm80Test, LargeScoresDoNotOverflow) {
  GpuCase test(TestFixture::kVariant, {.heads = 1, .q_tokens = 130, .spread = 12.0F}, 14);
  TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
}

/// Query block 0 alone lists key block 1, which holds NaN in K and V: no other row may depend on
/// it.
TYPED_TEST(Sm80Test, ANanInABlockThatIsNotListedStaysOut) {
  const int block = TestFixture::kVariant.k_block;
  GpuCase test(TestFixture::kVariant,
               {.heads = 1,
                .q_tokens = 2 * TestFixture::kVariant.q_block,
                .k_tokens = 5 * block,
                .density = 1.0,
                .empty = 0.0},
               15);
  test.RemoveFromLists([](int tile, int listed) { return tile != 0 && listed == 1; });
  for (int t = block; t < 2 * block; ++t) {
    test.k().Row(0, 0, t)[3] = testing::Tensor::kPoison;
    test.v().Row(0, 0, t)[5] = testing::Tensor::kPoison;
  }
  TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  EXPECT_TRUE(std::isnan(test.o().At(0, 0, 0, 5)));
}

/// With lists of this length the ring wraps around many times.
TYPED_TEST(Sm80Test, LongListsOfVeryDifferentLengths) {
  GpuCase test(TestFixture::kVariant, {.heads = 1, .q_tokens = 256, .k_tokens = 1500}, 16);
  std::mt19937_64 random(6);
  test.RemoveFromLists([&](int tile, int) { return tile % 2 == 1 && random() % 8 != 0; });
  TestFixture::Run(test, {.completion = isa::Completion::kLate});
  TestFixture::ExpectGood(test);
}

}  // namespace
}  // namespace dbsp::kernels::gpu::sm80
