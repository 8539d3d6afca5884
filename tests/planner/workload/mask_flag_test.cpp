// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_flag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"

namespace dbsp::planner {
namespace {

using testing::HasSubstr;

Workload Small() {
  Workload workload;
  workload.model = ModelPreset("wan2.1-t2v-1.3b-480p");
  workload.model.grid = {6, 16, 16};
  workload.model.layers = 4;
  workload.model.steps = 20;
  return workload;
}

std::string ErrorOf(const std::string& flag, Workload workload = Small()) {
  const Workload before = workload;
  try {
    ApplyMaskFlag(flag, workload);
  } catch (const Error& error) {
    EXPECT_EQ(workload.rules, before.rules);
    return error.what();
  }
  return "no error";
}

TEST(MaskFlagTest, UnknownNamesAreRefusedWithTheNearestKnownName) {
  EXPECT_THAT(ErrorOf("radal"), HasSubstr("unknown mask rule 'radal'; nearest known: 'radial'"));
  EXPECT_THAT(ErrorOf("radial:deca=0.2"), HasSubstr("nearest known: 'decay'"));
  EXPECT_THAT(ErrorOf("radial:dense_step=2"), HasSubstr("nearest known: 'dense_steps'"));
  EXPECT_THAT(ErrorOf("random:density=0.5,pattern=bnad"), HasSubstr("nearest known: 'band'"));
  EXPECT_THROW(static_cast<void>(ModelPreset("wan2.1-14b")), Error);
}

TEST(MaskFlagTest, WordsOfArraysAreKnown) {
  EXPECT_THAT(ErrorOf("array:file=x.npz,lut=steps"),
              HasSubstr("option lut: expected delta or ordinal, found 'steps'"));
  EXPECT_THAT(ErrorOf("array:file=x.npz,packed=1"),
              HasSubstr("option packed: expected little or big, found '1'"));
}

TEST(MaskFlagTest, ValuesOutOfRangeAreRefused) {
  for (const char* flag : {"radial:decay=nan",
                           "radial:decay=inf",
                           "radial:decay=-1",
                           "radial:decay=0.2x",
                           "radial:decay=",
                           "radial:",
                           "radial:decay",
                           "radial:decay=1,decay=2",
                           "radial:dense_steps=-1",
                           "radial:dense_steps=1.5",
                           "radial:block=0",
                           "radial:sink=2",
                           "random",
                           "random:density=1.01",
                           "random:density=0.5,seed=-1",
                           "random:density=0.5,spread=2",
                           "svg1:kept=0",
                           "vsa:sparsity=1.5",
                           "sta",
                           "sta:window=3x3",
                           "sta:window=3x3x0",
                           "sta:window=3x3x3,file=x.json",
                           "sta:window=1x1x1,tiles=1x2x2",
                           "dense:x=1",
                           ""}) {
    EXPECT_THAT(ErrorOf(flag), testing::Not("no error")) << flag;
  }
}

TEST(MaskFlagTest, BlocksThatDoNotFitTheRuleAreRefused) {
  Workload workload = Small();
  workload.block = {100, 128};
  EXPECT_THAT(ErrorOf("radial", workload), HasSubstr("--block 128x128 fits"));
  EXPECT_THAT(ErrorOf("sta:window=1x1x1", workload), HasSubstr("sides divide 384"));
  workload.block = {384, 96};
  EXPECT_EQ(ErrorOf("sta:window=1x1x1", workload), "no error");
  EXPECT_THAT(ErrorOf("vsa", workload), HasSubstr("--block 64x64 fits"));
}

TEST(MaskFlagTest, OptionsAreStoredCanonicallyWithDefaults) {
  Workload a = Small();
  Workload b = Small();
  ApplyMaskFlag("radial:decay=0.20,dense_steps=12", a);
  ApplyMaskFlag("radial", b);
  EXPECT_EQ(HashOf(a), HashOf(b));
  EXPECT_EQ(
      a.rules[0].options,
      (std::map<std::string, std::string>{{"block", "128"}, {"decay", "0.2"}, {"sink", "1"}}));
}

TEST(MaskFlagTest, WarmUpFollowsTheMethodAndCanBeSetOrRemoved) {
  Workload workload = Small();
  ApplyMaskFlag("radial", workload);
  EXPECT_EQ(workload.RuleAt(11, 3).rule, "dense");
  EXPECT_EQ(workload.RuleAt(12, 1).rule, "radial");
  EXPECT_EQ(workload.RuleAt(19, 0).rule, "dense");
  ApplyMaskFlag("radial:dense_steps=0,dense_layers=0", workload);
  EXPECT_EQ(workload.rules.size(), 1U);
  EXPECT_EQ(workload.RuleAt(0, 0).rule, "radial");
  ApplyMaskFlag("radial:dense_steps=99,dense_layers=0", workload);
  EXPECT_EQ(workload.RuleAt(19, 3).rule, "dense");
  workload.model.name = "wan2.2-a14b-720p";
  workload.block = DefaultBlock("radial", workload.model);
  EXPECT_EQ(workload.block, (BlockSize{64, 64}));
  ApplyMaskFlag("radial", workload);
  EXPECT_EQ(workload.rules[0].options.at("decay"), "0.8");
  EXPECT_EQ(workload.RuleAt(10, 1).rule, "dense");
  EXPECT_EQ(workload.RuleAt(11, 1).rule, "radial");
}

TEST(MaskFlagTest, HandEditedRulesAreCheckedWhenOpened) {
  Workload workload = Small();
  ApplyMaskFlag("radial", workload);
  workload.rules[0].options["decay"] = "many";
  EXPECT_THROW(static_cast<void>(OpenMasks(workload)), Error);
  workload.rules[0] = {"sta", {{"file", "x.json"}}, "abc"};
  EXPECT_THROW(static_cast<void>(OpenMasks(workload)), Error);
}

TEST(MaskFlagTest, PresetsHaveTheTokensOfTheirModels) {
  const std::vector<std::pair<const char*, std::int64_t>> tokens{
      {"wan2.1-t2v-1.3b-480p", 32760},
      {"wan2.1-t2v-14b-480p", 32760},
      {"wan2.1-t2v-14b-720p", 75600},
      {"wan2.1-t2v-14b-768p-69f", 69120},
      {"wan2.2-a14b-720p", 75600},
      {"wan2.2-ti2v-5b", 27280},
      {"hunyuanvideo-720p-129f", 118800 + 256},
      {"hunyuanvideo-768p-117f", 115200 + 256},
      {"hunyuanvideo-1.5-720p", 111600},
      {"cogvideox-5b", 17550 + 226},
      {"cogvideox1.5-5b", 44880 + 226},
      {"mochi", 44520 + 256},
      {"flux.1-dev", 4080 + 512},
      {"minimax-h3-2k-15s", 218280 + 1206}};
  EXPECT_EQ(ModelPresets().size(), tokens.size());
  for (const auto& [name, count] : tokens) EXPECT_EQ(ModelPreset(name).tokens(), count) << name;
}

/// Shapes whose masks would take hours or more memory than there is are refused at once.
TEST(MaskFlagTest, ShapesBeyondTheLimitsAreRefused) {
  Workload workload = Small();
  workload.model.grid = {1 << 20, 1, 1};
  EXPECT_THAT(ErrorOf("radial", workload), HasSubstr("1048576 frames of 1 tokens"));
  EXPECT_EQ(ErrorOf("svg1", workload), "no error");
  workload.block = {1, 1};
  EXPECT_THAT(ErrorOf("dense", workload), HasSubstr("use larger blocks"));
  workload = Small();
  workload.model.grid = {1, 2, 1 << 20};
  workload.block = {64, 64};
  EXPECT_EQ(ErrorOf("dense", workload), "no error");
  EXPECT_THAT(ErrorOf("vsa", workload), HasSubstr("use larger blocks"));
  workload.model.grid = {1, 1 << 9, 1 << 20};
  workload.block = {1 << 14, 1 << 14};
  EXPECT_THAT(ErrorOf("vsa", workload), HasSubstr("at most 1073741824 tokens"));
  workload = Small();
  workload.model.steps = workload.model.layers = 1 << 20;
  EXPECT_THAT(ErrorOf("dense", workload), HasSubstr("at most 1048576 cells"));
}

}  // namespace
}  // namespace dbsp::planner
