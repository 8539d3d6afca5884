// SPDX-License-Identifier: Apache-2.0
#include "replay/kernel_lookup.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <tuple>

#include "kernels/gpu/gpu_variants.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/environment_variable.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;

using Wanted = std::optional<std::string>;

std::string Chosen(
    const std::string& planned, const Wanted& wanted, BlockSize block, int dim, int arch) {
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

// The table of kernels reads the variable once per process, therefore in a process of its own.
TEST(KernelLookupDeathTest, AKernelThatIsLeftOutIsNeitherChosenNorRun) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const dbsp::testing::EnvironmentVariable skip(kernels::gpu::kSkipKernelsVariable,
                                                "sm90.block64x64.d64,sm80.block128x128.d64");
  const auto check = [] {
    if (Chosen("cpu.block_sparse", std::nullopt, {64, 64}, 64, 90) != "sm80.block64x64.d64")
      std::_Exit(1);
    if (ChooseCpuKernel("sm90.block64x64.d64", std::nullopt) != "") std::_Exit(2);
    for (const auto& [planned, wanted, block, arch] :
         {std::tuple("sm90.block64x64.d64", Wanted(), 64, 90),
          std::tuple("", Wanted("sm90.block64x64.d64"), 64, 90),
          std::tuple("", Wanted(), 128, 80)}) {
      try {
        (void)Chosen(planned, wanted, {block, block}, 64, arch);
        std::_Exit(3);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kUnavailable) std::_Exit(4);
        if (std::string(error.what()).find("DBSP_SKIP_KERNELS") == std::string::npos) std::_Exit(5);
      }
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(check(), ::testing::ExitedWithCode(0), "");
}

TEST(KernelLookupTest, AGpusPlanRunsOnACpuWithTheDefaultKernel) {
  EXPECT_EQ(ChooseCpuKernel("sm90.block128x128.d128", std::nullopt), "");
  EXPECT_EQ(ChooseCpuKernel("cpu.reference", std::nullopt), "cpu.reference");
  EXPECT_EQ(ChooseCpuKernel("sm90.block128x128.d128", "cpu.reference"), "cpu.reference");
}

}  // namespace
}  // namespace dbsp::replay
