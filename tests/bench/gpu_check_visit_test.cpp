// SPDX-License-Identifier: Apache-2.0
// A dry run of the first, short visit to a machine with a GPU: the line of docs/gpu.md on emulated
// GPUs, with a kernel that hangs, one that faults, and libraries that are absent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "build_config.h"
#include "tests/bench/emulated_visit.h"
#include "tests/runtime/background_process.h"
#include "tests/runtime/environment_variable.h"
#include "tests/runtime/fake_vendor.h"

namespace {

using dbsp::testing::BackgroundProcess;
using dbsp::testing::EnvironmentVariable;
using dbsp::testing::Eventually;
using dbsp::testing::FileText;
using dbsp::testing::RunCommand;
using dbsp::testing::TemporaryFolder;
using dbsp::testing::ToolResult;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

constexpr const char* kHangs = "sm90.block64x64.d128";  ///< SLA's first case and speed would run it
constexpr const char* kFaults = "sm90.block64x64.d64";  ///< profile and replay would choose it
constexpr std::uintmax_t kMostBytes = std::uintmax_t{16} << 20U;

std::vector<std::string> LinesOf(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from << " is not in: " << text;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

class GpuCheckVisitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dbsp::testing::MakeEmulatedBin(folder_ / "bin");
    std::filesystem::create_directory(back());
  }
  [[nodiscard]] std::filesystem::path back() const { return folder_ / "back"; }
  [[nodiscard]] std::filesystem::path out() const { return folder_ / "out"; }

  /// The line that docs/gpu.md gives for the day, with tiny shapes and the folders of this test.
  [[nodiscard]] std::string LineOfTheDay() const {
    std::string found;
    for (const std::string& line : LinesOf(FileText(DBSP_SOURCE_DIR "/docs/gpu.md"))) {
      if (line.starts_with("scripts/gpu-check first --bin")) found = line;
    }
    found = Replaced(found, "scripts/gpu-check", DBSP_SOURCE_DIR "/scripts/gpu-check");
    found = Replaced(found, "out/bundle/bin", (folder_ / "bin").string());
    found = Replaced(found, "/tmp/gpu-check", out().string());
    return found + " --smoke";
  }
  [[nodiscard]] std::vector<std::string> Packed() const {
    return LinesOf(RunCommand("tar -tzf " + (back() / "gpu-check.tgz").string()).out);
  }
  [[nodiscard]] std::string PackedFile(const std::string& name) const {
    return RunCommand("tar -xzOf " + (back() / "gpu-check.tgz").string() + " " + name).out;
  }
  /// What comes back holds in one file, whatever is in it.
  void ExpectOneSmallFileBack() const {
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(back())) {
      ++files;
      EXPECT_EQ(entry.path().filename(), "gpu-check.tgz");
      EXPECT_LE(entry.file_size(), kMostBytes);
    }
    EXPECT_EQ(files, 1);
  }

  TemporaryFolder folder_;
  EnvironmentVariable libraries_ = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
};

TEST_F(GpuCheckVisitTest, AHangAFaultAndAbsentLibrariesCostNothingElse) {
  const EnvironmentVariable hang("DBSP_EMULATED_HANG", kHangs);
  const EnvironmentVariable fault("DBSP_EMULATED_FAULT", kFaults);
  const EnvironmentVariable deadline("DBSP_DEVICE_DEADLINE_S", "3");
  const EnvironmentVariable absent("DBSP_ABSENT_LIBRARIES", "libnccl,libcupti");
  const EnvironmentVariable variable("OUT", back().string());
  const ToolResult run =
      RunCommand("export LD_PRELOAD=" DBSP_BINARY_DIR "/fake_vendor/absent/absent_libraries.so; " +
                 LineOfTheDay());
  EXPECT_EQ(run.exit_code, 1) << "a fault and a hang are wrong\n" << run.out << run.err;

  // Both kernels are named, and no part after the first one ran them.
  EXPECT_THAT(run.out, ContainsRegex(std::string(kHangs) + " is left out from now on: .*not done"));
  EXPECT_THAT(run.out,
              ContainsRegex(std::string(kFaults) + " is left out .*loses the device context"));
  EXPECT_THAT(run.out, HasSubstr("SLA: 1 cases, 0 wrong"));
  EXPECT_THAT(run.out, ContainsRegex("kernels against fp64 .*missed .*20 of 22 kernels right"));
  for (const char* file : {"speed.jsonl", "repeat.jsonl", "profile.txt", "replay.txt"}) {
    int lines = 0;
    for (const std::string& line : LinesOf(FileText(out() / file))) {
      if (line.starts_with("note: DBSP_SKIP_KERNELS leaves out")) continue;
      ++lines;
      EXPECT_THAT(line, Not(HasSubstr(kHangs))) << file;
      EXPECT_THAT(line, Not(HasSubstr(kFaults))) << file;
    }
    EXPECT_GT(lines, 0) << file;
  }
  // Every part still has its result.
  EXPECT_THAT(run.out, ContainsRegex("speed +[0-9]+s  ok"));
  EXPECT_THAT(run.out, ContainsRegex("profile +[0-9]+s  (ok|cut off)"));
  EXPECT_THAT(run.out, ContainsRegex("repeat +[0-9]+s  ok"));
  EXPECT_THAT(run.out, ContainsRegex("replay +[0-9]+s  (ok|cut off)"));
  EXPECT_THAT(run.out, ContainsRegex("ranks +[0-9]+s  unavailable"));
  EXPECT_THAT(run.out, ContainsRegex("radial +ulysses .*verified"));
  EXPECT_THAT(run.out, ContainsRegex("CUPTI Activity on a replay .*not reached .*CUPTI"));
  EXPECT_THAT(run.out, ContainsRegex("NCCL: unavailable: "));

  // The limits come before the status of the parts, in the log and in the pack.
  EXPECT_LT(run.out.find("line  "), run.out.find("gpu-check: the results are in"));
  ExpectOneSmallFileBack();
  const std::vector<std::string> packed = Packed();
  ASSERT_GT(packed.size(), 20U);
  EXPECT_EQ(packed.front(), "report.txt");
  EXPECT_EQ(packed.back(), "profile.db");
  bool documents = false;
  for (const std::string& name : packed) {
    const bool table = name.ends_with(".txt") || name.ends_with(".jsonl") || name == "limits.json";
    EXPECT_FALSE(documents && table) << name << " must come before the documents";
    documents = documents || !table;
    EXPECT_FALSE(name.ends_with(".npy")) << name;
  }
  EXPECT_THAT(PackedFile("report.txt"), HasSubstr("kernels against fp64"));
  EXPECT_THAT(PackedFile("left-out.txt"), HasSubstr(std::string(kHangs) + "\t"));
}

TEST_F(GpuCheckVisitTest, ATermHalfWayKeepsWhatWasMeasured) {
  BackgroundProcess run({"/bin/bash", "-c", "exec " + LineOfTheDay()}, {{"OUT", back().string()}});
  ASSERT_TRUE(Eventually([&] { return LinesOf(FileText(out() / "small.jsonl")).size() > 6; },
                         std::chrono::seconds(120)))
      << run.Out() << run.Err();
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Code(), -SIGTERM) << run.Out() << run.Err();
  EXPECT_THAT(run.Err(), HasSubstr("stopped by SIGTERM; the results so far are kept"));
  EXPECT_THAT(run.Out(), ContainsRegex("kernels +[0-9]+s  stopped by SIGTERM"));
  EXPECT_THAT(run.Out(),
              HasSubstr("to run the rest: scripts/gpu-check speed profile repeat replay ranks"));
  EXPECT_THAT(run.Out(), HasSubstr("kernels against fp64"));
  ExpectOneSmallFileBack();
  EXPECT_EQ(Packed().front(), "report.txt");
  EXPECT_GT(LinesOf(PackedFile("small.jsonl")).size(), 6U);
}

TEST_F(GpuCheckVisitTest, APackAboveItsLimitKeepsTheTables) {
  std::filesystem::create_directory(out());
  // Random bytes do not get smaller.
  ASSERT_EQ(RunCommand("(head -c 17000000 /dev/urandom >" + (out() / "large.db").string() + ")")
                .exit_code,
            0);
  const ToolResult run = RunCommand(DBSP_SOURCE_DIR "/scripts/gpu-check repeat --smoke --bin " +
                                    (folder_ / "bin").string() + " --out " + out().string() +
                                    " --pack " + (back() / "gpu-check.tgz").string());
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("without databases and logs"));
  ExpectOneSmallFileBack();
  EXPECT_THAT(Packed(), ::testing::Contains("repeat.jsonl"));
  EXPECT_THAT(Packed(), Not(::testing::Contains("large.db")));
}

TEST_F(GpuCheckVisitTest, ASanitizerIsFoundBesideCudaAndWhatItDoesNotSupportIsUnavailable) {
  const std::filesystem::path cuda = folder_ / "cuda/bin";
  std::filesystem::create_directories(cuda);
  const auto sanitizer = [&](const std::string& script) {
    std::ofstream(cuda / "compute-sanitizer") << "#!/bin/sh\n" << script;
    std::filesystem::permissions(cuda / "compute-sanitizer", std::filesystem::perms::owner_all);
    const EnvironmentVariable home("CUDA_HOME", (folder_ / "cuda").string());
    return RunCommand(DBSP_SOURCE_DIR "/scripts/gpu-check sanitizer --smoke --bin " +
                      (folder_ / "bin").string() + " --out " + out().string());
  };
  const ToolResult unsupported = sanitizer(
      "echo '========= COMPUTE-SANITIZER'\n"
      "echo '========= Error: Device not supported. Please refer to the documentation'\nexit 1\n");
  EXPECT_EQ(unsupported.exit_code, 0) << unsupported.out << unsupported.err;
  EXPECT_THAT(unsupported.out, ContainsRegex("sanitizer +[0-9]+s  unavailable"));
  EXPECT_THAT(unsupported.out,
              HasSubstr("unavailable: memcheck: Error: Device not supported. Please refer"));

  const ToolResult wrong = sanitizer(
      "echo '========= Program hit cudaErrorNotSupported (error 801) due to \"operation not "
      "supported\"'\necho '========= ERROR SUMMARY: 1 error'\nexit 1\n");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.out, ContainsRegex("sanitizer +[0-9]+s  WRONG"));
}

TEST_F(GpuCheckVisitTest, KernelsThatAnEarlierCallLeftOutStayLeftOut) {
  const std::string command = DBSP_SOURCE_DIR "/scripts/gpu-check repeat --smoke --bin " +
                              (folder_ / "bin").string() + " --out " + out().string();
  {  // Any part names a kernel that ends its tool.
    const EnvironmentVariable fault("DBSP_EMULATED_HANG", "sm90.block128x128.d128");
    const EnvironmentVariable deadline("DBSP_DEVICE_DEADLINE_S", "1");
    const ToolResult first = RunCommand(command);
    EXPECT_EQ(first.exit_code, 1) << first.out << first.err;
    EXPECT_THAT(FileText(out() / "left-out.txt"),
                ::testing::StartsWith("sm90.block128x128.d128\tdbsp: sm90.block128x128.d128: not"));
  }
  const ToolResult run = RunCommand(command + " --skip sm90.block128x64.d128");
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json line = Json::parse(LinesOf(FileText(out() / "repeat.jsonl")).back());
  EXPECT_EQ(line["kernel"], "sm90.block64x128.d128");
  EXPECT_THAT(run.out, HasSubstr("kernel sm90.block128x128.d128 is left out: dbsp: "));
  const ToolResult unknown = RunCommand(command + " --skip sm90.block128x64");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("DBSP_SKIP_KERNELS: unknown kernel 'sm90.block128x64'"));
}

TEST_F(GpuCheckVisitTest, TheSharesOfTheFirstVisitFitIntoItsTime) {
  std::smatch found;
  const std::string script = FileText(DBSP_SOURCE_DIR "/scripts/gpu-check");
  ASSERT_TRUE(std::regex_search(script, found, std::regex("limit=([0-9]+)  # ten seconds")));
  const int limit = std::stoi(found[1]);
  EXPECT_LE(limit, 290);
  ASSERT_TRUE(std::regex_search(script, found, std::regex("reserved=\\((\\[kernels\\].*)\\)")));
  const std::string shares = found[1];
  int sum = 0;
  const std::regex number("=([0-9]+)");
  for (std::sregex_iterator at(shares.begin(), shares.end(), number), end; at != end; ++at) {
    sum += std::stoi((*at)[1]);
  }
  EXPECT_GE(sum, 200);
  EXPECT_LE(sum, limit);
}

}  // namespace
