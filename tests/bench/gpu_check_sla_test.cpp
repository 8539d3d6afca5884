// SPDX-License-Identifier: Apache-2.0
// The host's half of gpu_check's SLA cases: what they cover, their masks, and how they are judged.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/sla_cases.h"
#include "core/bf16.h"
#include "core/error.h"
#include "kernels/gpu/gpu_variants.h"
#include "tests/core/expect_error.h"

namespace dbsp::gpu_check {
namespace {

using kernels::FeatureMap;
using kernels::gpu::Variant;

std::vector<const Variant*> VariantsFrom(int arch) {
  std::vector<const Variant*> variants;
  for (const Variant& variant : kernels::gpu::Variants()) {
    if (variant.min_arch <= arch) variants.push_back(&variant);
  }
  return variants;
}

std::vector<SlaHead> RandomHeads(const SlaCase& one) {
  std::mt19937_64 random(one.seed);
  std::normal_distribution<float> normal;
  const auto rows = [&](int tokens) {
    std::vector<float> values(static_cast<std::size_t>(tokens) * one.shape.head_dim);
    for (float& value : values) value = FromBf16(ToBf16(normal(random)));
    return values;
  };
  std::vector<SlaHead> heads;
  for (int pass = 0; pass < one.passes(); ++pass) {
    heads.push_back({rows(one.shape.q_tokens), rows(one.shape.k_tokens), rows(one.shape.k_tokens)});
  }
  return heads;
}

TEST(GpuCheckSlaTest, CasesMeetEveryKernelWithEveryPhi) {
  std::set<std::string> names;
  std::set<Layout> layouts;
  bool q_tail = false;
  bool k_tail = false;
  bool several_words = false;
  bool several_sums = false;
  bool one_token = false;
  bool whole = false;
  for (int index = 0; index < kSlaCases; ++index) {
    const SlaCase one = SlaCaseOf(index, 1, false);
    const Blocks blocks = one.blocks();
    names.insert(one.Name());
    layouts.insert(one.layout);
    const bool q_whole = one.shape.q_tokens % one.q_block == 0;
    const bool k_whole = one.shape.k_tokens % one.k_block == 0;
    q_tail = q_tail || !q_whole;
    k_tail = k_tail || !k_whole;
    whole = whole || (q_whole && k_whole);
    several_words = several_words || blocks.cols() > 64;
    several_sums = several_sums || blocks.rows() > 128;
    one_token = one_token || (one.shape.q_tokens == 1 && one.shape.k_tokens == 1);
  }
  EXPECT_EQ(names.size(), 24U) << "8 kernels with 3 maps";
  EXPECT_TRUE(names.contains("sla.block64x128.d128.elu"));
  EXPECT_EQ(layouts.size(), 3U);
  EXPECT_TRUE(q_tail && k_tail && whole && several_words && several_sums && one_token);
}

TEST(GpuCheckSlaTest, SmallCasesAreSmallAndMeetEveryKernel) {
  std::set<std::tuple<int, int, int>> kernels;
  std::set<FeatureMap> maps;
  for (int index = 0; index < kSmallSlaCases; ++index) {
    const SlaCase one = SlaCaseOf(index, 1, true);
    kernels.insert({one.shape.head_dim, one.q_block, one.k_block});
    maps.insert(one.features);
    EXPECT_LE(one.shape.q_tokens, 200);
    EXPECT_LE(one.shape.k_tokens, 400);
  }
  EXPECT_EQ(kernels.size(), 8U);
  EXPECT_EQ(maps.size(), 3U);
}

TEST(GpuCheckSlaTest, ACaseIsDrawnFromItsNumberAndTheSeed) {
  EXPECT_EQ(SlaCaseOf(9, 1, false).seed, SlaCaseOf(9, 1, false).seed);
  EXPECT_NE(SlaCaseOf(9, 1, false).seed, SlaCaseOf(9, 2, false).seed);
  EXPECT_EQ(SlaProjectionOf(SlaCaseOf(9, 1, false)), SlaProjectionOf(SlaCaseOf(9, 1, false)));
}

TEST(GpuCheckSlaTest, BothLaunchesTakeTheReferencesMasks) {
  bool many_words = false;
  for (int index = 0; index < kSlaCases; ++index) {
    const SlaCase one = SlaCaseOf(index, 1, false);
    SCOPED_TRACE(one.Name());
    const SlaMasks masks = SlaMasksOf(one, RandomHeads(one));
    const Blocks blocks = one.blocks();
    ASSERT_EQ(masks.critical.tiles(), std::int64_t{one.passes()} * blocks.rows());
    const std::size_t words = (static_cast<std::size_t>(blocks.cols()) + 63) / 64;
    many_words = many_words || words > 1;
    ASSERT_EQ(masks.marginal.size(), masks.critical.tiles() * words);
    for (std::int64_t tile = 0; tile < masks.critical.tiles(); ++tile) {
      const kernels::SlaBlocks& of = masks.passes[tile / blocks.rows()];
      const int row = static_cast<int>(tile % blocks.rows());
      std::set<int> listed(masks.critical.Tile(tile).begin(), masks.critical.Tile(tile).end());
      for (int col = 0; col < static_cast<int>(words) * 64; ++col) {
        const bool bit =
            masks.marginal[tile * words + static_cast<std::size_t>(col) / 64] >> (col % 64) & 1U;
        const bool inside = col < blocks.cols();
        ASSERT_EQ(bit, inside && of.marginal.Get(row, col)) << tile << ", " << col;
        ASSERT_EQ(listed.contains(col), inside && of.critical.Get(row, col));
        ASSERT_FALSE(bit && listed.contains(col)) << "a block of two classes";
      }
    }
    std::int64_t marginal = 0;
    for (const kernels::SlaBlocks& pass : masks.passes) marginal += pass.marginal.Count();
    EXPECT_TRUE(marginal > 0 || one.shape.k_tokens == 1) << "nothing for the linear part";
    EXPECT_GT(masks.critical.list.size(), 0U);
    EXPECT_EQ(masks.passes[0].marginal.RowCount(0), 0);
    EXPECT_EQ(masks.passes[0].critical.RowCount(blocks.rows() - 1), 0);
  }
  EXPECT_TRUE(many_words);
}

TEST(GpuCheckSlaTest, EveryDeviceHasAKernelForTheExactPart) {
  for (const int arch : {80, 90}) {
    const auto usable = VariantsFrom(arch);
    std::set<int> families;
    for (int index = 0; index < kSlaCases; ++index) {
      const SlaCase one = SlaCaseOf(index, 1, false);
      const Variant& variant = ExactVariantOf(one, usable, index / kSmallSlaCases);
      EXPECT_EQ(variant.list, kernels::gpu::ListKind::kBlocks);
      EXPECT_EQ(variant.head_dim, one.shape.head_dim);
      EXPECT_EQ(variant.q_block, one.q_block);
      EXPECT_EQ(variant.k_block, one.k_block);
      families.insert(variant.min_arch);
    }
    EXPECT_EQ(families.size(), arch == 80 ? 1U : 2U) << "families take turns";
  }
  dbsp::testing::ExpectError(ErrorCode::kNotFound, {"sla.block64x64.d128", "exact part"}, [] {
    (void)ExactVariantOf(SlaCaseOf(0, 1, false), {}, 0);
  });
}

/// A drawn case's right outputs, as a kernel rounds them.
struct Judged {
  SlaCase one;
  std::vector<SlaHead> heads;
  std::vector<std::uint16_t> projection;
  SlaMasks masks;
  std::vector<double> reference;

  explicit Judged(int index) : one(SlaCaseOf(index, 1, true)), heads(RandomHeads(one)) {
    projection = SlaProjectionOf(one);
    masks = SlaMasksOf(one, heads);
    reference = Reference(masks, 1);
  }
  [[nodiscard]] std::vector<double> Reference(const SlaMasks& with, int threads) const {
    return SlaReferenceOf(one, heads, projection, with, threads);
  }
  [[nodiscard]] SlaVerdict Of(const std::vector<double>& outputs) const {
    std::vector<std::uint16_t> o;
    for (const double value : outputs) o.push_back(ToBf16(static_cast<float>(value)));
    return CompareSla(o, reference, one.shape.head_dim);
  }
};

TEST(GpuCheckSlaTest, RoundingPassesAndFaultsDoNot) {
  for (const int index : {4, 5, 6, 7}) {
    const Judged judged(index);
    SCOPED_TRACE(judged.one.Name());
    EXPECT_EQ(judged.Reference(judged.masks, 3), judged.reference) << "threads change nothing";
    const SlaVerdict rounded = judged.Of(judged.reference);
    EXPECT_TRUE(rounded.good());
    EXPECT_GT(rounded.relative_error, 0.0);

    SlaMasks fewer = judged.masks;  // one query block misses one of its marginal blocks
    bool cleared = false;
    for (kernels::SlaBlocks& pass : fewer.passes) {
      for (int i = 0; i < pass.marginal.rows(); ++i) {
        for (int j = 0; j < pass.marginal.cols() && !cleared; ++j) {
          cleared = pass.marginal.Get(i, j);
          pass.marginal.Set(i, j, false);
        }
      }
    }
    ASSERT_TRUE(cleared);
    EXPECT_FALSE(judged.Of(judged.Reference(fewer, 1)).good());

    std::vector<double> unwritten = judged.reference;
    unwritten.back() = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(judged.Of(unwritten).relative_error, std::numeric_limits<double>::infinity());

    Judged other = judged;  // another phi
    other.one.features =
        other.one.features == FeatureMap::kRelu ? FeatureMap::kElu : FeatureMap::kRelu;
    EXPECT_FALSE(judged.Of(other.Reference(other.masks, 1)).good());
  }
}

TEST(GpuCheckSlaTest, RowsOfNeitherClassAreExactlyZero) {
  const Judged judged(0);  // one query block: it has lost both of its classes
  const auto dim = static_cast<std::size_t>(judged.one.shape.head_dim);
  for (std::size_t i = 0; i < dim; ++i) ASSERT_EQ(judged.reference[i], 0.0);
  EXPECT_TRUE(judged.Of(judged.reference).good());
  std::vector<double> touched = judged.reference;
  touched[3] = 1e-9;
  EXPECT_EQ(judged.Of(touched).wrong_zero_rows, 1);
  EXPECT_FALSE(judged.Of(touched).good());
}

}  // namespace
}  // namespace dbsp::gpu_check
