// SPDX-License-Identifier: Apache-2.0
// SLA: the classes of blocks, the fp64 reference, and the kernels of the linear part on the
// emulator after those of the exact part.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "core/error.h"
#include "gpu_case.h"
#include "kernels/gpu/sla/kernels.h"
#include "kernels/gpu/sm80/block_sparse.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "kernels/sla.h"

namespace dbsp::kernels::gpu {
namespace {

using testing::CaseOptions;
using testing::Memory;
using testing::Tensor;

std::vector<float> RandomFloats(std::size_t count, std::mt19937_64& random, float spread = 1.0F) {
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

// --- classes ---

TEST(SlaBlocksTest, EveryRowHasTheSharesAndTheRanksOfItsScores) {
  std::mt19937_64 random(1);
  constexpr int kDim = 16;
  constexpr int kRows = 11;
  constexpr int kCols = 37;
  const std::vector<float> q = RandomFloats(kRows * kDim, random);
  const std::vector<float> k = RandomFloats(kCols * kDim, random);
  const SlaBlocks blocks = ClassifyBlocks(q, k, kDim, {.critical = 0.2, .negligible = 0.3});
  for (int i = 0; i < kRows; ++i) {
    EXPECT_EQ(blocks.critical.RowCount(i), 7);  // 7.4
    EXPECT_EQ(blocks.marginal.RowCount(i), kCols - 7 - 11);  // 11.1
    double least_critical = INFINITY, most_marginal = -INFINITY;
    double least_marginal = INFINITY, most_negligible = -INFINITY;
    for (int j = 0; j < kCols; ++j) {
      double score = 0.0;
      for (int c = 0; c < kDim; ++c)
        score += static_cast<double>(q[i * kDim + c]) * k[j * kDim + c];
      ASSERT_FALSE(blocks.critical.Get(i, j) && blocks.marginal.Get(i, j));
      if (blocks.critical.Get(i, j)) {
        least_critical = std::min(least_critical, score);
      } else if (blocks.marginal.Get(i, j)) {
        most_marginal = std::max(most_marginal, score);
        least_marginal = std::min(least_marginal, score);
      } else {
        most_negligible = std::max(most_negligible, score);
      }
    }
    EXPECT_GE(least_critical, most_marginal);
    EXPECT_GE(least_marginal, most_negligible);
  }
}

TEST(SlaBlocksTest, SmallSharesKeepOneCriticalBlockAndTiesGoToTheEarlier) {
  const std::vector<float> q{1.0F, 0.0F};
  const std::vector<float> k(2 * 5, 0.5F);
  const SlaBlocks blocks = ClassifyBlocks(q, k, 2, {.critical = 0.0, .negligible = 0.4});
  EXPECT_EQ(blocks.critical.RowCount(0), 1);
  EXPECT_TRUE(blocks.critical.Get(0, 0));
  EXPECT_EQ(blocks.marginal.RowCount(0), 2);
  EXPECT_TRUE(blocks.marginal.Get(0, 1) && blocks.marginal.Get(0, 2));
  EXPECT_THROW(ClassifyBlocks(q, k, 2, {.critical = 0.8, .negligible = 0.4}), Error);
  EXPECT_THROW(ClassifyBlocks(q, k, 3, {}), Error);
}

TEST(SlaBlocksTest, MeansAreOverTheTokensThereAre) {
  const std::vector<float> x{1, 10, 3, 20, 5, 60};
  EXPECT_EQ(MeanPool(x, 3, 2, 2), (std::vector<float>{2, 15, 5, 60}));
}

// --- the reference ---

SlaBlocks Masks(int rows, int cols) { return {BlockMask(rows, cols), BlockMask(rows, cols)}; }

/// Without marginal blocks SLA is block-sparse attention; with every block marginal and P = 1 each
/// row of O is the same convex mixture of V that a direct sum of weights phi(q) phi(k) gives.
TEST(SlaReferenceTest, LinearAttentionIsASumOfWeights) {
  std::mt19937_64 random(3);
  constexpr int kDim = 8;
  constexpr int kTokens = 13;
  const std::vector<float> q = RandomFloats(kTokens * kDim, random);
  const std::vector<float> k = RandomFloats(kTokens * kDim, random);
  const std::vector<float> v = RandomFloats(kTokens * kDim, random);
  std::vector<float> identity(kDim * kDim, 0.0F);
  for (int c = 0; c < kDim; ++c) identity[c * kDim + c] = 1.0F;
  SlaBlocks blocks = Masks(4, 4);
  for (int i = 0; i < 4; ++i) blocks.marginal.SetRange(i, 0, 4);
  for (const FeatureMap map : {FeatureMap::kSoftmax, FeatureMap::kElu, FeatureMap::kRelu}) {
    const std::vector<double> got = SlaReference({.head_dim = kDim,
                                                  .q_tokens = kTokens,
                                                  .k_tokens = kTokens,
                                                  .q_block = 4,
                                                  .k_block = 4,
                                                  .features = map,
                                                  .q = q,
                                                  .k = k,
                                                  .v = v,
                                                  .projection = identity,
                                                  .blocks = &blocks});
    const auto phi = [&](const std::vector<float>& x, int row, int c) {
      const double value = x[row * kDim + c];
      if (map == FeatureMap::kRelu) return std::max(value, 0.0);
      if (map == FeatureMap::kElu) return value > 0.0 ? value + 1.0 : std::exp(value);
      double sum = 0.0;
      for (int e = 0; e < kDim; ++e) sum += std::exp(static_cast<double>(x[row * kDim + e]));
      return std::exp(value) / sum;
    };
    for (int i = 0; i < kTokens; ++i) {
      std::vector<double> want(kDim, 0.0);
      double total = 0.0;
      for (int j = 0; j < kTokens; ++j) {
        double weight = 0.0;
        for (int c = 0; c < kDim; ++c) weight += phi(q, i, c) * phi(k, j, c);
        total += weight;
        for (int c = 0; c < kDim; ++c) want[c] += weight * v[j * kDim + c];
      }
      for (int c = 0; c < kDim; ++c) {
        EXPECT_NEAR(got[i * kDim + c], total > 0.0 ? want[c] / total : 0.0, 1e-12);
      }
    }
  }
}

// --- the kernels ---

/// One problem: tensors, masks per pass, the exact part's lists, scratch full of NaN.
class SlaCase {
 public:
  SlaCase(const CaseOptions& options, int head_dim, const SlaShares& shares, std::uint64_t seed)
      : options_(options),
        q_(options, options.q_tokens, head_dim),
        k_(options, options.k_tokens, head_dim),
        v_(options, options.k_tokens, head_dim),
        o_(options, options.q_tokens, head_dim),
        lse_(static_cast<std::size_t>(options.batch) * options.heads * options.q_tokens) {
    std::mt19937_64 random(seed);
    q_.Fill(random, 1.0F);
    k_.Fill(random, 1.0F);
    v_.Fill(random, 1.0F);
    call_.shape = {options.batch,
                   options.heads,
                   options.q_tokens,
                   options.k_tokens,
                   head_dim,
                   1.0F / std::sqrt(static_cast<float>(head_dim))};
    for (const float x :
         RandomFloats(static_cast<std::size_t>(head_dim) * head_dim, random, 0.3F)) {
      projection_.push_back(testing::ToBf16(x));
    }
    shares_ = shares;
  }

  /// Classes per pass, lists of the critical blocks, bits of the marginal ones.
  void Classify(int q_block, int k_block) {
    call_.q_block = q_block;
    call_.k_block = k_block;
    begin_ = {0};
    for (int pass = 0; pass < options_.batch * options_.heads; ++pass) {
      const std::vector<float> q = Floats(q_, pass, options_.q_tokens);
      const std::vector<float> k = Floats(k_, pass, options_.k_tokens);
      const int d = call_.shape.head_dim;
      blocks_.push_back(ClassifyBlocks(MeanPool(q, options_.q_tokens, d, q_block),
                                       MeanPool(k, options_.k_tokens, d, k_block),
                                       d,
                                       shares_));
      if (pass == 0) {  // a query block without marginal blocks, and one with nothing else
        BlockMask& marginal = blocks_.back().marginal;
        for (int j = 0; j < marginal.cols(); ++j) marginal.Set(0, j, false);
        BlockMask& critical = blocks_.back().critical;
        for (int j = 0; j < critical.cols(); ++j) critical.Set(critical.rows() - 1, j, false);
      }
      const SlaBlocks& made = blocks_.back();
      for (int i = 0; i < made.critical.rows(); ++i) {
        made.critical.AppendRow(i, list_);
        begin_.push_back(static_cast<std::int32_t>(list_.size()));
      }
      marginal_.insert(marginal_.end(), made.marginal.words().begin(), made.marginal.words().end());
    }
  }

  void RunExact(std::uint64_t seed) {
    AttentionCall exact;
    exact.shape = call_.shape;
    exact.q = q_.View();
    exact.k = k_.View();
    exact.v = v_.View();
    exact.o = o_.View();
    exact.lse = lse_.data();
    exact.begin = begin_.data();
    exact.list = list_.data();
    exact.counter = &counter_;
    counter_ = 0;
    o_.Poison();
    if (call_.shape.head_dim == 64) {
      RunExactKernel<sm80::Block64x64D64>(exact, seed);
    } else {
      RunExactKernel<sm80::Block128x128D128>(exact, seed);
    }
  }

  SlaCall& Call() {
    call_.q = q_.View();
    call_.k = k_.View();
    call_.v = v_.View();
    call_.o = o_.View();
    call_.marginal = marginal_.data();
    call_.projection = projection_.data();
    states_.assign(SlaStateBytes(call_) / 16, kNan);
    sums_.assign(SlaSumBytes(call_) / 16, kNan);
    call_.states = states_.data();
    call_.sums = sums_.data();
    return call_;
  }

  void RunLinear(std::uint64_t seed) {
    CheckSla(Call());
    const sla::Arguments args = sla::ArgumentsOf(call_);
    isa::RunOptions options;
    options.seed = seed;
    const auto bytes = [](const auto& v) {
      return static_cast<std::int64_t>(v.size() * sizeof(v[0]));
    };
    options.regions = {q_.Region("q", false),
                       k_.Region("k", false),
                       v_.Region("v", false),
                       o_.Region("o", true),
                       {"marginal", marginal_.data(), bytes(marginal_), false},
                       {"projection", projection_.data(), bytes(projection_), false},
                       {"states", states_.data(), bytes(states_), true},
                       {"sums", sums_.data(), bytes(sums_), true}};
    if (call_.shape.head_dim == 64) {
      RunKernels<64, 64, 64>(args, options);
    } else {
      RunKernels<128, 128, 128>(args, options);
    }
  }

  /// Relative Frobenius error of O against the reference on the same rounded inputs.
  double Error() {
    double difference = 0.0;
    double size = 0.0;
    const int d = call_.shape.head_dim;
    std::vector<float> projection;
    for (const std::uint16_t x : projection_) projection.push_back(testing::FromBf16(x));
    for (int pass = 0; pass < options_.batch * options_.heads; ++pass) {
      const std::vector<float> q = Floats(q_, pass, options_.q_tokens);
      const std::vector<float> k = Floats(k_, pass, options_.k_tokens);
      const std::vector<float> v = Floats(v_, pass, options_.k_tokens);
      const std::vector<double> want = SlaReference({.head_dim = d,
                                                     .q_tokens = options_.q_tokens,
                                                     .k_tokens = options_.k_tokens,
                                                     .q_block = call_.q_block,
                                                     .k_block = call_.k_block,
                                                     .scale = call_.shape.scale,
                                                     .features = call_.features,
                                                     .q = q,
                                                     .k = k,
                                                     .v = v,
                                                     .projection = projection,
                                                     .blocks = &blocks_[pass]});
      const std::vector<float> got = Floats(o_, pass, options_.q_tokens);
      for (std::size_t i = 0; i < want.size(); ++i) {
        const double off = got[i] - want[i];
        difference += std::isnan(off) ? std::numeric_limits<double>::infinity() : off * off;
        size += want[i] * want[i];
      }
    }
    return std::sqrt(difference / size);
  }

  Tensor& o() { return o_; }

 private:
  static constexpr isa::Vector16 kNan{0x7FC07FC0U, 0x7FC07FC0U, 0x7FC07FC0U, 0x7FC07FC0U};

  std::vector<float> Floats(Tensor& x, int pass, int tokens) const {
    std::vector<float> values;
    for (int t = 0; t < tokens; ++t) {
      for (int c = 0; c < call_.shape.head_dim; ++c) {
        values.push_back(x.At(pass / options_.heads, pass % options_.heads, t, c));
      }
    }
    return values;
  }

  template <class Kernel>
  void RunExactKernel(AttentionCall& exact, std::uint64_t seed) {
    constexpr Variant variant = sm80::VariantOf<Kernel>();
    ASSERT_EQ(variant.q_block, call_.q_block);
    ASSERT_EQ(variant.k_block, call_.k_block);
    const std::vector<std::int32_t> order =
        TileOrder(begin_, QBlocks(variant, exact.shape), BlocksPerEntry(variant));
    exact.order = order.data();
    exact.ordered_tiles = static_cast<int>(order.size());
    CheckCall(variant, exact);
    const sm80::Arguments args = sm80::ArgumentsOf(variant, exact);
    isa::RunOptions options;
    options.seed = seed;
    isa::RunGrid(2, variant.threads, variant.shared_bytes, options, [&] {
      sm80::BlockSparse<Kernel>(args);
    });
  }

  template <int kHeadDim, int kQBlock, int kKBlock>
  static void RunKernels(const sla::Arguments& args, const isa::RunOptions& options) {
    using States = sla::StateLayout<kHeadDim>;
    using Sums = sla::SumLayout<kHeadDim>;
    using Combine = sla::CombineLayout<kHeadDim, kQBlock>;
    const auto run = [&](std::int64_t blocks, int threads, int shared_bytes, auto kernel) {
      isa::RunGrid(static_cast<int>(blocks), threads, shared_bytes, options, [&] { kernel(args); });
    };
    run(sla::StateBlocks(args), States::kThreads, States::kSharedBytes, [](const auto& a) {
      sla::StateKernel<kHeadDim, kKBlock>(a);
    });
    run(sla::SumBlocks(args, kHeadDim), Sums::kThreads, Sums::kSharedBytes, [](const auto& a) {
      sla::SumKernel<kHeadDim>(a);
    });
    run(sla::CombineBlocks(args), Combine::kThreads, Combine::kSharedBytes, [](const auto& a) {
      sla::CombineKernel<kHeadDim, kQBlock>(a);
    });
  }

  CaseOptions options_;
  SlaShares shares_;
  SlaCall call_;
  Tensor q_, k_, v_, o_;
  std::vector<float> lse_;
  std::vector<std::uint16_t> projection_;
  std::vector<SlaBlocks> blocks_;
  std::vector<std::int32_t> begin_;
  std::vector<int> list_;
  std::vector<std::uint64_t> marginal_;
  std::vector<isa::Vector16> states_, sums_;
  std::int32_t counter_ = 0;
};

// States, sums, phi, O_l and O are rounded to bf16 once each: five times 2^-9, averaging out.
constexpr double kTolerance = 5e-3;

TEST(GpuSlaTest, ExactAndLinearPartsMatchFp64AtHeadDim64) {
  for (const FeatureMap map : {FeatureMap::kSoftmax, FeatureMap::kElu, FeatureMap::kRelu}) {
    SlaCase test({.heads = 2, .q_tokens = 150, .k_tokens = 430, .memory = Memory::kTokensFirst},
                 64,
                 {.critical = 0.3, .negligible = 0.2},
                 20 + static_cast<std::uint64_t>(map));
    test.Classify(64, 64);
    test.RunExact(1);
    test.Call().features = map;
    test.RunLinear(2);
    EXPECT_LE(test.Error(), kTolerance) << "map " << static_cast<int>(map);
    EXPECT_TRUE(test.o().GapsArePoison());
  }
}

TEST(GpuSlaTest, ExactAndLinearPartsMatchFp64AtHeadDim128) {
  SlaCase test(
      {.batch = 2, .heads = 1, .q_tokens = 200, .k_tokens = 700, .memory = Memory::kPadded},
      128,
      {.critical = 0.2, .negligible = 0.2},
      31);
  test.Classify(128, 128);
  test.RunExact(3);
  test.RunLinear(4);
  EXPECT_LE(test.Error(), kTolerance);
  EXPECT_TRUE(test.o().GapsArePoison());
}

/// More key blocks than a mask word has bits.
TEST(GpuSlaTest, MasksOfSeveralWords) {
  SlaCase test({.heads = 1, .q_tokens = 150, .k_tokens = 64 * 70 + 5},
               64,
               {.critical = 0.05, .negligible = 0.5},
               41);
  test.Classify(64, 64);
  test.RunExact(5);
  test.RunLinear(6);
  EXPECT_LE(test.Error(), kTolerance);
}

TEST(GpuSlaTest, ThreadOrderDoesNotShow) {
  const auto run = [](std::uint64_t seed) {
    SlaCase test({.heads = 1, .q_tokens = 100, .k_tokens = 200}, 64, {.critical = 0.3}, 51);
    test.Classify(64, 64);
    test.RunExact(1);
    test.RunLinear(seed);
    return test.o();
  };
  const Tensor first = run(1);
  for (const std::uint64_t seed : {2, 3, 4}) EXPECT_TRUE(run(seed) == first) << seed;
}

TEST(GpuSlaTest, PairsOfMaskBitsBecomePairsOfBf16) {
  const std::uint64_t bits = 0xC000000000000006ULL;
  EXPECT_EQ(sla::OnesOf(bits, 0), 0x3F800000U);
  EXPECT_EQ(sla::OnesOf(bits, 2), 0x00003F80U);
  EXPECT_EQ(sla::OnesOf(bits, 4), 0U);
  EXPECT_EQ(sla::OnesOf(bits, 62), 0x3F803F80U);
}

TEST(GpuSlaTest, ABadCallIsRefusedInWords) {
  SlaCase test({.heads = 1, .q_tokens = 100, .k_tokens = 200}, 64, {}, 61);
  test.Classify(64, 64);
  const SlaCall good = test.Call();
  CheckSla(good);
  const auto refused = [&](const char* words, auto change) {
    SlaCall call = good;
    change(call);
    try {
      CheckSla(call);
      ADD_FAILURE() << "accepted; expected: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), ::testing::HasSubstr(words));
    }
  };
  refused("head_dim is 80", [](SlaCall& c) { c.shape.head_dim = 80; });
  refused("q_block is 32", [](SlaCall& c) { c.q_block = 32; });
  refused("k_tokens is 0", [](SlaCall& c) { c.shape.k_tokens = 0; });
  refused("marginal is", [](SlaCall& c) { c.marginal = nullptr; });
  refused("multiples of 8", [](SlaCall& c) { c.v.head_stride += 1; });
  refused("thread blocks", [](SlaCall& c) { c.shape.batch = c.shape.heads = 40000; });
}

}  // namespace
}  // namespace dbsp::kernels::gpu
