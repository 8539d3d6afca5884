// SPDX-License-Identifier: Apache-2.0
// The gather-sparse kernels for compute capability 9.0, run on the emulator.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/block_mask.h"
#include "gpu_case.h"
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "kernels/key_lists.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::kernels::gpu::gather {
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
  bool arranged = false;  ///< whole pieces of runs first
  bool other_v = false;  ///< V lies in memory otherwise than K
};

/// One row of keys per tile; the kinds of rows alternate.
enum class Kind { kScattered, kRunsOf8, kLongRuns, kSingle, kAll, kNone, kKinds };

BlockMask KeysByKind(int tiles, int keys, std::mt19937_64& random) {
  BlockMask mask(tiles, keys);
  const auto draw = [&](int bound) {
    return static_cast<int>(random() % static_cast<std::uint64_t>(bound));
  };
  for (int tile = 0; tile < tiles; ++tile) {
    const auto kind = static_cast<Kind>(tile % static_cast<int>(Kind::kKinds));
    if (kind == Kind::kAll) mask.SetRange(tile, 0, keys);
    if (kind == Kind::kSingle) mask.Set(tile, draw(keys));
    for (int n = 0; n < 1 + keys / 5 && kind == Kind::kScattered; ++n) mask.Set(tile, draw(keys));
    for (int n = 0; n < 1 + keys / 40 && kind == Kind::kRunsOf8; ++n) {
      const int begin = draw(keys);
      mask.SetRange(tile, begin, std::min(keys, begin + 8));
    }
    for (int n = 0; n < 2 && kind == Kind::kLongRuns; ++n) {
      const int begin = draw(keys);
      mask.SetRange(tile, begin, std::min(keys, begin + 70 + draw(200)));
    }
  }
  return mask;
}

template <class Kernel>
class GatherTest : public ::testing::Test {
 public:
  using L = sm90::Layout<Kernel::kTile>;
  static constexpr Variant kVariant = sm90::VariantOf<Kernel>();

  /// A case whose lists are rows of `mask`.
  static GpuCase CaseOf(CaseOptions options, const BlockMask& mask, std::uint64_t seed) {
    options.density = 1.0;
    options.empty = 0.0;
    GpuCase test(kVariant, options, seed);
    test.RemoveFromLists([&](int tile, int key) { return !mask.Get(tile, key); });
    return test;
  }
  static int TilesOf(const CaseOptions& options) {
    const int q_blocks = (options.q_tokens - 1) / kVariant.q_block + 1;
    return options.batch * options.heads * q_blocks;
  }
  static GpuCase MixedCase(const CaseOptions& options, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    return CaseOf(options, KeysByKind(TilesOf(options), options.k_tokens, random), seed);
  }

  static isa::RunReport Run(GpuCase& test, const Launching& how) {
    AttentionCall call = test.Call();
    isa::RunOptions options;
    options.regions = test.Regions();
    KeyLists arranged;
    if (how.arranged) {
      const int tiles = TilesOf({call.shape.batch, call.shape.heads, call.shape.q_tokens});
      arranged.begin.assign(call.begin, call.begin + tiles + 1);
      arranged.list.assign(call.list, call.list + call.begin[tiles]);
      ArrangeRuns(arranged);
      call.list = arranged.list.data();
      const auto bytes = static_cast<std::int64_t>(arranged.list.size() * 4);
      options.regions.push_back({"arranged", arranged.list.data(), bytes, false});
    }
    CaseOptions other{.batch = call.shape.batch, .heads = call.shape.heads};
    other.memory =
        call.k.head_stride < call.k.token_stride ? Memory::kPadded : Memory::kTokensFirst;
    testing::Tensor v(other, call.shape.k_tokens, call.shape.head_dim);
    if (how.other_v) {
      CopyRows(test.v(), call.shape, v);
      call.v = v.View();
      options.regions.push_back(v.Region("other v", false));
    }
    test.Poison();
    options.seed = how.seed;
    options.completion = how.completion;
    options.resident_blocks = how.resident;
    return emulated_gpu::RunAttention(kVariant, call, how.grid, options);
  }

  static void CopyRows(testing::Tensor& from, const AttentionShape& shape, testing::Tensor& to) {
    for (int b = 0; b < shape.batch; ++b) {
      for (int h = 0; h < shape.heads; ++h) {
        for (int t = 0; t < shape.k_tokens; ++t) {
          std::copy_n(from.Row(b, h, t), shape.head_dim, to.Row(b, h, t));
        }
      }
    }
  }

  static void ExpectGood(GpuCase& test) {
    const Deviation off = test.Compare();
    EXPECT_LE(off.o, kOutputTolerance);
    EXPECT_LE(off.lse, kLseTolerance);
    EXPECT_TRUE(test.o().GapsArePoison());
  }

  /// Bytes of one tensor box of 64 keys, K and V together.
  static constexpr std::int64_t kPieceBytes = 2LL * kPieceKeys * Kernel::kTile.head_dim * 2;
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
using Kernels = testing::TypesAfter<void DBSP_GATHER_KERNELS(DBSP_NEXT)>;
#undef DBSP_NEXT
TYPED_TEST_SUITE(GatherTest, Kernels, KernelNames);

TYPED_TEST(GatherTest, ListsOfEveryKindShapesAndStridesMatchFp64) {
  const std::vector<CaseOptions> cases{
      {.batch = 2, .heads = 2, .q_tokens = 257, .k_tokens = 449, .memory = Memory::kTokensFirst},
      {.heads = 3, .q_tokens = 383, .k_tokens = 605, .memory = Memory::kPadded},
      {.heads = 1, .q_tokens = 1, .k_tokens = 1},
      {.batch = 7, .heads = 1, .q_tokens = 64, .k_tokens = 130, .memory = Memory::kPadded}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    for (const bool arranged : {false, true}) {
      SCOPED_TRACE("case " + std::to_string(i) + (arranged ? " arranged" : ""));
      GpuCase test = TestFixture::MixedCase(cases[i], 100 + i);
      TestFixture::Run(test,
                       {.grid = i % 2 == 0 ? 1 : 3,
                        .resident = 2,
                        .seed = i + 1,
                        .arranged = arranged,
                        .other_v = arranged});
      TestFixture::ExpectGood(test);
    }
  }
}

TYPED_TEST(GatherTest, ResultsAreBitIdenticalHoweverThreadsAndCopiesInterleave) {
  GpuCase test = TestFixture::MixedCase({.q_tokens = 400, .k_tokens = 400}, 7);
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

/// Aligned groups of 64 consecutive keys are loaded by TMA. No key is loaded twice.
TYPED_TEST(GatherTest, RunsComeInPieces) {
  constexpr int kKeys = 1000;
  BlockMask mask(1, kKeys);
  mask.SetRange(0, 5, 5 + 3);
  mask.SetRange(0, 100, 100 + 200);  // 3 pieces and 8 keys
  mask.SetRange(0, 400, 400 + 64);  // 1 piece
  mask.SetRange(0, 500, 500 + 63);
  const CaseOptions options{.heads = 1, .q_tokens = 33, .k_tokens = kKeys};
  GpuCase test = TestFixture::CaseOf(options, mask, 21);
  const auto boxes = [](const isa::RunReport& report) {
    // Q is boxes of the thread block's rows.
    return report.tma_load_bytes - TestFixture::L::kQBytes;
  };
  const std::int64_t keys_bytes = 4LL * TestFixture::kVariant.head_dim;  // K and V of a key
  isa::RunReport report = TestFixture::Run(test, {.arranged = true});
  TestFixture::ExpectGood(test);
  EXPECT_EQ(boxes(report), 4 * TestFixture::kPieceBytes);
  EXPECT_EQ(report.copy_async_bytes, (3 + 8 + 63) * keys_bytes);
  // In ascending order, slots 64-127 and 128-191 are in the run of 200; the run of 64 is not
  // aligned.
  report = TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  EXPECT_EQ(boxes(report), 2 * TestFixture::kPieceBytes);
  EXPECT_EQ(report.copy_async_bytes, (3 + 200 + 64 + 63 - 128) * keys_bytes);
}

TYPED_TEST(GatherTest, AFullListIsDenseAttention) {
  BlockMask mask = BlockMask::Full(4, 577);
  const CaseOptions options{.heads = 1, .q_tokens = 200, .k_tokens = 577};
  GpuCase test = TestFixture::CaseOf(options, mask, 11);
  const isa::RunReport report = TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  EXPECT_GT(report.wgmma_multiply_adds, 2LL * 200 * 577 * TestFixture::kVariant.head_dim);
}

TYPED_TEST(GatherTest, TilesMayComeInAnyOrder) {
  GpuCase test = TestFixture::MixedCase({.q_tokens = 450, .k_tokens = 300}, 12);
  std::mt19937_64 random(5);
  std::shuffle(test.order().begin(), test.order().end(), random);
  TestFixture::Run(test, {.grid = 2, .resident = 2});
  TestFixture::ExpectGood(test);
}

TYPED_TEST(GatherTest, WithoutAnyKeyTheOutputIsZero) {
  const CaseOptions options{.batch = 2, .q_tokens = 210, .k_tokens = 50};
  GpuCase test = TestFixture::CaseOf(options, BlockMask(TestFixture::TilesOf(options), 50), 13);
  ASSERT_TRUE(test.order().empty());
  const isa::RunReport report = TestFixture::Run(test, {.grid = 2});
  TestFixture::ExpectGood(test);
  EXPECT_EQ(report.tma_loads, 0);
  EXPECT_EQ(report.copy_async_bytes, 0);
  EXPECT_EQ(report.wgmma_count, 0);
}

TYPED_TEST(GatherTest, LargeScoresDoNotOverflow) {
  GpuCase test =
      TestFixture::MixedCase({.heads = 1, .q_tokens = 400, .k_tokens = 300, .spread = 12.0F}, 14);
  TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
}

/// Rows of keys that are not listed may hold any value, also between listed keys and after a short
/// tail.
TYPED_TEST(GatherTest, ANanInAKeyThatIsNotListedStaysOut) {
  constexpr int kKeys = 200;
  const CaseOptions options{
      .heads = 1, .q_tokens = 2 * TestFixture::kVariant.q_block, .k_tokens = kKeys};
  BlockMask mask(2, kKeys);
  for (int key = 0; key < kKeys; key += 2) mask.Set(0, key);
  mask.SetRange(1, 0, 130);
  GpuCase test = TestFixture::CaseOf(options, mask, 15);
  for (int key = 131; key < kKeys; key += 2) {
    test.k().Row(0, 0, key)[3] = testing::Tensor::kPoison;
    test.v().Row(0, 0, key)[5] = testing::Tensor::kPoison;
  }
  TestFixture::Run(test, {});
  TestFixture::ExpectGood(test);
  for (int row = 0; row < options.q_tokens; row += 17) {
    EXPECT_FALSE(std::isnan(test.o().At(0, 0, row, 5))) << row;
  }
}

/// With lists of this length every ring of buffers wraps around several times.
TYPED_TEST(GatherTest, LongListsOfVeryDifferentLengths) {
  constexpr int kKeys = 2100;
  BlockMask mask(4, kKeys);
  for (int key = 0; key < kKeys; ++key) {
    mask.Set(0, key, key % 7 != 3);
    mask.Set(1, key, key < 3);
    mask.Set(2, key, key % 19 == 0);
    mask.Set(3, key, key % 300 > 80);
  }
  const CaseOptions options{
      .heads = 1, .q_tokens = 4 * TestFixture::kVariant.q_block - 3, .k_tokens = kKeys};
  GpuCase test = TestFixture::CaseOf(options, mask, 16);
  TestFixture::Run(test, {.completion = isa::Completion::kLate});
  TestFixture::ExpectGood(test);
}

}  // namespace
}  // namespace dbsp::kernels::gpu::gather
