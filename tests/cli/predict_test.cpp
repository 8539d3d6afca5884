// SPDX-License-Identifier: Apache-2.0
// Runs dbsp-workload predict on files of Q and K, and on files that do not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/cli/run_tool.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kTokens = 150;
constexpr int kHeads = 2;
constexpr int kSteps = 4;
constexpr int kDim = 8;

class PredictTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::vector<int> shape{kSteps, 1, kHeads, kTokens, kDim};
    Write("q.npy", shape, Draw(1, 3.0F));
    Write("k.npy", shape, Draw(2, 3.0F));
  }
  [[nodiscard]] std::string File(const std::string& name) const {
    return (folder_ / name).string();
  }
  static std::vector<float> Draw(std::uint64_t seed, float deviation) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal(0, deviation);
    std::vector<float> values(kSteps * kHeads * kTokens * kDim);
    for (float& value : values) value = normal(random);
    return values;
  }
  void Write(const std::string& name,
             const std::vector<int>& shape,
             const std::vector<float>& values) {
    std::string text = "(";
    for (const int size : shape) text += std::to_string(size) + ", ";
    std::string bytes;
    for (const float value : values) bytes += LittleEndian(std::bit_cast<std::uint32_t>(value), 4);
    std::ofstream(File(name), std::ios::binary) << MakeNpy(NpyHeader("<f4", text + ")"), bytes);
  }
  ToolResult Predict(const std::vector<std::string>& more,
                     int exit_code = 0,
                     const std::string& q = "q.npy",
                     const std::string& k = "k.npy") const {
    std::vector<std::string> arguments{
        "predict", "--q", File(q), "--k", File(k), "-o", File("w.json")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ToolResult result = RunTool("dbsp-workload", arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return result;
  }
  std::string Lists(int step) const {
    const ToolResult result = RunTool("dbsp-workload",
                                      {"export",
                                       File("w.json"),
                                       "--step",
                                       std::to_string(step),
                                       "--layer",
                                       "0",
                                       "--keys",
                                       "lists",
                                       "-o",
                                       File("l.npz")});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return FileText(File("l.npz"));
  }
  TemporaryFolder folder_;
};

TEST_F(PredictTest, ListsOfEveryStepBecomeAWorkload) {
  const ToolResult result = Predict({"--predictor", "threshold:2", "--queries", "64", "--report"});
  EXPECT_THAT(result.err, HasSubstr("axes TLHSD"));
  EXPECT_THAT(result.err, HasSubstr("1 / sqrt(head dimension)"));
  EXPECT_THAT(result.out, HasSubstr("recall of softmax mass: mean 0."));
  EXPECT_THAT(result.out, HasSubstr("over 1200 of 1200 query rows"));
  EXPECT_THAT(result.out, HasSubstr("64x1 "));
  EXPECT_TRUE(std::filesystem::exists(File("w.keys.safetensors")));
  const auto json =
      nlohmann::json::parse(RunTool("dbsp-workload", {"info", File("w.json"), "--json"}).out);
  EXPECT_EQ(json["model"]["tokens"], kTokens);
  EXPECT_EQ(json["model"]["heads"], kHeads);
  EXPECT_EQ(json["model"]["steps"], kSteps);
  EXPECT_EQ(json["rules"][0]["fine"]["queries"], 64);
  EXPECT_LT(json["rules"][0]["fine"]["kept_keys"], 0.9);
  EXPECT_NE(Lists(0), Lists(1));
}

TEST_F(PredictTest, ListsHoldUntilTheNextOnesAreMade) {
  Predict({"--predictor", "cdf:0.5"});
  std::vector<std::string> each;
  for (int step = 0; step < kSteps; ++step) each.push_back(Lists(step));
  Predict({"--predictor", "cdf:0.5", "--every", "2"});
  EXPECT_EQ(Lists(0), each[0]);
  EXPECT_EQ(Lists(1), each[0]);
  EXPECT_EQ(Lists(2), each[2]);
  EXPECT_EQ(Lists(3), each[2]);
  // Half as many entries as steps: step s has entry floor(s / 2).
  Predict({"--predictor", "cdf:0.5", "--steps", "8"});
  EXPECT_EQ(Lists(2), each[1]);
  EXPECT_EQ(Lists(7), each[3]);
}

TEST_F(PredictTest, OracleReachesItsMass) {
  const ToolResult result = Predict({"--predictor", "oracle:0.9", "--report"});
  const std::size_t at = result.out.find("mean ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GE(std::stod(result.out.substr(at + 5)), 0.9);
}

TEST_F(PredictTest, ClassesOfSlaHaveTheSharesThatWereAsked) {
  // 150 tokens in blocks of 32x16: 5 x 10 blocks. Each row has 2 critical and 3 negligible ones.
  const ToolResult result = Predict({"--predictor", "sla:0.2,0.3", "--block", "32x16"});
  EXPECT_THAT(result.err,
              HasSubstr("SLA: 0.2000 of the blocks are critical, 0.5000 marginal and "
                        "0.3000 negligible"));
  EXPECT_TRUE(std::filesystem::exists(File("w.classes.safetensors")));
  const auto json =
      nlohmann::json::parse(RunTool("dbsp-workload", {"info", File("w.json"), "--json"}).out);
  EXPECT_NEAR(json["rules"][0]["density"]["min"].get<double>(), 0.2, 1e-12);
  EXPECT_NEAR(json["rules"][0]["marginal_density"]["max"].get<double>(), 0.5, 1e-12);
  const ToolResult report = Predict({"--predictor", "sla:0.2,0.3", "--report"}, 2);
  EXPECT_THAT(report.err, HasSubstr("leave --report out"));
}

TEST_F(PredictTest, InputsThatDoNotFitAreRefusedInOneLineAndLeaveNothing) {
  std::vector<float> values = Draw(1, 1.0F);
  values.resize(kHeads * kTokens * kDim);
  const std::vector<int> one{kHeads, kTokens, kDim};
  Write("one.npy", one, values);
  values[kTokens * kDim + 3 * kDim + 1] = std::numeric_limits<float>::quiet_NaN();
  Write("nan.npy", one, values);
  values.resize((kTokens - 1) * kHeads * kDim);
  Write("short.npy", {kHeads, kTokens - 1, kDim}, values);
  struct Wrong {
    std::string q, k;
    std::vector<std::string> more;
    std::vector<std::string> words;
  };
  const std::vector<Wrong> wrong{
      {"one.npy",
       "nan.npy",
       {"--predictor", "cdf:0.9"},
       {"nan.npy", "head 1, token 3, channel 1", "nan"}},
      {"one.npy", "short.npy", {"--predictor", "cdf:0.9"}, {"short.npy", "[2, 149, 8]", "equal"}},
      {"one.npy", "k.npy", {"--predictor", "cdf:0.9"}, {"k.npy", "equal steps"}},
      {"q.npy", "k.npy", {"--predictor", "cdf:2"}, {"--predictor cdf:2", "at most 1"}},
      {"q.npy", "k.npy", {"--predictor", "top:2"}, {"--predictor top:2", "expected"}},
      {"q.npy", "k.npy", {"--predictor", "cdf:0.9", "--queries", "96"}, {"--queries", "96"}},
      {"q.npy", "k.npy", {"--predictor", "cdf:0.9", "--every", "0"}, {"--every"}},
      {"q.npy", "k.npy", {"--predictor", "cdf:0.9", "--heads", "3"}, {"q.npy", "3 heads"}},
      {"q.npy",
       "k.npy",
       {"--predictor", "cdf:0.9", "--layers", "2", "--tokens", "151"},
       {"q.npy", "151"}},
      {"q.npy", "k.npy", {"--predictor", "cdf:0.9", "--steps", "3"}, {"q.npy", "3 of the model"}},
      {"q.npy", "k.npy", {"--predictor", "cdf:0.9", "--axes", "TLH"}, {"--axes TLH"}},
      {"q.npy", "none.npy", {"--predictor", "cdf:0.9"}, {"none.npy"}},
  };
  for (const Wrong& item : wrong) {
    const ToolResult result = Predict(item.more, 2, item.q, item.k);
    for (const std::string& word : item.words) EXPECT_THAT(result.err, HasSubstr(word));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(File("w.json"))) << result.err;
    EXPECT_FALSE(std::filesystem::exists(File("w.keys.safetensors"))) << result.err;
  }
  const ToolResult over = RunTool("dbsp-workload",
                                  {"predict",
                                   "--q",
                                   File("q.npy"),
                                   "--k",
                                   File("k.npy"),
                                   "--predictor",
                                   "cdf:0.9",
                                   "-o",
                                   File("q.npy")});
  EXPECT_EQ(over.exit_code, 2);
  const ToolResult standard = RunTool(
      "dbsp-workload",
      {"predict", "--q", File("q.npy"), "--k", File("k.npy"), "--predictor", "cdf:0.9", "-o", "-"});
  EXPECT_EQ(standard.exit_code, 2);
  EXPECT_THAT(standard.err, HasSubstr("beside the workload"));
}

}  // namespace
}  // namespace dbsp::testing
