// SPDX-License-Identifier: Apache-2.0
#include "profiler/tune_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "profiler/suites/pattern.h"

namespace dbsp::profiler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

AttentionConfig Shape(int head_dim = 64, BlockSize block = {64, 64}) {
  AttentionConfig config;
  config.heads = 2;
  config.head_dim = head_dim;
  config.block = block;
  config.q_blocks = config.k_blocks = 8;
  config.pattern = "dense";
  return WithDensity(config, 1.0);
}

Trial TrialOf(const AttentionConfig& config, std::vector<std::int64_t> samples) {
  Trial trial;
  trial.config = config;
  trial.method = "fake";
  trial.stop_reason = "spread";
  trial.samples_ns = std::move(samples);
  return trial;
}

TuneTarget TargetOf(const std::vector<std::string>& names) {
  TuneTarget target;
  for (const std::string& name : names) target.kernels.push_back({.name = name});
  return target;
}

/// A device on which every kernel takes `ns[kernel]`. With 0 it fails, with -n it fails from the
/// nth run on.
class FakeDevice {
 public:
  explicit FakeDevice(std::map<std::string, std::int64_t> ns) : ns_(std::move(ns)) {}
  [[nodiscard]] TuneRun Run() {
    return {
        .run = [this](const AttentionConfig& config, const MeasureLimits&) -> std::optional<Trial> {
          Trial trial = TrialOf(config, {});
          std::int64_t ns = ns_.at(config.kernel);
          const int turn = ++calls[config.kernel];
          if (ns < 0 && turn < -ns) ns = 100;
          if (ns <= 0) {
            trial.outcome = TrialOutcome::kFailed;
            trial.detail = "fails";
          } else {
            trial.samples_ns = {ns * 1000 + turn % 3, ns * 1000, ns * 1000 + 1};
          }
          return trial;
        },
        .budget_ns = 200'000'000};
  }
  std::map<std::string, int> calls;

 private:
  std::map<std::string, std::int64_t> ns_;
};

KernelChoice Tune(FakeDevice& device, const TuneTarget& target) {
  const auto shapes = ShapesOf({Shape()}, target);
  return TuneOneShape(shapes.at(0), device.Run()).value();
}

TEST(TuneKernelsTest, TheDefaultStaysUnlessAnotherKernelIsFasterByMoreThanTheNoise) {
  const TuneTarget target = TargetOf({"usual", "other"});
  FakeDevice faster({{"usual", 100}, {"other", 80}});
  KernelChoice choice = Tune(faster, target);
  EXPECT_EQ(choice.verdict, ChoiceVerdict::kSwitched);
  EXPECT_EQ(choice.config.kernel, "other");
  EXPECT_NEAR(choice.gain, 0.2, 0.01);
  EXPECT_THAT(choice.trials.back().detail, HasSubstr("chosen over usual: 20.0%"));

  FakeDevice nearly({{"usual", 1000}, {"other", 995}});
  choice = Tune(nearly, target);
  EXPECT_EQ(choice.verdict, ChoiceVerdict::kAmbiguous);
  EXPECT_EQ(choice.config.kernel, "usual");
  EXPECT_EQ(choice.fastest, "other");

  FakeDevice slower({{"usual", 100}, {"other", 120}});
  EXPECT_EQ(Tune(slower, target).verdict, ChoiceVerdict::kDefault);
}

TEST(TuneKernelsTest, WithMoreNoiseTheGainMustBeLarger) {
  TuneShape shape{.config = Shape(), .candidates = {"usual", "other"}};
  shape.config.kernel = "usual";
  const auto final = [&](const std::string& kernel, std::vector<std::int64_t> samples) {
    Trial trial = TrialOf(shape.config, std::move(samples));
    std::get<AttentionConfig>(trial.config).kernel = kernel;
    return trial;
  };
  const Trial usual = final("usual", {100, 101, 99, 100, 100, 101, 99});
  EXPECT_EQ(Decide(shape, {usual, final("other", {95, 94, 96, 95, 95, 94, 96})}).verdict,
            ChoiceVerdict::kSwitched);
  EXPECT_EQ(Decide(shape, {usual, final("other", {95, 70, 120, 80, 110, 94, 130})}).verdict,
            ChoiceVerdict::kAmbiguous);
  EXPECT_EQ(Decide(shape, {final("other", {95, 95, 95})}).verdict, ChoiceVerdict::kDefaultFailed);
  EXPECT_EQ(Decide(shape, {}).verdict, ChoiceVerdict::kNone);
}

TEST(TuneKernelsTest, AKernelThatFailsIsRemovedInEveryPhase) {
  const TuneTarget target = TargetOf({"usual", "never", "at first", "other"});
  FakeDevice device({{"usual", 90}, {"never", 0}, {"at first", -4}, {"other", 70}});
  const KernelChoice choice = Tune(device, target);
  EXPECT_EQ(choice.config.kernel, "other");
  EXPECT_EQ(device.calls["never"], 1);
  EXPECT_EQ(device.calls["at first"], 4);  // one trial before the final, three samples in the final
  int failed = 0;
  for (const Trial& trial : choice.trials) failed += trial.outcome == TrialOutcome::kFailed;
  EXPECT_EQ(failed, 2);
}

TEST(TuneKernelsTest, WhenTheDefaultFailsTheBestOtherKernelIsChosen) {
  FakeDevice device({{"usual", 0}, {"a", 90}, {"b", 80}});
  const KernelChoice choice = Tune(device, TargetOf({"usual", "a", "b"}));
  EXPECT_EQ(choice.verdict, ChoiceVerdict::kDefaultFailed);
  EXPECT_EQ(choice.config.kernel, "b");
  FakeDevice none({{"usual", 0}, {"a", 0}});
  EXPECT_EQ(Tune(none, TargetOf({"usual", "a"})).verdict, ChoiceVerdict::kNone);
}

TEST(TuneKernelsTest, TheFinalHasEightKernelsAndTheDefaultIsOneOfThem) {
  std::vector<std::string> names{"usual"};
  std::map<std::string, std::int64_t> ns{{"usual", 500}};
  for (int i = 0; i < 20; ++i) {
    names.push_back("k" + std::to_string(i));
    ns[names.back()] = 100 + i;
  }
  FakeDevice device(ns);
  const auto shapes = ShapesOf({Shape()}, TargetOf(names));
  EXPECT_EQ(shapes.at(0).candidates.size(), static_cast<std::size_t>(kMostMeasured));
  EXPECT_EQ(shapes.at(0).excluded.size(), 5U);
  const KernelChoice choice = TuneOneShape(shapes.at(0), device.Run()).value();
  int turns = 0;
  for (const Trial& trial : choice.trials) turns += trial.method.ends_with(kFinalSuffix);
  EXPECT_EQ(turns, kMostFinalists);
  EXPECT_GT(device.calls["usual"], 1);
  EXPECT_EQ(device.calls["k10"], 1);
  EXPECT_EQ(choice.config.kernel, "k0");
}

TEST(TuneKernelsTest, AnInterruptLeavesNoChoice) {
  const auto shapes = ShapesOf({Shape()}, TargetOf({"usual", "other"}));
  TuneRun run;
  run.run = [](const AttentionConfig&, const MeasureLimits&) { return std::nullopt; };
  EXPECT_FALSE(TuneOneShape(shapes.at(0), run));
}

TEST(TuneKernelsTest, FinishedTrialsAreStoredAtOnce) {
  FakeDevice device({{"usual", 100}, {"other", 80}});
  TuneRun run = device.Run();
  std::vector<std::string> kept;
  run.keep = [&](const Trial& trial) {
    kept.push_back(std::get<AttentionConfig>(trial.config).kernel + " " + trial.method);
  };
  const auto all = run.run;
  run.run = [&](const AttentionConfig& config, const MeasureLimits& limits) {
    return kept.size() == 2 ? std::nullopt : all(config, limits);  // interrupted in the final
  };
  const auto shapes = ShapesOf({Shape()}, TargetOf({"usual", "other"}));
  EXPECT_FALSE(TuneOneShape(shapes.at(0), run));
  EXPECT_THAT(kept, ElementsAre("usual fake", "other fake"));
  kept.clear();
  run.run = all;
  EXPECT_TRUE(TuneOneShape(shapes.at(0), run));
  EXPECT_THAT(kept,
              ElementsAre("usual fake", "other fake", "usual fake.turns", "other fake.turns"));
}

TEST(TuneKernelsTest, KnownTrialsAreNotRunAgain) {
  FakeDevice device({{"usual", 100}, {"other", 80}});
  TuneRun run = device.Run();
  run.known = [](const AttentionConfig& config) -> std::optional<Trial> {
    if (config.kernel != "other") return std::nullopt;
    return TrialOf(config, {80'000});
  };
  const auto shapes = ShapesOf({Shape()}, TargetOf({"usual", "other"}));
  const KernelChoice choice = TuneOneShape(shapes.at(0), run).value();
  EXPECT_EQ(device.calls["other"], device.calls["usual"] - 1);
  EXPECT_EQ(choice.config.kernel, "other");
}

TEST(TuneShapesTest, KernelsOfOtherShapesAreNotListedAndExcludedOnesHaveAReason) {
  const TuneTarget target = GpuTuneTarget(80, 108, 100'000);
  const auto shapes = ShapesOf({Shape(128, {128, 128}), Shape(128, {128, 128}), Shape(7)}, target);
  ASSERT_EQ(shapes.size(), 1U);
  EXPECT_FALSE(shapes[0].candidates.empty());
  std::string why;
  for (const auto& [kernel, words] : shapes[0].excluded) why += kernel + " " + words + "\n";
  EXPECT_THAT(why, HasSubstr("needs compute capability 9.0, but the device has 8.0"));
  for (const std::string& kernel : shapes[0].candidates) {
    EXPECT_EQ(kernel.find("sm90"), std::string::npos);
  }
  const auto small = ShapesOf({Shape(128, {128, 128})}, GpuTuneTarget(90, 132, 1000));
  for (const TuneShape& shape : small) {
    for (const auto& [kernel, words] : shape.excluded) {
      EXPECT_THAT(words, HasSubstr("bytes of shared memory")) << kernel;
    }
  }
}

TEST(TuneShapesTest, KernelsForTheDeviceComeBeforePortableKernels) {
  const auto shapes = ShapesOf({Shape(128, {128, 128})}, GpuTuneTarget(90, 132, 232'448));
  ASSERT_EQ(shapes.size(), 1U);
  EXPECT_THAT(shapes[0].candidates.front(), HasSubstr("sm90."));
  EXPECT_THAT(shapes[0].candidates.back(), HasSubstr("sm80."));
}

}  // namespace
}  // namespace dbsp::profiler
