// SPDX-License-Identifier: Apache-2.0
// Suites for GPUs. They depend only on properties of a device, so no GPU is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "profiler/gpu/device_bench.h"
#include "profiler/gpu/device_bytes.h"
#include "profiler/suites/kernel_table.h"
#include "profiler/suites/suite.h"
#include "tests/core/expect_error.h"

namespace dbsp::profiler {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr std::int64_t kGb = 1'000'000'000;

Workload Video(int heads, Grid grid, std::int64_t text, BlockSize block) {
  Workload workload;
  workload.model.name = "video";
  workload.model.heads = heads;
  workload.model.head_dim = 128;
  workload.model.grid = grid;
  workload.model.text_tokens = text;
  workload.block = block;
  return workload;
}
/// Wan 2.1 14B at 720p, 75600 tokens; HunyuanVideo at 720p, 119056.
Workload Wan(BlockSize block = {128, 128}) {
  Workload workload = Video(40, {21, 45, 80}, 0, block);
  workload.model.passes = 2;
  return workload;
}
Workload Hunyuan() { return Video(24, {33, 45, 80}, 256, {128, 128}); }

SuiteOptions On(int arch, const std::string& suite, std::int64_t free_bytes = 130 * kGb) {
  SuiteOptions options;
  options.suite = suite;
  options.target = GpuTarget(arch, free_bytes, std::nullopt);
  return options;
}

std::vector<AttentionConfig> AttentionOf(const std::vector<TrialConfig>& suite) {
  std::vector<AttentionConfig> calls;
  for (const TrialConfig& config : suite) {
    if (const auto* call = std::get_if<AttentionConfig>(&config)) calls.push_back(*call);
  }
  return calls;
}

double Operations(const AttentionConfig& c) {
  return 4.0 * c.head_dim * static_cast<double>(c.active_blocks) * c.block.q * c.block.k;
}

void ExpectRuns(const AttentionConfig& call, int arch, const SuiteTarget& target) {
  const auto& variant = kernels::gpu::VariantNamed(call.kernel);
  EXPECT_TRUE(kernels::gpu::RunsOn(variant, arch));
  EXPECT_TRUE(Fits(RecordOf(variant), call.head_dim, call.block));
  EXPECT_EQ(call.dtype, DType::kBf16);
  EXPECT_LE(Operations(call), 1.02 * target.most_operations);
  EXPECT_LE(DeviceBytes(call), *target.most_bytes);
  EXPECT_GE(call.heads, 1);
  EXPECT_GE(call.q_blocks, 1);
  EXPECT_LE(call.active_blocks, std::int64_t{call.heads} * call.q_blocks * call.k_blocks);
}

TEST(SuiteGpuTest, EveryTrialFitsItsKernelAndTheDevice) {
  for (const int arch : {80, 86, 89, 90, 100}) {
    for (const char* name : {"quick", "full"}) {
      for (const std::int64_t free : {2 * kGb, 24 * kGb, 130 * kGb}) {
        for (const bool workload : {false, true}) {
          SuiteOptions options = On(arch, name, free);
          if (workload) options.workload = Wan();
          const auto suite = MakeSuite(options);
          std::set<std::string> keys;
          std::set<std::string> kernels;
          for (const TrialConfig& config : suite) {
            SCOPED_TRACE(fmt::format("{} {} {}: {}", arch, name, free, Describe(config)));
            EXPECT_TRUE(keys.insert(KeyOf(config)).second) << "twice";
            EXPECT_FALSE(std::holds_alternative<ExchangeConfig>(config))
                << "one GPU exchanges nothing";
            if (const auto* call = std::get_if<AttentionConfig>(&config)) {
              ExpectRuns(*call, arch, options.target);
              kernels.insert(call->kernel);
            } else {
              const auto& local = std::get<LocalConfig>(config);
              EXPECT_LE(DeviceBytes(local), *options.target.most_bytes);
              EXPECT_GT(local.amount, 0);
            }
          }
          const bool hopper = arch == 90;
          EXPECT_EQ(kernels.contains("sm90.gather128.d128"), hopper);
          EXPECT_EQ(kernels.contains("sm90.block128x128.d128"), hopper);
          const bool portable = !hopper || std::string(name) == "full" || workload;
          EXPECT_EQ(kernels.contains("sm80.block128x128.d128"), portable);
          if (std::string(name) == "full") {
            EXPECT_EQ(kernels.size(), GpuKernels(arch).size());
          }
        }
      }
    }
  }
}

TEST(SuiteGpuTest, AWorkloadComesFirstWithAllItsColumnsAndEveryKernelThatTakesIt) {
  for (const Workload& workload : {Wan(), Wan({64, 64}), Hunyuan()}) {
    SuiteOptions options = On(90, "quick");
    options.workload = workload;
    const auto calls = AttentionOf(MakeSuite(options));
    const AttentionShape shape = workload.shape();
    std::map<std::string, std::set<std::pair<int, int>>> cols_rows;
    std::map<std::string, int> trials;
    for (const AttentionConfig& call : calls) {
      if (call.block != shape.block || call.k_blocks == 16384 / shape.block.k) continue;
      cols_rows[call.kernel].insert({call.k_blocks, call.q_blocks});
      ++trials[call.kernel];
    }
    const std::string size = fmt::format("{}x{}.d128", shape.block.q, shape.block.k);
    for (const char* family : {"sm90.block", "sm80.block"}) {
      ASSERT_TRUE(trials.contains(family + size)) << family;
      EXPECT_GE(trials[family + size], 8);
      // One of 8 ranks' heads over the whole sequence, and in few of its heads' rows all columns.
      EXPECT_THAT(cols_rows[family + size],
                  Contains(std::pair{shape.k_blocks(), shape.q_blocks()}));
    }
    EXPECT_EQ(calls.front().kernel, "sm90.block" + size);
    EXPECT_EQ(calls.front().block, shape.block);
  }
}

TEST(SuiteGpuTest, ListsOfKeysStaySmallEnoughToDraw) {
  SuiteOptions options = On(90, "quick");
  options.workload = Wan({128, 1});
  int found = 0;
  for (const AttentionConfig& call : AttentionOf(MakeSuite(options))) {
    if (call.block.k != 1) continue;
    EXPECT_LE(std::int64_t{call.heads} * call.q_blocks * call.k_blocks, 1 << 26);
    found += call.k_blocks == 75600 ? 1 : 0;
    if (call.head_dim == 128) {
      EXPECT_EQ(call.kernel, "sm90.gather128.d128");
    }
  }
  EXPECT_GT(found, 4);
}

/// Seconds of a suite at rates expected of an H200: 600 TFLOP/s (half of that for portable kernels
/// and single keys), 3.8 TB/s, ten nanoseconds for drawing one list entry; limits as LimitsOf.
double EstimatedSeconds(const std::vector<TrialConfig>& suite, const std::string& name) {
  const DeviceLimits limits = LimitsOf(name);
  double seconds = 3;  // context and timer
  for (const TrialConfig& config : suite) {
    double once = 5e-6;
    double prepare = 0.02;
    if (const auto* call = std::get_if<AttentionConfig>(&config)) {
      const bool native = call->kernel.starts_with("sm90.block");
      once += Operations(*call) / (native ? 600e12 : 300e12);
      prepare +=
          1e-8 * static_cast<double>(std::int64_t{call->heads} * call->q_blocks * call->k_blocks);
    } else {
      once += static_cast<double>(DeviceBytes(std::get<LocalConfig>(config))) / 3.8e12;
    }
    const double least = static_cast<double>(limits.min_time_ns) * 1e-9;
    const double most = static_cast<double>(limits.max_time_ns) * 1e-9;
    // The noise criterion needs somewhat more than the least time; at least five samples are taken.
    seconds += prepare + std::max(std::min(2 * least, most), limits.min_samples * once);
  }
  return seconds;
}

TEST(SuiteGpuTest, QuickTakesThreeMinutesAndFullFifteenAtTheRatesOfAnH200) {
  for (const auto& [name, budget] : {std::pair{"quick", 180.0}, std::pair{"full", 900.0}}) {
    for (const bool workload : {false, true}) {
      SuiteOptions options = On(90, name);
      if (workload) options.workload = Wan();
      const auto suite = MakeSuite(options);
      const double seconds = EstimatedSeconds(suite, name);
      RecordProperty(std::string(name) + (workload ? "_wan" : ""),
                     fmt::format("{} trials, {:.0f} s", suite.size(), seconds));
      EXPECT_LT(seconds, 0.8 * budget) << name << ", " << suite.size() << " trials";
    }
  }
}

TEST(SuiteGpuTest, ExchangesAreMeasuredWithAGpuForEveryRank) {
  SuiteOptions options = On(90, "quick");
  options.target = GpuTarget(90, 130 * kGb, "nccl");
  options.workload = Wan();
  std::set<std::string> transports;
  for (const TrialConfig& config : MakeSuite(options)) {
    if (const auto* exchange = std::get_if<ExchangeConfig>(&config)) {
      transports.insert(exchange->transport);
    }
  }
  EXPECT_EQ(transports, std::set<std::string>{"nccl"});
}

TEST(SuiteGpuTest, BlocksThatNoKernelTakesAreRefused) {
  SuiteOptions options = On(90, "quick");
  options.workload = Wan({96, 32});
  testing::ExpectError(ErrorCode::kInvalidArgument,
                       {"--workload", "96x32", "head_dim 128", "128x64 of 128", "64x1 of 64"},
                       [&] { (void)MakeSuite(options); });
  options.workload = Wan({128, 1});
  options.target = GpuTarget(80, 40 * kGb, std::nullopt);
  testing::ExpectError(ErrorCode::kInvalidArgument, {"128x1"}, [&] { (void)MakeSuite(options); });
}

TEST(SuiteGpuTest, TheTableOfAnArchitectureHasTheKernelsItRuns) {
  const auto names = [](int arch) {
    std::vector<std::string> found;
    for (const KernelVariant& kernel : GpuKernels(arch)) found.push_back(kernel.name);
    return found;
  };
  EXPECT_THAT(names(80), Each(HasSubstr("sm80.")));
  EXPECT_THAT(names(100), Each(HasSubstr("sm80.")));
  EXPECT_EQ(names(90).size(), kernels::gpu::Variants().size());
  EXPECT_TRUE(GpuKernels(75).empty());
  EXPECT_EQ(CpuKernels().front().name, "cpu.block_sparse");
  EXPECT_EQ(CpuKernels().front().list, "blocks");
  EXPECT_EQ(CpuKernels().back().name, "cpu.gather");
  EXPECT_EQ(CpuKernels().back().list, "keys");
  EXPECT_EQ(CpuKernels().back().k_block, 1);
  EXPECT_FALSE(RecordOf(kernels::FindCpuAttention("cpu.reference")).list);
}

}  // namespace
}  // namespace dbsp::profiler
