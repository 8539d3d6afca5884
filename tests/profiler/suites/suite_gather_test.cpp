// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite_gather.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.h"
#include "profiler/suites/pattern.h"
#include "profiler/suites/suite.h"
#include "profiler/tune_kernels.h"

namespace dbsp::profiler {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<AttentionConfig> GathersOf(const std::vector<TrialConfig>& suite) {
  std::vector<AttentionConfig> found;
  for (const TrialConfig& config : suite) {
    const auto* attention = std::get_if<AttentionConfig>(&config);
    if (attention != nullptr && attention->block.k == 1) found.push_back(*attention);
  }
  return found;
}

SuiteOptions OnCpu(const std::string& suite) {
  return {.suite = suite, .ranks = 2, .target = CpuTarget()};
}

Workload WorkloadOf(int head_dim, BlockSize block) {
  Workload workload;
  workload.model.name = "small";
  workload.model.heads = 4;
  workload.model.head_dim = head_dim;
  workload.model.grid = {5, 16, 16};
  workload.block = block;
  return workload;
}

TEST(SuiteGatherTest, EveryNumberOfQueriesHasEnoughTrialsForAFit) {
  for (const char* suite : {"gather", "full"}) {
    std::map<std::pair<int, int>, int> trials;
    for (const AttentionConfig& c : GathersOf(MakeSuite(OnCpu(suite)))) {
      ++trials[{c.head_dim, c.block.q}];
      EXPECT_EQ(c.kernel, "cpu.gather");
      ASSERT_TRUE(c.lists) << Describe(c);
      EXPECT_EQ(c.lists->step, 128);
      EXPECT_GE(c.lists->padded_keys, c.active_blocks);
      EXPECT_LE(c.lists->max_keys, c.k_blocks);
      EXPECT_LE(4.0 * c.block.q * c.head_dim * static_cast<double>(c.active_blocks), 1.02e10);
      EXPECT_NO_THROW((void)MakeLists(c));
    }
    for (const int queries : {64, 128}) EXPECT_GE((trials[{128, queries}]), 16) << suite;
  }
}

TEST(SuiteGatherTest, DenseAttentionOfTheSameSizeAndListMakingAreMeasuredToo) {
  const auto suite = MakeSuite(OnCpu("gather"));
  std::set<std::string> described;
  std::set<std::string> ops;
  std::set<std::string> keys;
  for (const TrialConfig& config : suite) {
    EXPECT_TRUE(keys.insert(KeyOf(config)).second) << "twice: " << Describe(config);
    EXPECT_EQ(KeyOf(ConfigOf(KeyOf(config))), KeyOf(config));
    described.insert(Describe(config));
    if (const auto* local = std::get_if<LocalConfig>(&config)) {
      ops.insert(local->op);
      EXPECT_TRUE(local->lists);
    }
  }
  EXPECT_EQ(ops, (std::set<std::string>{"key_lists", "threshold_keys", "top_cdf_keys"}));
  EXPECT_THAT(described,
              Contains("gather 2 heads x 128, 32 lists of 64 queries over 8192 keys, 30.0% runs8"));
  EXPECT_THAT(described,
              Contains("attention 2 heads x 128, 16 x 128 blocks of 64x64, 100.0% dense"));
  EXPECT_THAT(described,
              Contains("key_lists 128 rows of 64 queries over 8192 keys, 314573 listed, head_dim "
                       "128"));
  EXPECT_THAT(described,
              Contains("threshold_keys 2 rows of 128 queries over 8192 keys, head_dim 128"));
}

TEST(SuiteGatherTest, AWorkloadGivesHeadDimAndKeys) {
  SuiteOptions options = OnCpu("gather");
  options.workload = WorkloadOf(64, {64, 64});
  std::set<int> keys;
  for (const AttentionConfig& c : GathersOf(MakeSuite(options))) {
    EXPECT_EQ(c.head_dim, 64);
    keys.insert(c.k_blocks);
  }
  EXPECT_EQ(keys, (std::set<int>{5 * 16 * 16, 5 * 16 * 16 / 4}));
}

/// A workload with blocks of one key is measured with the kernel for lists of keys.
TEST(SuiteGatherTest, AWorkloadOfSingleKeysHasGatherTrialsInTheQuickSuite) {
  SuiteOptions options = OnCpu("quick");
  options.workload = WorkloadOf(32, {64, 1});
  const auto gathers = GathersOf(MakeSuite(options));
  ASSERT_FALSE(gathers.empty());
  for (const AttentionConfig& c : gathers) {
    EXPECT_EQ(c.kernel, "cpu.gather") << Describe(c);
    EXPECT_TRUE(c.lists);
  }
}

TEST(SuiteGatherTest, AGpuHasItsOwnKernelsAndSteps) {
  SuiteOptions options{.suite = "gather", .ranks = 1};
  options.target = GpuTarget(90, std::int64_t{64} << 30, std::nullopt);
  std::map<std::string, int> steps;
  const auto suite = MakeSuite(options);
  for (const AttentionConfig& c : GathersOf(suite)) steps[c.kernel] = c.lists->step;
  EXPECT_EQ(steps,
            (std::map<std::string, int>{{"sm90.gather64.d128", 64}, {"sm90.gather128.d128", 128}}));
}

TEST(SuiteGatherTest, ADeviceWithoutAKernelForKeysIsRefused) {
  SuiteOptions options{.suite = "gather", .ranks = 1};
  options.target = GpuTarget(80, std::int64_t{64} << 30, std::nullopt);
  try {
    (void)MakeSuite(options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("no kernel of this device takes lists of single keys"));
  }
}

TEST(SuiteGatherTest, KernelTuningTakesTheShapesOfLists) {
  const auto shapes = ShapesOf(MakeSuite(OnCpu("gather")), CpuTuneTarget());
  bool found = false;
  for (const TuneShape& shape : shapes) {
    if (shape.config.block.k != 1) continue;
    EXPECT_EQ(shape.config.kernel, "cpu.gather") << "the default";
    EXPECT_THAT(shape.candidates, ElementsAre("cpu.gather", "cpu.block_sparse", "cpu.reference"));
    found = true;
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace dbsp::profiler
