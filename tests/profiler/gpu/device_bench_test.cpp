// SPDX-License-Identifier: Apache-2.0
// Trials on an emulated device: the kernels and data are real, the times have no meaning.
#include "profiler/gpu/device_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "profiler/gpu/device_bytes.h"
#include "profiler/run_trial.h"
#include "profiler/suites/pattern.h"
#include "profiler/suites/suite.h"
#include "tests/emulated_gpu/emulated_gpu.h"

namespace dbsp::profiler {
namespace {

using ::testing::HasSubstr;

/// Few samples: an emulated launch takes tens of milliseconds.
DeviceLimits Few() {
  return {.min_time_ns = 0, .max_time_ns = 1, .min_samples = 2, .max_samples = 3};
}

AttentionConfig Small(const std::string& kernel, BlockSize block, double density) {
  AttentionConfig config;
  config.kernel = kernel;
  config.dtype = DType::kBf16;
  config.heads = 2;
  config.head_dim = 64;
  config.block = block;
  config.q_blocks = 2;
  config.k_blocks = 192 / block.k;
  config.pattern = density == 1.0 ? "dense" : "uniform";
  config.seed = 3;
  return WithDensity(config, density);
}

class DeviceBenchTest : public ::testing::Test {
 protected:
  void Open(const emulated_gpu::Options& machine, DeviceBenchOptions options = {}) {
    bench_.reset();
    emulated_gpu::Configure(machine);
    options.limits = Few();
    bench_ = OpenBench({runtime::DeviceKind::kCuda, 0}, options);
  }
  Trial Run(const TrialConfig& config) {
    const auto trial = RunTrial(config, {.suite = "quick", .bench = bench_});
    EXPECT_TRUE(trial.has_value());
    return trial.value_or(Trial{});
  }

  std::shared_ptr<DeviceBench> bench_;
};

TEST_F(DeviceBenchTest, EveryKindOfTrialIsMeasuredAndItsResultsAreRight) {
  Open({});
  for (const TrialConfig& config :
       {TrialConfig(Small("sm80.block64x64.d64", {64, 64}, 0.5)),
        TrialConfig(Small("sm80.block64x64.d64", {64, 64}, 0.1)),  // rows without keys
        TrialConfig(Small("sm90.block64x64.d64", {64, 64}, 1.0)),
        TrialConfig(Small("sm90.gather64.d64", {64, 1}, 0.3)),
        TrialConfig(LocalConfig{"pack", 70 * 128, 64, {64, 64}}),
        TrialConfig(LocalConfig{"pack", 1024 * 128, 64, {64, 64}}),
        TrialConfig(LocalConfig{"merge", 33, 64, {64, 64}}),
        TrialConfig(LocalConfig{"merge", 300, 128, {64, 64}})}) {
    SCOPED_TRACE(Describe(config));
    const Trial trial = Run(config);
    EXPECT_EQ(trial.outcome, TrialOutcome::kOk) << trial.detail;
    EXPECT_GE(trial.samples_ns.size(), 2U);
    const bool local = std::holds_alternative<LocalConfig>(config);
    EXPECT_EQ(trial.method, local ? "cuda.events.batched" : "cuda.events.cold");
    EXPECT_EQ(trial.method, MethodOf(config, 1, nullptr, bench_.get()));
    EXPECT_THAT(trial.detail, HasSubstr(local ? "each sample is the mean of" : ""));
  }
}

TEST_F(DeviceBenchTest, AKernelThatComputesWrongValuesHasNoTime) {
  Open({});
  for (const float value : {1e30F, std::numeric_limits<float>::quiet_NaN()}) {
    emulated_gpu::BreakAttention(value);
    const Trial trial = Run(Small("sm80.block64x64.d64", {64, 64}, 1.0));
    EXPECT_EQ(trial.outcome, TrialOutcome::kWrong);
    EXPECT_TRUE(trial.samples_ns.empty());
    EXPECT_THAT(trial.detail, HasSubstr("sm80.block64x64.d64"));
  }
}

TEST_F(DeviceBenchTest, AKernelThatWritesNothingOrPlausibleWrongValuesIsWrong) {
  const auto launches = [&](void (*launch)(const kernels::gpu::AttentionCall&)) {
    static kernels::gpu::Variant variant;
    variant = kernels::gpu::VariantNamed("sm80.block64x64.d64");
    variant.launch = launch;
    Open({}, {.kernels = {&variant, 1}});
    return Run(Small("sm80.block64x64.d64", {64, 64}, 1.0));
  };
  const Trial nothing = launches([](const kernels::gpu::AttentionCall&) {});
  EXPECT_EQ(nothing.outcome, TrialOutcome::kWrong);
  EXPECT_THAT(nothing.detail, HasSubstr("nan"));
  // Attention with another scale: finite values of the right size, but wrong.
  const Trial other = launches([](const kernels::gpu::AttentionCall& call) {
    kernels::gpu::AttentionCall changed = call;
    changed.shape.scale *= 1.2F;
    kernels::gpu::VariantNamed("sm80.block64x64.d64").launch(changed);
  });
  EXPECT_EQ(other.outcome, TrialOutcome::kWrong);
  EXPECT_THAT(other.detail, HasSubstr("against fp64"));
}

TEST_F(DeviceBenchTest, AConfigurationThatTheDeviceCannotRunIsReportedAndLeavesNothingBehind) {
  Open({.arch = 80});
  const std::size_t before = emulated_gpu::BytesAlive();
  const Trial arch = Run(Small("sm90.block64x64.d64", {64, 64}, 1.0));
  EXPECT_EQ(arch.outcome, TrialOutcome::kUnavailable);
  EXPECT_THAT(arch.detail, HasSubstr("needs compute capability 9.0"));
  AttentionConfig large = Small("sm80.block64x64.d64", {64, 64}, 1.0);
  large.heads = 4000;
  large.q_blocks = large.k_blocks = 64;
  large = WithDensity(large, 0.01);
  const Trial memory = Run(large);
  EXPECT_EQ(memory.outcome, TrialOutcome::kUnavailable);
  const auto gb = fmt::format("{:.3f} GB", static_cast<double>(DeviceBytes(large)) / 1e9);
  EXPECT_THAT(memory.detail, HasSubstr("need " + gb));
  EXPECT_THAT(memory.detail, HasSubstr("are free"));
  const Trial unknown = Run(Small("sm80.block1x1", {64, 64}, 1.0));
  EXPECT_EQ(unknown.outcome, TrialOutcome::kFailed);
  EXPECT_THAT(unknown.detail, HasSubstr("there is no GPU kernel 'sm80.block1x1'"));
  const Trial block = Run(Small("sm80.block64x64.d64", {64, 32}, 1.0));
  EXPECT_EQ(block.outcome, TrialOutcome::kFailed);
  EXPECT_THAT(block.detail, HasSubstr("64x64 blocks; the configuration has"));
  const Trial dim = Run(LocalConfig{"merge", 10, 32, {64, 64}});
  EXPECT_EQ(dim.outcome, TrialOutcome::kFailed);
  EXPECT_EQ(emulated_gpu::BytesAlive(), before);
  EXPECT_EQ(Run(Small("sm80.block64x64.d64", {64, 64}, 0.5)).outcome, TrialOutcome::kOk)
      << "the run continues";
}

TEST_F(DeviceBenchTest, AnInterruptLeavesNothingToStore) {
  Open({});
  int asked = 0;
  for (const TrialConfig& config : {TrialConfig(Small("sm80.block64x64.d64", {64, 64}, 0.5)),
                                    TrialConfig(LocalConfig{"merge", 33, 64, {64, 64}})}) {
    RunSettings settings{.bench = bench_};
    settings.interrupted = [&] { return ++asked > 1; };
    EXPECT_FALSE(RunTrial(config, settings).has_value());
  }
}

TEST_F(DeviceBenchTest, AnAbsentDeviceIsUnavailable) {
  emulated_gpu::Configure({.devices = 2});
  try {
    (void)OpenBench({runtime::DeviceKind::kCuda, 5}, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("--device cuda:5: unavailable: no device 5"));
  }
}

}  // namespace
}  // namespace dbsp::profiler
