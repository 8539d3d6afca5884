// SPDX-License-Identifier: Apache-2.0
// The block-sparse kernels for compute capability 9.0, their run on the emulator.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gpu_case.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::kernels::gpu::sm90 {
namespace {

using testing::CaseOptions;
using testing::Deviation;
using testing::GpuCase;
using testing::Memory;

// Weights are rounded to bf16 (2^-9 each, averaging out), sums and maxima are fp32.
constexpr double kOutputTolerance = 5e-3;
constexpr double kLseTolerance = 1e-4;

struct Launching {
  int grid = 1;
  int resident = 1;
  std::uint64_t seed = 1;
  isa::Completion completion = isa::Completion::kRandom;
};

template <class Kernel>
class Sm90Test : public ::testing::Test {
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
using Kernels = testing::TypesAfter<void DBSP_SM90_KERNELS(DBSP_NEXT)>;
#undef DBSP_NEXT
TYPED_TEST_SUITE(Sm90Test, Kernels, KernelNames);

TYPED_TEST(Sm90Test, RandomMasksShapesAndStridesMatchFp64) {
  // Tails of 1 token and of all but one, one block, several tiles for a persistent thread block.
  const std::vector<CaseOptions> cases{
      {.batch = 2, .heads = 2, .q_tokens = 257, .k_tokens = 449, .memory = Memory::kTokensFirst},
      {.heads = 3, .q_tokens = 383, .k_tokens = 705, .density = 0.7, .memory = Memory::kPadded},
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

TYPED_TEST(Sm90Test, ResultsAreBitIdenticalHoweverThreadsAndCopiesInterleave) {
  const CaseOptions options{.q_tokens = 200, .k_tokens = 600};
  GpuCase test(TestFixture::kVariant, options, 7);
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

TYPED_TEST(Sm90Test, AFullListIsDenseAttention) {
  GpuCase test(TestFixture::kVariant,
               {.heads = 1, .q_tokens = 200, .k_tokens = 560, .density = 1.0, .empty = 0.0},
               11);
  const isa::RunReport report = TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  EXPECT_GT(report.wgmma_multiply_adds, 2LL * 200 * 560 * TestFixture::kVariant.head_dim);
}

TYPED_TEST(Sm90Test, TilesMayComeInAnyOrderAndBeEmpty) {
  GpuCase test(TestFixture::kVariant, {.q_tokens = 450, .k_tokens = 300, .empty = 0.6}, 12);
  const std::size_t with_keys = test.order().size();
  test.OrderEveryEntry();
  ASSERT_GT(test.order().size(), with_keys);
  std::mt19937_64 random(5);
  std::shuffle(test.order().begin(), test.order().end(), random);
  TestFixture::Run(test, {.grid = 2, .resident = 2});
  TestFixture::ExpectGood(test);
}

TYPED_TEST(Sm90Test, WithoutAnyKeyTheOutputIsZero) {
  GpuCase test(TestFixture::kVariant, {.batch = 2, .q_tokens = 210, .empty = 1.0}, 13);
  ASSERT_TRUE(test.order().empty());
  const isa::RunReport report = TestFixture::Run(test, {.grid = 2});
  TestFixture::ExpectGood(test);
  EXPECT_EQ(report.tma_loads, 0);
  EXPECT_EQ(report.wgmma_count, 0);
}

TYPED_TEST(Sm90Test, LargeScoresDoNotOverflow) {
  GpuCase test(TestFixture::kVariant, {.heads = 1, .q_tokens = 130, .spread = 12.0F}, 14);
  TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
}

/// Query block 0 alone lists key block 1, which holds NaN in K and V: no other row may depend on
/// it.
TYPED_TEST(Sm90Test, ANanInABlockThatIsNotListedStaysOut) {
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

/// With lists of this length every ring of buffers wraps around several times. Every other list has
/// only the first and the last few blocks: where warpgroups have their own lists, one of them has
/// pending outputs while it skips more steps than there are buffers.
TYPED_TEST(Sm90Test, LongListsBesideShortOnes) {
  constexpr int kTokens = 2500;
  const int blocks = (kTokens - 1) / TestFixture::kVariant.k_block + 1;
  GpuCase test(TestFixture::kVariant,
               {.heads = 1, .q_tokens = 256, .k_tokens = kTokens, .density = 0.9, .empty = 0.0},
               16);
  test.RemoveFromLists([&](int tile, int block) {
    const int odd = tile / 2 % 2;  // the long list is the first one, then the second
    return tile % 2 != odd && block >= 3 && block < blocks - 4;
  });
  for (const isa::Completion completion : {isa::Completion::kLate, isa::Completion::kRandom}) {
    TestFixture::Run(test, {.completion = completion});
    TestFixture::ExpectGood(test);
  }
}

}  // namespace
}  // namespace dbsp::kernels::gpu::sm90
