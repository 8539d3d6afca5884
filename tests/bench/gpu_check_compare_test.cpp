// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "bench/gpu_check/compare.h"
#include "core/bf16.h"
#include "kernels/attention.h"

namespace dbsp::gpu_check {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::uint16_t> RandomBf16(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<std::uint16_t> values(count);
  for (std::uint16_t& value : values) value = ToBf16(normal(random));
  return values;
}

TEST(GpuCheckCompareTest, Bf16RoundsToNearestEven) {
  EXPECT_EQ(ToBf16(1.0F), 0x3F80);
  EXPECT_EQ(FromBf16(0x3F80), 1.0F);
  EXPECT_EQ(ToBf16(1.0F + 0x1p-8F), 0x3F80);  // halfway, even below
  EXPECT_EQ(ToBf16(1.0F + 3 * 0x1p-8F), 0x3F82);  // halfway, even above
  EXPECT_EQ(ToBf16(-2.5F), 0xC020);
  EXPECT_EQ(ToBf16(INFINITY), 0x7F80);
  EXPECT_TRUE(std::isnan(FromBf16(ToBf16(NAN))));
  EXPECT_TRUE(std::isnan(FromBf16(0xFFFF))) << "the poison value must be NaN";
}

/// Random inputs of one head whose last blocks of queries and of keys are partial.
struct Head {
  static constexpr int kDim = 64;
  Blocks blocks{100, 70, 32, 16};
  Lists lists = Random(blocks, 1, 0.5, 1, 3);
  std::vector<std::uint16_t> q = RandomBf16(100 * kDim, 1);
  std::vector<std::uint16_t> k = RandomBf16(70 * kDim, 2);
  std::vector<std::uint16_t> v = RandomBf16(70 * kDim, 3);
  Reference Run(int threads) {
    return ReferenceOnCpu({q, k, v}, kDim, 0.125, lists, 0, blocks, threads);
  }
};

TEST(GpuCheckCompareTest, TheReferenceEqualsTheCpuKernels) {
  Head head;
  // Remove the keys of query block 1.
  auto& begin = head.lists.begin;
  const int lost = begin[2] - begin[1];
  head.lists.list.erase(head.lists.list.begin() + begin[1], head.lists.list.begin() + begin[2]);
  for (std::size_t i = 2; i < begin.size(); ++i) begin[i] -= lost;
  const Reference reference = head.Run(3);
  EXPECT_EQ(reference.o, head.Run(1).o) << "the number of threads must not change the result";

  // kernels/attention.h reads whole blocks, so pad the inputs.
  const auto padded = [&](const std::vector<std::uint16_t>& values, std::size_t rows) {
    std::vector<float> floats(rows * Head::kDim, 0.0F);
    for (std::size_t i = 0; i < values.size(); ++i) floats[i] = FromBf16(values[i]);
    return floats;
  };
  const auto q = padded(head.q, 128);
  const auto k = padded(head.k, 80);
  const auto v = padded(head.v, 80);
  std::vector<float> o(128 * Head::kDim);
  std::vector<float> lse(128);
  const std::vector<int> q_tokens{32, 32, 32, 4};
  const std::vector<int> k_tokens{16, 16, 16, 16, 6};
  const std::vector<std::int64_t> list_begin(begin.begin(), begin.end());
  const std::vector<int> list(head.lists.list.begin(), head.lists.list.end());
  kernels::AttentionArgs args;
  args.head_dim = Head::kDim;
  args.block = {32, 16};
  args.scale = 0.125F;
  args.q_blocks = 4;
  args.k_blocks = 5;
  args.q = q.data();
  args.k = k.data();
  args.v = v.data();
  args.q_tokens = q_tokens;
  args.k_tokens = k_tokens;
  args.list_begin = list_begin;
  args.list = list;
  args.o = o.data();
  args.lse = lse.data();
  kernels::FindCpuAttention("cpu.reference").run(args);
  for (std::size_t row = 0; row < 100; ++row) {
    if (std::isinf(lse[row])) {
      EXPECT_EQ(reference.lse[row], -kInfinity);
    } else {
      EXPECT_NEAR(reference.lse[row], lse[row], 1e-5);
    }
    for (std::size_t d = 0; d < Head::kDim; ++d) {
      ASSERT_NEAR(reference.o[row * Head::kDim + d], o[row * Head::kDim + d], 1e-5) << row;
    }
  }
  EXPECT_EQ(reference.lse[40], -kInfinity);
}

/// Outputs of a kernel without faults: the reference rounded to the output types.
struct Outputs {
  std::vector<std::uint16_t> o;
  std::vector<float> lse;
};
Outputs Rounded(const Reference& reference) {
  Outputs outputs;
  for (const double value : reference.o) outputs.o.push_back(ToBf16(static_cast<float>(value)));
  for (const double value : reference.lse) outputs.lse.push_back(static_cast<float>(value));
  return outputs;
}

TEST(GpuCheckCompareTest, RoundingPassesAndFaultsFail) {
  Head head;
  const Reference reference = head.Run(2);
  const Outputs right = Rounded(reference);
  const auto judge = [&](const Outputs& outputs) {
    return Compare(outputs.o, outputs.lse, reference.o, reference.lse, Head::kDim);
  };
  const Verdict rounded = judge(right);
  EXPECT_TRUE(rounded.IsRight()) << rounded.Text();
  EXPECT_GT(rounded.relative_error, 0.0);

  Outputs unwritten = right;
  unwritten.o[17] = 0xFFFF;
  EXPECT_EQ(judge(unwritten).relative_error, kInfinity);
  Outputs lse = right;
  lse.lse[5] += 1e-3F;
  EXPECT_FALSE(judge(lse).IsRight());
  lse.lse[5] = NAN;
  EXPECT_EQ(judge(lse).lse_error, kInfinity);
  Outputs swapped = right;
  for (std::size_t d = 0; d < Head::kDim; ++d) std::swap(swapped.o[d], swapped.o[Head::kDim + d]);
  EXPECT_FALSE(judge(swapped).IsRight()) << "two of a hundred rows are swapped";
}

TEST(GpuCheckCompareTest, ARowWithoutKeysMustBeExactlyZero) {
  const std::vector<double> o(8, 0.0);
  const std::vector<double> lse{-kInfinity};
  const auto judge = [&](std::uint16_t value, float l) {
    const std::vector<std::uint16_t> written(8, value);
    return Compare(written, std::vector<float>{l}, o, lse, 8);
  };
  EXPECT_TRUE(judge(0, -INFINITY).IsRight());
  EXPECT_EQ(judge(0, -1e30F).wrong_empty_rows, 1);
  EXPECT_FALSE(judge(ToBf16(1e-6F), -INFINITY).IsRight());
  EXPECT_FALSE(judge(0xFFFF, -INFINITY).IsRight());
}

}  // namespace
}  // namespace dbsp::gpu_check
