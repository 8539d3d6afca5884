// SPDX-License-Identifier: Apache-2.0
// The cases of SLA in gpu_check, their masks and the comparison with the reference.
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

std::vector<SlaHead> RandomHeads(const SlaCase& sla_case) {
  std::mt19937_64 random(sla_case.seed);
  std::normal_distribution<float> normal;
  const auto rows = [&](int tokens) {
    std::vector<float> values(static_cast<std::size_t>(tokens) * sla_case.shape.head_dim);
    for (float& value : values) value = FromBf16(ToBf16(normal(random)));
    return values;
  };
  std::vector<SlaHead> heads;
  for (int pass = 0; pass < sla_case.passes(); ++pass) {
    heads.push_back({rows(sla_case.shape.q_tokens),
                     rows(sla_case.shape.k_tokens),
                     rows(sla_case.shape.k_tokens)});
  }
  return heads;
}

TEST(GpuCheckSlaTest, CasesCombineEveryKernelWithEveryFeatureMap) {
  std::set<std::string> names;
  std::set<Layout> layouts;
  bool q_tail = false;
  bool k_tail = false;
  bool several_words = false;
  bool several_sums = false;
  bool one_token = false;
  bool whole = false;
  for (int index = 0; index < kSlaCases; ++index) {
    const SlaCase sla_case = SlaCaseOf(index, 1, false);
    const Blocks blocks = sla_case.blocks();
    names.insert(sla_case.Name());
    layouts.insert(sla_case.layout);
    const bool q_whole = sla_case.shape.q_tokens % sla_case.q_block == 0;
    const bool k_whole = sla_case.shape.k_tokens % sla_case.k_block == 0;
    q_tail = q_tail || !q_whole;
    k_tail = k_tail || !k_whole;
    whole = whole || (q_whole && k_whole);
    several_words = several_words || blocks.cols() > 64;
    several_sums = several_sums || blocks.rows() > 128;
    one_token = one_token || (sla_case.shape.q_tokens == 1 && sla_case.shape.k_tokens == 1);
  }
  EXPECT_EQ(names.size(), 24U) << "8 kernels times 3 feature maps";
  EXPECT_TRUE(names.contains("sla.block64x128.d128.elu"));
  EXPECT_EQ(layouts.size(), 3U);
  EXPECT_TRUE(q_tail && k_tail && whole && several_words && several_sums && one_token);
}

TEST(GpuCheckSlaTest, SmallCasesAreSmallAndUseEveryKernel) {
  std::set<std::tuple<int, int, int>> kernels;
  std::set<FeatureMap> maps;
  for (int index = 0; index < kSmallSlaCases; ++index) {
    const SlaCase sla_case = SlaCaseOf(index, 1, true);
    kernels.insert({sla_case.shape.head_dim, sla_case.q_block, sla_case.k_block});
    maps.insert(sla_case.features);
    EXPECT_LE(sla_case.shape.q_tokens, 200);
    EXPECT_LE(sla_case.shape.k_tokens, 400);
  }
  EXPECT_EQ(kernels.size(), 8U);
  EXPECT_EQ(maps.size(), 3U);
}

TEST(GpuCheckSlaTest, ACaseDependsOnlyOnItsNumberAndTheSeed) {
  EXPECT_EQ(SlaCaseOf(9, 1, false).seed, SlaCaseOf(9, 1, false).seed);
  EXPECT_NE(SlaCaseOf(9, 1, false).seed, SlaCaseOf(9, 2, false).seed);
  EXPECT_EQ(SlaProjectionOf(SlaCaseOf(9, 1, false)), SlaProjectionOf(SlaCaseOf(9, 1, false)));
}

TEST(GpuCheckSlaTest, MasksOfBothLaunchesEqualTheReferencesClasses) {
  bool many_words = false;
  for (int index = 0; index < kSlaCases; ++index) {
    const SlaCase sla_case = SlaCaseOf(index, 1, false);
    SCOPED_TRACE(sla_case.Name());
    const SlaMasks masks = SlaMasksOf(sla_case, RandomHeads(sla_case));
    const Blocks blocks = sla_case.blocks();
    ASSERT_EQ(masks.critical.tiles(), std::int64_t{sla_case.passes()} * blocks.rows());
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
        ASSERT_FALSE(bit && listed.contains(col)) << "a block has two classes";
      }
    }
    std::int64_t marginal = 0;
    for (const kernels::SlaBlocks& pass : masks.passes) marginal += pass.marginal.Count();
    EXPECT_TRUE(marginal > 0 || sla_case.shape.k_tokens == 1) << "the linear part has no block";
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
      const SlaCase sla_case = SlaCaseOf(index, 1, false);
      const Variant& variant = ExactVariantOf(sla_case, usable, index / kSmallSlaCases);
      EXPECT_EQ(variant.list, kernels::gpu::ListKind::kBlocks);
      EXPECT_EQ(variant.head_dim, sla_case.shape.head_dim);
      EXPECT_EQ(variant.q_block, sla_case.q_block);
      EXPECT_EQ(variant.k_block, sla_case.k_block);
      families.insert(variant.min_arch);
    }
    EXPECT_EQ(families.size(), arch == 80 ? 1U : 2U) << "fitting kernels are chosen in turn";
  }
  dbsp::testing::ExpectError(ErrorCode::kNotFound, {"sla.block64x64.d128", "exact part"}, [] {
    (void)ExactVariantOf(SlaCaseOf(0, 1, false), {}, 0);
  });
}

/// A case, its inputs and its reference output.
struct PreparedCase {
  SlaCase sla_case;
  std::vector<SlaHead> heads;
  std::vector<std::uint16_t> projection;
  SlaMasks masks;
  std::vector<double> reference;

  explicit PreparedCase(int index)
      : sla_case(SlaCaseOf(index, 1, true)), heads(RandomHeads(sla_case)) {
    projection = SlaProjectionOf(sla_case);
    masks = SlaMasksOf(sla_case, heads);
    reference = Reference(masks, 1);
  }
  [[nodiscard]] std::vector<double> Reference(const SlaMasks& with, int threads) const {
    return SlaReferenceOf(sla_case, heads, projection, with, threads);
  }
  /// The verdict on `outputs` after rounding to bf16.
  [[nodiscard]] SlaVerdict Judge(const std::vector<double>& outputs) const {
    std::vector<std::uint16_t> o;
    for (const double value : outputs) o.push_back(ToBf16(static_cast<float>(value)));
    return CompareSla(o, reference, sla_case.shape.head_dim);
  }
};

TEST(GpuCheckSlaTest, RoundingPassesAndFaultsFail) {
  for (const int index : {4, 5, 6, 7}) {
    const PreparedCase prepared(index);
    SCOPED_TRACE(prepared.sla_case.Name());
    EXPECT_EQ(prepared.Reference(prepared.masks, 3), prepared.reference)
        << "the number of threads must not change the result";
    const SlaVerdict rounded = prepared.Judge(prepared.reference);
    EXPECT_TRUE(rounded.IsRight());
    EXPECT_GT(rounded.relative_error, 0.0);

    SlaMasks fewer = prepared.masks;  // without one marginal block of one query block
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
    EXPECT_FALSE(prepared.Judge(prepared.Reference(fewer, 1)).IsRight());

    std::vector<double> unwritten = prepared.reference;
    unwritten.back() = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(prepared.Judge(unwritten).relative_error, std::numeric_limits<double>::infinity());

    PreparedCase other = prepared;  // with another feature map
    other.sla_case.features =
        other.sla_case.features == FeatureMap::kRelu ? FeatureMap::kElu : FeatureMap::kRelu;
    EXPECT_FALSE(prepared.Judge(other.Reference(other.masks, 1)).IsRight());
  }
}

TEST(GpuCheckSlaTest, RowsWithoutBlocksMustBeExactlyZero) {
  const PreparedCase prepared(0);  // Its only query block has no critical and no marginal blocks.
  const auto dim = static_cast<std::size_t>(prepared.sla_case.shape.head_dim);
  for (std::size_t i = 0; i < dim; ++i) ASSERT_EQ(prepared.reference[i], 0.0);
  EXPECT_TRUE(prepared.Judge(prepared.reference).IsRight());
  std::vector<double> touched = prepared.reference;
  touched[3] = 1e-9;
  EXPECT_EQ(prepared.Judge(touched).wrong_zero_rows, 1);
  EXPECT_FALSE(prepared.Judge(touched).IsRight());
}

}  // namespace
}  // namespace dbsp::gpu_check
