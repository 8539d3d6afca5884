// SPDX-License-Identifier: Apache-2.0
#include "replay/kernel_lookup.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/core/expect_error.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;

std::string Chosen(const std::string& planned,
                   const std::optional<std::string>& wanted,
                   BlockSize block,
                   int dim,
                   int arch) {
  return ChooseGpuKernel(planned, wanted, block, dim, arch).name;
}

TEST(KernelLookupTest, APlanOfACpuGetsTheKernelThatTakesItsBlocksOnTheDevice) {
  EXPECT_EQ(Chosen("cpu.block_sparse", std::nullopt, {128, 64}, 128, 90), "sm90.block128x64.d128");
  EXPECT_EQ(Chosen("", std::nullopt, {128, 64}, 128, 80), "sm80.block128x64.d128");
  EXPECT_EQ(Chosen("", std::nullopt, {64, 64}, 64, 89), "sm80.block64x64.d64");
}

TEST(KernelLookupTest, APlannedGpuKernelIsNotReplacedUnasked) {
  EXPECT_EQ(Chosen("sm80.block128x128.d128", std::nullopt, {128, 128}, 128, 90),
            "sm80.block128x128.d128");
  EXPECT_EQ(Chosen("sm90.block128x128.d128", "sm80.block128x128.d128", {128, 128}, 128, 90),
            "sm80.block128x128.d128");
  ExpectError(
      ErrorCode::kUnavailable,
      {"sm90.block128x128.d128 does not support", "8.0", "--kernel", "sm80.block128x128.d128"},
      [] {
        (void)Chosen("sm90.block128x128.d128", std::nullopt, {128, 128}, 128, 80);
      });
}

TEST(KernelLookupTest, BlocksThatNoKernelTakesAreOneLineWithThoseThatFit) {
  ExpectError(ErrorCode::kUnavailable,
              {"16x8 blocks of head_dim 16", "9.0", "sm90.block128x128.d128", "--block"},
              [] {
                (void)Chosen("cpu.block_sparse", std::nullopt, {16, 8}, 16, 90);
              });
  ExpectError(ErrorCode::kUnavailable,
              {"sm80.block64x64.d64 does not support 128x128 blocks of head_dim 128"},
              [] {
                (void)Chosen("", "sm80.block64x64.d64", {128, 128}, 128, 90);
              });
  ExpectError(ErrorCode::kNotFound, {"no GPU kernel is called 'sm90.blok'"}, [] {
    (void)Chosen("", "sm90.blok", {128, 128}, 128, 90);
  });
}

TEST(KernelLookupTest, AGpusPlanRunsOnACpuWithTheDefaultKernel) {
  EXPECT_EQ(ChooseCpuKernel("sm90.block128x128.d128", std::nullopt), "");
  EXPECT_EQ(ChooseCpuKernel("cpu.reference", std::nullopt), "cpu.reference");
  EXPECT_EQ(ChooseCpuKernel("sm90.block128x128.d128", "cpu.reference"), "cpu.reference");
}

}  // namespace
}  // namespace dbsp::replay
