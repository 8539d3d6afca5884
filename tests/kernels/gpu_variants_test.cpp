// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gpu_variants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "build_config.h"
#include "core/error.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/environment_variable.h"

namespace dbsp::kernels::gpu {
namespace {

using ::testing::HasSubstr;

TEST(GpuVariantsTest, NamesAreUniqueAndFindTheirVariant) {
  std::set<std::string> names;
  for (const Variant& variant : Variants()) {
    EXPECT_TRUE(names.insert(variant.name).second) << variant.name;
    EXPECT_EQ(&VariantNamed(variant.name), &variant);
  }
  EXPECT_GE(names.size(), 10U);
}

TEST(GpuVariantsTest, AnUnknownNameIsAnsweredWithTheKnownOnes) {
  try {
    VariantNamed("sm90.block1x1.d1");
    FAIL() << "found";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("sm90.block128x128.d128"));
  }
}

TEST(GpuVariantsTest, NamesOfSkippedKernelsAreReadFromTheVariable) {
  EXPECT_TRUE(SkippedKernels().empty());
  EXPECT_EQ(SkippedKernelsNote(), "");
  const testing::EnvironmentVariable skip(
      kSkipKernelsVariable, ",sm80.block64x64.d64,,sm90.gather64.d64,sm80.block64x64.d64");
  EXPECT_THAT(SkippedKernels(), ::testing::ElementsAre("sm80.block64x64.d64", "sm90.gather64.d64"));
  EXPECT_THAT(SkippedKernelsNote(), HasSubstr("sm80.block64x64.d64, sm90.gather64.d64"));
}

TEST(GpuVariantsTest, AnUnknownSkippedKernelIsRefused) {
  const testing::EnvironmentVariable skip(kSkipKernelsVariable, "sm90.block64x64.d46");
  testing::ExpectError(
      ErrorCode::kInvalidArgument,
      {"DBSP_SKIP_KERNELS: unknown kernel 'sm90.block64x64.d46'", "'sm90.block64x64.d64'"},
      [] { (void)SkippedKernels(); });
}

// Variants() reads the variable once per process, therefore in a process of its own.
TEST(GpuVariantsDeathTest, SkippedKernelsAreNotListedAndNotFound) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const testing::EnvironmentVariable skip(kSkipKernelsVariable, "sm80.block64x64.d64");
  const auto check = [] {
    for (const Variant& variant : Variants()) {
      if (std::string_view(variant.name) == "sm80.block64x64.d64") std::_Exit(1);
    }
    if (Variants().size() + 1 != AllVariants().size()) std::_Exit(2);
    try {
      VariantNamed("sm80.block64x64.d64");
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::_Exit(error.code() == ErrorCode::kUnavailable ? 0 : 3);
    }
    std::_Exit(4);
  };
  EXPECT_EXIT(check(),
              ::testing::ExitedWithCode(0),
              "DBSP_SKIP_KERNELS leaves out the kernel sm80.block64x64.d64");
}

TEST(GpuVariantsTest, RowsDescribeWhatAThreadBlockCanBe) {
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(variant.name);
    EXPECT_TRUE(variant.min_arch == 80 || variant.min_arch == 90);
    EXPECT_TRUE(variant.head_dim == 64 || variant.head_dim == 128);
    EXPECT_EQ(variant.list == ListKind::kKeys, variant.k_block == 1);
    EXPECT_EQ(variant.tile_m % variant.q_block, 0);
    EXPECT_EQ(variant.threads % (variant.min_arch == 90 ? 128 : 32), 0);
    EXPECT_LE(variant.threads, 1024);
    EXPECT_GE(variant.stages, 1);
    EXPECT_LE(variant.shared_bytes, variant.min_arch == 90 ? 232448 : 166912);
  }
}

TEST(GpuVariantsTest, NamesSpellTheirBlocks) {
  for (const Variant& variant : Variants()) {
    const std::string name = variant.name;
    if (name.find(".block") == std::string::npos) continue;
    EXPECT_EQ(name,
              "sm" + std::to_string(variant.min_arch) + ".block" + std::to_string(variant.q_block) +
                  "x" + std::to_string(variant.k_block) + ".d" + std::to_string(variant.head_dim));
  }
}

TEST(GpuVariantsTest, GatherNamesSpellTheirQueries) {
  int found = 0;
  for (const Variant& variant : Variants()) {
    if (variant.list != ListKind::kKeys || variant.min_arch != 90) continue;
    ++found;
    EXPECT_EQ(
        std::string(variant.name),
        "sm90.gather" + std::to_string(variant.q_block) + ".d" + std::to_string(variant.head_dim));
    EXPECT_EQ(variant.tile_m, variant.q_block);
  }
  EXPECT_EQ(found, 4);
}

/// Launches fail without a device: an empty call in a build with CUDA, any call in other builds.
TEST(GpuVariantsTest, ABadCallIsRefusedBeforeTheDeviceIsAsked) {
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(variant.name);
    ASSERT_NE(variant.launch, nullptr);
    try {
      variant.launch(AttentionCall{});
      ADD_FAILURE() << "enqueued";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(),
                DBSP_HAVE_CUDA != 0 ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable)
          << error.what();
    }
  }
}

// The sizes of shared memory that docs/design/0005-hopper-block-sparse.md gives in KiB.
TEST(HopperLayoutTest, SharedMemoryHoldsTheTilesInOrder) {
  using L = sm90::Layout<sm90::Block128x128D128::kTile>;
  EXPECT_EQ(L::kK - L::kQ, 2 * 32 * 1024);
  EXPECT_EQ(L::kV - L::kK, 2 * 32 * 1024);
  EXPECT_EQ(L::kBarriers - L::kV, 2 * 32 * 1024);
  using Dense = sm90::Layout<sm90::Block128x176D128::kTile>;
  EXPECT_EQ(Dense::kBarriers, (32 + 4 * 44) * 1024);
  using Three = sm90::Layout<sm90::Block192x128D64::kTile>;
  EXPECT_EQ(Three::kBarriers, (2 * 24 + 8 * 16) * 1024);
  EXPECT_EQ(Three::kThreads, 512);
}

TEST(HopperLayoutTest, BarriersAndNotesDoNotOverlap) {
  using L = sm90::Layout<sm90::Block64x64D64::kTile>;
  EXPECT_EQ(L::kBarriers % 8, 0);
  EXPECT_EQ(L::kMessages - L::kBarriers, 8 * (2 * 2 + 4 * 4 + 2 * 2));
  EXPECT_EQ(L::kNotes - L::kMessages, 2 * 16);
  EXPECT_EQ(L::kSharedBytes - L::kNotes, 4 * 4);
  EXPECT_TRUE(L::kPairs);
  EXPECT_TRUE(L::kOwnLists);
  EXPECT_EQ(L::kBlocksPerEntry, 2);
}

}  // namespace
}  // namespace dbsp::kernels::gpu
