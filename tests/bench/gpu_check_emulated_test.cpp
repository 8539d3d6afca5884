// SPDX-License-Identifier: Apache-2.0
// Runs gpu_check and scripts/gpu-check from end to end on emulated GPUs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "build_config.h"
#include "core/arrays/array.h"
#include "test_paths.h"
#include "tests/bench/emulated_visit.h"
#include "tests/runtime/environment_variable.h"
#include "tests/runtime/fake_vendor.h"

namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::FileText;
using dbsp::testing::RunCommand;
using dbsp::testing::TemporaryFolder;
using dbsp::testing::ToolResult;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

constexpr const char* kFolder = DBSP_BINARY_DIR "/emulated";

ToolResult GpuCheck(const std::string& arguments, const TemporaryFolder& folder) {
  return RunCommand(std::string(kFolder) + "/gpu_check " + arguments + " --out " +
                    (folder / "out").string());
}

/// Result lines of one part without the line about the device.
std::vector<Json> Lines(const TemporaryFolder& folder, const std::string& part) {
  std::istringstream text(FileText(folder / "out" / (part + ".jsonl")));
  std::vector<Json> lines;
  for (std::string line; std::getline(text, line);) {
    Json json = Json::parse(line);
    if (json["part"] == part) lines.push_back(std::move(json));
  }
  return lines;
}

std::string PathVariable() {
  const char* path = std::getenv("PATH");
  return path == nullptr ? "" : path;
}

TEST(GpuCheckEmulatedTest, TheFileOfALaterPartIsCheckedBeforeTheFirstPart) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "out/speed.jsonl");
  const ToolResult run = GpuCheck("correct speed speed", folder);
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("/out/speed.jsonl: is a folder"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out/correct.jsonl"));
}

TEST(GpuCheckEmulatedTest, SmallCasesOfKernelsAreRight) {
  const TemporaryFolder folder;
  const ToolResult run = GpuCheck("small --filter .block64x64.d64", folder);
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  std::set<std::string> kernels;
  for (const Json& line : Lines(folder, "small")) {
    EXPECT_TRUE(line["ok"]) << line;
    EXPECT_TRUE(line["bit_identical"]) << line;
    kernels.insert(line["kernel"]);
  }
  EXPECT_EQ(kernels, (std::set<std::string>{"sm80.block64x64.d64", "sm90.block64x64.d64"}));
}

TEST(GpuCheckEmulatedTest, MergesListsAndSlaAreRight) {
  for (const char* name : {"memory", "lists", "sla"}) {
    const TemporaryFolder folder;
    // The budget allows a few of the cases of SLA; all of them would take a minute.
    const ToolResult run = GpuCheck(std::string("small --budget 4 --filter ") + name, folder);
    EXPECT_THAT(run.exit_code, AnyOf(0, 124)) << run.out << run.err;
    EXPECT_GE(Lines(folder, "small").size(), 1U) << name;
    for (const Json& line : Lines(folder, "small")) EXPECT_TRUE(line["ok"]) << line;
  }
}

TEST(GpuCheckEmulatedTest, AWrongKernelIsNamedAndGivesExitCodeOne) {
  const EnvironmentVariable wrong("DBSP_EMULATED_WRONG", "1");
  const TemporaryFolder folder;
  const ToolResult run = GpuCheck("small --filter sm80.block64x64.d64", folder);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("wrong: sm80.block64x64.d64, case 0: "));
}

TEST(GpuCheckEmulatedTest, APartThatItsBudgetCutsOffGivesExitCode124) {
  const TemporaryFolder folder;
  const ToolResult run = GpuCheck("small --filter sla --budget 1", folder);
  EXPECT_EQ(run.exit_code, 124) << run.out;
  EXPECT_THAT(run.out, HasSubstr("small: the budget ended before the part was done"));
  EXPECT_THAT(run.out, HasSubstr(" 0 wrong"));
}

TEST(GpuCheckEmulatedTest, NamesAreExactAndTheFilterRunsExactlyThatOne) {
  const TemporaryFolder folder;
  const ToolResult names = GpuCheck("names", folder);
  EXPECT_EQ(names.exit_code, 0) << names.err;
  EXPECT_THAT(names.out, ::testing::StartsWith("sm90.block128x128.d128\n"));
  EXPECT_THAT(names.out, ::testing::EndsWith("\nmemory\nlists\nsla\n"));
  const ToolResult run = GpuCheck("small --filter =sm80.block64x64.d64 --cases 2", folder);
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  ASSERT_EQ(Lines(folder, "small").size(), 2U);
  for (const Json& line : Lines(folder, "small")) EXPECT_EQ(line["kernel"], "sm80.block64x64.d64");
}

TEST(GpuCheckEmulatedTest, AKernelThatHangsEndsTheProcessAtTheDeadlineAndIsNamed) {
  const EnvironmentVariable hang("DBSP_EMULATED_HANG", "sm90.block64x64.d64");
  const EnvironmentVariable deadline("DBSP_DEVICE_DEADLINE_S", "1");
  const TemporaryFolder folder;
  const ToolResult run = GpuCheck("small --filter .block64x64.d64", folder);
  EXPECT_EQ(run.exit_code, 4) << run.out;
  EXPECT_THAT(run.err, HasSubstr("dbsp: sm90.block64x64.d64: not done on the device after 1 s"));
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
}

TEST(GpuCheckEmulatedTest, ASkippedKernelNeverRuns) {
  const EnvironmentVariable fault("DBSP_EMULATED_FAULT", "sm90.block64x64.d64");
  const TemporaryFolder folder;
  EXPECT_EQ(GpuCheck("small --filter .block64x64.d64", folder).exit_code, 4);
  for (const char* part : {"small", "speed --smoke", "repeat --smoke", "curve --smoke"}) {
    const ToolResult run = GpuCheck(
        std::string(part) + " --filter .block64x64.d64 --skip sm90.block64x64.d64", folder);
    EXPECT_EQ(run.exit_code, 0) << part << run.out << run.err;
    EXPECT_THAT(run.err, HasSubstr("DBSP_SKIP_KERNELS leaves out these kernels: sm90"));
  }
  // SLA's exact part takes another kernel of the same blocks.
  const ToolResult sla =
      GpuCheck("small --budget 4 --filter sla --skip sm90.block64x64.d64", folder);
  EXPECT_THAT(sla.exit_code, AnyOf(0, 124)) << sla.out << sla.err;
}

/// Number of (query, key) pairs of a mask [heads][rows][cols] of `tokens` queries and keys.
std::int64_t PairsOf(const dbsp::Array& mask, int tokens, int q_block, int k_block) {
  const std::int64_t rows = mask.shape.at(1);
  const std::int64_t cols = mask.shape.at(2);
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < mask.size(); ++i) {
    const std::int64_t queries =
        std::min<std::int64_t>(q_block, tokens - i / cols % rows * q_block);
    const std::int64_t keys = std::min<std::int64_t>(k_block, tokens - i % cols * k_block);
    pairs += mask.Int(i) * queries * keys;
  }
  return pairs;
}

TEST(GpuCheckEmulatedTest, ServeAnswersRequestsAndWritesMasks) {
  const TemporaryFolder folder;
  const ToolResult run = RunCommand(
      "(printf 'groups\\nprepare 1 masks\\nsample 0\\nsample 99\\nsing\\nquit\\n' | " +
      std::string(kFolder) + "/gpu_check serve --smoke --out " + (folder / "out").string() + ")");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  std::istringstream text(run.out);
  std::vector<Json> answers;
  for (std::string line; std::getline(text, line);) answers.push_back(Json::parse(line));
  ASSERT_EQ(answers.size(), 5U) << run.out;
  EXPECT_EQ(answers[0]["groups"].size(), 11U);
  const Json& group = answers[1];
  EXPECT_EQ(group["group"], answers[0]["groups"][1]);
  EXPECT_TRUE(group["runners"][0].contains("expected_of_dense"));
  int masks = 0;
  for (const Json& runner : group["runners"]) {
    if (!runner.contains("mask_file")) continue;
    ++masks;
    const dbsp::Array mask = dbsp::LoadArray(runner["mask_file"].get<std::string>());
    EXPECT_EQ(mask.type, dbsp::ArrayType::kU1);
    ASSERT_EQ(mask.shape.size(), 3U);
    EXPECT_EQ(mask.shape[0], group["heads"]);
    EXPECT_EQ(PairsOf(mask, group["tokens"], runner["q_block"], runner["k_block"]),
              runner["pairs"]);
  }
  EXPECT_GE(masks, 5);
  EXPECT_GT(answers[2]["ns"].get<double>(), 0.0);
  EXPECT_EQ(answers[3]["error"], "there is no runner 99");
  EXPECT_EQ(answers[4]["error"], "request 'sing': expected a number");
}

/// Runs scripts/gpu-check with tiny shapes on emulated GPUs. The script finds the driver, every
/// part runs and writes results, and the table at the end gives the status of each part.
TEST(GpuCheckEmulatedTest, TheScriptRunsEveryPartAndPrintsTheirStatus) {
  const TemporaryFolder folder;
  // This compute-sanitizer only runs the program, to test how the script calls it.
  const std::string sanitizer = (folder / "compute-sanitizer").string();
  std::ofstream(sanitizer) << "#!/bin/sh\nwhile [ \"${1#-}\" != \"$1\" ]; do shift 2; done\n"
                              "exec \"$@\"\n";
  std::filesystem::permissions(sanitizer, std::filesystem::perms::owner_all);
  const EnvironmentVariable libraries = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const EnvironmentVariable path("PATH", folder.path().string() + ":" + PathVariable());
  const ToolResult run = RunCommand(
      DBSP_SOURCE_DIR "/scripts/gpu-check kernels repeat speed sanitizer curve --smoke --bin " +
      std::string(kFolder) + " --out " + (folder / "out").string());
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  for (const char* part : {"kernels", "repeat", "speed", "sanitizer", "curve"}) {
    EXPECT_THAT(run.out, ::testing::ContainsRegex(std::string(part) + " +[0-9]+s  ok")) << run.out;
  }
  EXPECT_THAT(run.out, HasSubstr("emulated GPU: compute capability 9.0"));
  EXPECT_THAT(run.out, Not(HasSubstr("TFLOP/s: "))) << "tiny shapes must have no expected speed";
  const std::vector<Json> repeats = Lines(folder, "repeat");
  ASSERT_EQ(repeats.size(), 1U);
  EXPECT_EQ(repeats[0]["medians_ns"].size(), 7U);
  EXPECT_GE(repeats[0]["spread"].get<double>(), 0);
  // The spread on an emulated device is arbitrary; the table must agree with it.
  const bool within = repeats[0]["spread"].get<double>() <= repeats[0]["limit"].get<double>();
  EXPECT_THAT(run.out,
              ::testing::ContainsRegex(std::string("repeated medians of one kernel +within 1% +") +
                                       (within ? "met" : "missed")));
  std::set<std::string> groups;
  for (const char* part : {"speed", "curve"}) {
    for (const Json& line : Lines(folder, part)) {
      if (line.contains("peers_unavailable")) continue;
      ASSERT_FALSE(line.contains("error")) << line;
      groups.insert(line["group"]);
      EXPECT_LE(line.value("spot_error", 0.0), 5e-3)
          << line;  // the lines of the group "memory" have none
      EXPECT_FALSE(line["samples_ns"].empty()) << line;
    }
  }
  EXPECT_EQ(groups.size(), 1U + 11U + 6U) << "the group memory and every group of both parts";
}

/// scripts/gpu-check profiles a device, plans with the measurements, and replays and verifies the
/// plans on that device.
TEST(GpuCheckEmulatedTest, PlansFromTheProfiledDeviceAreReplayedAndVerified) {
  const TemporaryFolder folder;
  const std::filesystem::path bin = folder / "bin";
  dbsp::testing::MakeEmulatedBin(bin);
  const EnvironmentVariable driver = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const EnvironmentVariable nccl =
      dbsp::testing::LibrariesFrom(DBSP_BINARY_DIR "/fake_vendor/processes");
  const ToolResult run =
      RunCommand(DBSP_SOURCE_DIR "/scripts/gpu-check profile replay ranks --smoke --bin " +
                 bin.string() + " --out " + (folder / "out").string());
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, ::testing::ContainsRegex("replay +[0-9]+s  ok")) << run.out;
  for (const char* family : {"ulysses", "ring", "dbsp", "balanced", "placed"}) {
    SCOPED_TRACE(family);
    EXPECT_THAT(run.out,
                ::testing::ContainsRegex(std::string("radial +") + family + " .*verified"));
    const Json replay =
        Json::parse(FileText(folder / "out" / (std::string("replay-radial-") + family + ".json")));
    EXPECT_EQ(replay["transport"], "serial");
    EXPECT_EQ(replay["planned_device"], "emulated GPU");
    EXPECT_TRUE(replay["verification"]["passed"]);
    EXPECT_LE(replay["verification"]["relative_error"].get<double>(), 5e-3);
  }
  const Json limits = Json::parse(FileText(folder / "out" / "limits.json"));
  const auto verdict = [&](const std::string& line) -> std::string {
    EXPECT_THAT(run.out, HasSubstr(line));
    for (const Json& row : limits["limits"]) {
      if (row["line"] == line) return row["verdict"];
    }
    return "no such line";
  };
  EXPECT_TRUE(limits["smoke"]);
  EXPECT_THAT(run.out, HasSubstr("these times mean nothing for the limits"));
  EXPECT_EQ(verdict("repeated medians of one kernel"), "not reached");
  EXPECT_EQ(verdict("full suite"), "not reached");
  EXPECT_THAT(verdict("serial replay, 8 ranks, verified"), AnyOf("met", "missed"));
  EXPECT_THAT(verdict("CUPTI Activity on a replay"),
              DBSP_HAVE_CUPTI ? AnyOf("met", "missed") : AnyOf("not reached", ""));
  if (!DBSP_HAVE_NCCL) {
    EXPECT_THAT(run.out, ::testing::ContainsRegex("overlap +[0-9]+s  unavailable"));
    EXPECT_THAT(run.out, ::testing::ContainsRegex("ranks +[0-9]+s  unavailable"));
    EXPECT_THAT(run.out, HasSubstr("NCCL: unavailable: not built"));
    return;
  }
  EXPECT_EQ(verdict("replay over NCCL, one rank"), "met");
  EXPECT_EQ(verdict("two ranks on one GPU"), "met");
  EXPECT_THAT(run.out, HasSubstr("times as long as alone"));
  EXPECT_THAT(run.out, ::testing::ContainsRegex("overlap +[0-9]+s  ok"));
  EXPECT_THAT(run.out, ::testing::ContainsRegex("one rank nccl .*verified"));
  EXPECT_THAT(run.out, HasSubstr("two ranks on one GPU: every exchange is right"));
}

}  // namespace
