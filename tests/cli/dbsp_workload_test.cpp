// SPDX-License-Identifier: Apache-2.0
// Runs the binary: flags, exit codes, output, and what is left on disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "core/arrays/array.h"
#include "core/file.h"
#include "test_paths.h"
#include "tests/core/temporary_folder.h"
#include "tests/measured_data.h"
#include "tests/shared_data.h"

namespace dbsp {
namespace {

using ::testing::HasSubstr;

struct Result {
  int exit_code = -1;
  std::string output;  ///< stdout and stderr together
};

Result RunWorkload(const std::string& arguments) {
  const std::string command = DBSP_BINARY_DIR "/bin/dbsp-workload " + arguments + " 2>&1";
  Result result;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (std::size_t got = 1; got > 0;) {
    got = std::fread(buffer, 1, sizeof buffer, pipe);
    result.output.append(buffer, got);
  }
  const int status = ::pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

class WorkloadToolTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string File(const std::string& name) const {
    return (folder_ / name).string();
  }
  /// Fails unless the tool refuses with one line, exit 2 and no file written.
  void ExpectRefused(const std::string& arguments, const std::string& words) const {
    const Result result = RunWorkload(arguments + " -o " + File("refused.json"));
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_THAT(result.output, HasSubstr(words));
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
    EXPECT_FALSE(std::filesystem::exists(File("refused.json")));
  }
  testing::TemporaryFolder folder_;
};

TEST_F(WorkloadToolTest, MakesTheLargePresetAndSaysWhatItHolds) {
  const std::string file = File("w.json");
  const Result make =
      RunWorkload("make --model wan2.1-t2v-14b-720p --mask radial:decay=0.2 -o " + file);
  EXPECT_EQ(make.exit_code, 0) << make.output;
  const Result text = RunWorkload("info " + file);
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, HasSubstr("591 x 591 of 128x128"));
  const Result info = RunWorkload("info --json " + file);
  const auto json = nlohmann::json::parse(info.output);
  EXPECT_EQ(json["schema"], "dbsp.workload_info/1");
  EXPECT_EQ(json["cells"], 2000);
  EXPECT_EQ(json["rules"][0]["cells"], 38 * 39);
  EXPECT_NEAR(json["rules"][0]["density"]["mean"].get<double>(), 0.2647, 5e-5);
  EXPECT_EQ(json["rules"][1]["cells"], 2000 - 38 * 39);
  EXPECT_EQ(json["blocks"], nlohmann::json({591, 591}));
  EXPECT_EQ(json["mask_bytes_per_cell"], 40 * 591 * 10 * 8);
  EXPECT_EQ(json["dense_flops"].get<double>(),
            4.0 * 128 * 40 * 2 * 2000 * 591 * 591 * 128.0 * 128.0);
}

TEST_F(WorkloadToolTest, EveryPresetTakesEveryRuleThatNeedsNoFile) {
  const std::string file = File("w.json");
  for (const char* preset :
       {"wan2.2-ti2v-5b", "hunyuanvideo-1.5-720p", "cogvideox-5b", "flux.1-dev"}) {
    for (const char* mask : {"dense", "radial", "svg1:kept=0.3", "vsa", "random:density=0.2"}) {
      const Result result =
          RunWorkload(std::string("make --model ") + preset + " --mask " + mask + " -o " + file);
      EXPECT_EQ(result.exit_code, 0) << preset << " " << mask << " " << result.output;
    }
  }
}

TEST_F(WorkloadToolTest, ListHasALineForEveryPresetAndRule) {
  const Result list = RunWorkload("list");
  EXPECT_EQ(list.exit_code, 0);
  int lines = 0;
  for (std::istringstream text(list.output); text;) {
    std::string line;
    if (!std::getline(text, line) || !line.starts_with("  ")) continue;
    ++lines;
    EXPECT_NE(line.find_first_of(':'), line.size() - 2) << line;
    EXPECT_GT(line.size(), 30U) << line << ": a name without a description";
  }
  EXPECT_GE(lines, 14 + 8);
  for (const char* part : {"minimax-h3-2k-15s",
                           "56 heads x 128, 219486 tokens",
                           "  radial ",
                           "  sta ",
                           "  density  ",
                           "  array "}) {
    EXPECT_NE(list.output.find(part), std::string::npos) << part << "\n" << list.output;
  }
}

TEST_F(WorkloadToolTest, ScaledShapesAndPlainShapesAreMade) {
  const std::string file = File("w.json");
  const Result scaled = RunWorkload(
      "make --model wan2.1-t2v-1.3b-480p --grid 21,10,18 --layers 4 --steps 6 "
      "--mask radial:dense_steps=1 -o " +
      file);
  EXPECT_EQ(scaled.exit_code, 0) << scaled.output;
  EXPECT_THAT(scaled.output, HasSubstr("wan2.1-t2v-1.3b-480p (changed), 4 layers x 6 steps"));
  auto json = nlohmann::json::parse(RunWorkload("info --json " + file).output);
  EXPECT_EQ(json["rules"][0]["cells"], 3 * 5);
  EXPECT_LT(json["rules"][0]["density"]["mean"].get<double>(), 1.0);
  const Result plain = RunWorkload(
      "make --heads 3 --head-dim 32 --tokens 1000 --text-tokens 40 --block 64x32 --passes 2 "
      "--name mine --mask random:density=0.5 -o " +
      file);
  EXPECT_EQ(plain.exit_code, 0) << plain.output;
  json = nlohmann::json::parse(RunWorkload("info --json " + file).output);
  EXPECT_EQ(json["model"]["tokens"], 1000);
  EXPECT_EQ(json["model"]["grid"], nlohmann::json({1, 1, 960}));
  EXPECT_EQ(json["blocks"], nlohmann::json({16, 32}));
  EXPECT_EQ(json["rules"][0]["positions"], "synthetic");
}

TEST_F(WorkloadToolTest, SameFlagsMakeTheSameBytes) {
  const std::string flags = "make --model mochi --mask random:density=0.1,seed=3 -o ";
  EXPECT_EQ(RunWorkload(flags + File("a.json")).exit_code, 0);
  EXPECT_EQ(RunWorkload(flags + File("b.json")).exit_code, 0);
  EXPECT_EQ(ReadFile(File("a.json")), ReadFile(File("b.json")));
}

TEST_F(WorkloadToolTest, BadFlagsAreUsageErrorsThatNameTheNearest) {
  ExpectRefused("make --model wan2.1-t2v-14b-720 --mask dense", "'wan2.1-t2v-14b-720p'");
  ExpectRefused("make --modle mochi", "'--model'");
  ExpectRefused("make --model mochi --mask radail", "'radial'");
  ExpectRefused("make --model mochi --mask radial:decya=1", "'decay'");
  ExpectRefused("make --model mochi --grid 1,2", "--grid: expected T,H,W");
  ExpectRefused("make --model mochi --block 0x64", "--block: expected QxK");
  ExpectRefused("make --model mochi --steps 0", "--steps");
  ExpectRefused("make --model mochi --steps 2.5", "--steps");
  ExpectRefused("make --model mochi --grid 2,3,4 --tokens 99", "--tokens 99");
  ExpectRefused("make --tokens 100", "--heads");
  ExpectRefused("make --heads 2", "--grid T,H,W or --tokens");
  ExpectRefused("make --model mochi --grid 1048576,1048576,1048576", "tokens");
  ExpectRefused("make --model mochi extra", "extra");
  EXPECT_EQ(RunWorkload("").exit_code, 2);
  EXPECT_EQ(RunWorkload("inof x").exit_code, 2);
  EXPECT_EQ(RunWorkload("--version").exit_code, 0);
  EXPECT_EQ(RunWorkload("make --help").exit_code, 0);
}

TEST_F(WorkloadToolTest, HelpGroupsTheFlagsAndEndsWithExamples) {
  EXPECT_THAT(RunWorkload("--help").output, HasSubstr("Examples:\n  dbsp-workload make"));
  const std::string help = RunWorkload("make --help").output;
  EXPECT_THAT(help, HasSubstr("\nMasks:\n"));
  EXPECT_THAT(help, HasSubstr("\nOutput:\n"));
  EXPECT_THAT(help, HasSubstr("Examples:\n  dbsp-workload make"));
}

TEST_F(WorkloadToolTest, FilesThatCannotBeReadOrWrittenAreErrors) {
  EXPECT_EQ(RunWorkload("make --model mochi -o /nonexistent-folder/w.json").exit_code, 2);
  EXPECT_EQ(RunWorkload("info " + File("absent.json")).exit_code, 2);
  std::ofstream(File("cut.json")) << "{\"schema\": \"dbsp.workload/1\", ";
  const Result cut = RunWorkload("info " + File("cut.json"));
  EXPECT_EQ(cut.exit_code, 2);
  EXPECT_THAT(cut.output, HasSubstr("cut.json: line 1"));
  std::ofstream(File("sta.json")) << R"({"0_0_0": [1, 2]})";
  ExpectRefused("make --model mochi --mask sta:file=" + File("sta.json"), "key '0_0_0'");
  ExpectRefused("make --model mochi --mask sta:file=" + File("absent.json"), "absent.json");
}

TEST_F(WorkloadToolTest, AFailedMakeLeavesTheOldFileAlone) {
  std::ofstream(File("old.json")) << "old";
  EXPECT_EQ(RunWorkload("make --model mochi --mask radail -o " + File("old.json")).exit_code, 2);
  EXPECT_EQ(ReadFile(File("old.json")), "old");
}

TEST_F(WorkloadToolTest, StaFilesOfAnotherGridAreRefusedSayingWhich) {
  const testing::TemporaryFolder folder;
  const auto path = testing::WriteStaJson("wan", folder.path());
  const std::string mask = " --mask sta:file=" + path.string();
  ExpectRefused("make --model wan2.1-t2v-14b-720p" + mask, "--grid 24,48,80");
  ExpectRefused("make --model wan2.1-t2v-14b-720p --grid 24,48,80" + mask, "made for 3x6x10 tiles");
  ExpectRefused("make --model hunyuanvideo-768p-117f" + mask, "40 layers");
}

TEST_F(WorkloadToolTest, ExportedMasksComeBackThroughTheArrayRule) {
  const std::string shape = "make --heads 3 --grid 4,8,16 --layers 2 --steps 2 --block 64x32 ";
  EXPECT_EQ(
      RunWorkload(shape + "--mask random:density=0.4,spread=0.5 -o " + File("w.json")).exit_code,
      0);
  const Result exported =
      RunWorkload("export " + File("w.json") + " --step 1 --layer 1 -o " + File("m.npz"));
  EXPECT_EQ(exported.exit_code, 0) << exported.output;
  const Array mask = LoadArray(File("m.npz"), "mask");
  EXPECT_EQ(mask.shape, (std::vector<std::int64_t>{3, 8, 16}));
  EXPECT_EQ(mask.type, ArrayType::kB1);

  const std::string array = "--mask array:file=" + File("m.npz") + ",name=mask,block=64x32 -o ";
  const Result made = RunWorkload(shape + array + File("again.json"));
  EXPECT_EQ(made.exit_code, 0) << made.output;
  EXPECT_THAT(ReadFile(File("again.json")), HasSubstr("\"file\": \"m.npz\""));
  const Result again =
      RunWorkload("export " + File("again.json") + " --step 0 --layer 0 -o " + File("n.npz"));
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(LoadArray(File("n.npz"), "mask").bytes, mask.bytes);

  EXPECT_EQ(
      RunWorkload("export " + File("w.json") + " --step 2 --layer 0 -o " + File("x.npz")).exit_code,
      2);
  EXPECT_FALSE(std::filesystem::exists(File("x.npz")));
  std::ofstream(File("m.npz"), std::ios::app) << "x";
  const Result changed = RunWorkload("info " + File("again.json"));
  EXPECT_EQ(changed.exit_code, 2);
  EXPECT_THAT(changed.output, HasSubstr("changed since the workload was made"));
}

TEST_F(WorkloadToolTest, DensitiesOfCountsFractionsAndProfilesAreKeptExactly) {
  const std::string shape = "make --heads 2 --grid 1,8,16 --layers 1 --steps 2 --block 16x32 ";
  Array counts = MakeArray(ArrayType::kI4, {2, 1, 2});
  const std::vector<std::int32_t> values{0, 7, 16, 32};
  std::copy_n(
      reinterpret_cast<const char*>(values.data()), counts.bytes.size(), counts.bytes.data());
  WriteNpy(File("c.npy"), counts);
  const std::string file = File("w.json");
  EXPECT_EQ(RunWorkload(shape + "--mask density:file=" + File("c.npy") + " -o " + file).exit_code,
            0);
  auto rule = nlohmann::json::parse(RunWorkload("info --json " + file).output)["rules"][0];
  EXPECT_EQ(rule["density"]["max"], 1.0);
  EXPECT_EQ(rule["density"]["mean"].get<double>(), 55.0 / 128);
  EXPECT_EQ(rule["positions"], "synthetic");
  EXPECT_EQ(RunWorkload(shape + "--mask density:total=64,file=" + File("c.npy") + " -o " + file)
                .exit_code,
            0);
  rule = nlohmann::json::parse(RunWorkload("info --json " + file).output)["rules"][0];
  EXPECT_EQ(rule["density"]["max"], 0.5);
  ExpectRefused(shape + "--mask density:total=31,file=" + File("c.npy"), "at [1, 0, 1]");
  ExpectRefused(
      "make --heads 3 --grid 1,8,16 --layers 1 --steps 2 --mask density:file=" + File("c.npy"),
      "2 steps x 1 layers x 2 heads");

  const std::string header = "Step,Layer,Head,Sparsity\n";
  std::ofstream(File("p.csv")) << header << "1,0,0,0.5\n1,0,1,0.25\n2,0,0,1\n2,0,1,0\n";
  EXPECT_EQ(RunWorkload(shape + "--mask density:file=" + File("p.csv") + " -o " + file).exit_code,
            0);
  rule = nlohmann::json::parse(RunWorkload("info --json " + file).output)["rules"][0];
  EXPECT_EQ(rule["density"]["mean"].get<double>(), 1.75 / 4);
  std::ofstream(File("q.csv")) << header << "1,0,0,0.5\n1,0,1,nan\n";
  ExpectRefused(shape + "--mask density:file=" + File("q.csv"), "q.csv: line 3");
  std::ofstream(File("r.csv")) << header << "1,0,0,0.5\n2,0,1,0.5\n";
  ExpectRefused(shape + "--mask density:file=" + File("r.csv"),
                "step 1, layer 0, head 1 is missing");
}

TEST_F(WorkloadToolTest, DensityLogsOfJsonLinesAreKeptExactly) {
  const std::string shape = "make --heads 2 --grid 1,8,16 --layers 1 --steps 2 --block 16x32 ";
  const std::string first =
      R"({"timestep": 999.5, "layer": 0, "avg_density": 0.1, "density": [[0.5, 0.25], [1, 1]]})";
  const std::string second = R"({"timestep": 980, "layer": 0, "density": [[1, 0], [0.5, 0.5]]})";
  std::ofstream(File("d.jsonl")) << first << "\n\n" << second << "\n";
  const std::string mask = "--mask density:file=" + File("d.jsonl");
  const std::string file = File("w.json");
  const auto mean = [&](const std::string& options) {
    EXPECT_EQ(RunWorkload(shape + mask + options + " -o " + file).exit_code, 0);
    const auto json = nlohmann::json::parse(RunWorkload("info --json " + file).output);
    return json["rules"][0]["density"]["mean"].get<double>();
  };
  EXPECT_EQ(mean(""), 1.75 / 4);
  EXPECT_EQ(mean(",pass=1"), 3.0 / 4);
  ExpectRefused(shape + mask + ",total=64", "no total=");

  const std::string bad = "--mask density:file=" + File("bad.jsonl");
  const auto refused = [&](const std::string& text, const std::string& words) {
    std::ofstream(File("bad.jsonl")) << text;
    ExpectRefused(shape + bad, words);
  };
  refused(first + "\n{\"timestep\": 980", "bad.jsonl: line 2");
  refused(first + "\n", "holds 1 steps x 1 layers x 2 heads");
  refused(first + "\n" + second + "\n" + second, "line 3: timestep 980, layer 0 has 2 lines");
  refused(first + "\n" + R"({"timestep": 980, "layer": 0, "density": [[1.5, 0]]})",
          "key 'density[0][0]'");
  std::ofstream(File("bad.jsonl")) << R"({"timestep": 1, "layer": 0, "density": [[1, 0]]})"
                                   << "\n"
                                   << R"({"timestep": 0, "layer": 0, "density": [[1, 0]]})";
  ExpectRefused(shape + bad + ",pass=1", "entry 1 (option 'pass')");
}

TEST_F(WorkloadToolTest, MeasuredCountsGiveTheirDensities) {
  const auto path = testing::SharedData("wan14b_sparge_density/head_density_30x40x40.npy");
  if (path.empty()) GTEST_SKIP() << testing::kNoSharedData;
  const std::string file = File("w.json");
  const Result made = RunWorkload(
      "make --model wan2.1-t2v-14b-480p --steps 30 --block 128x64 --mask "
      "density:file=" +
      path.string() + " -o " + file);
  EXPECT_EQ(made.exit_code, 0) << made.output;
  const auto json = nlohmann::json::parse(RunWorkload("info --json " + file).output);
  const Array counts = LoadArray(path);
  double sum = 0;
  for (std::int64_t i = 0; i < counts.size(); ++i) sum += counts.Double(i);
  EXPECT_NEAR(
      json["density"].get<double>(), sum / static_cast<double>(counts.size()) / 131072, 1e-9);
}

}  // namespace
}  // namespace dbsp
