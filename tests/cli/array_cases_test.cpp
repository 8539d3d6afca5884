// SPDX-License-Identifier: Apache-2.0
// Array files that were read wrongly once, through the tool, with the numbers of their writers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "core/file.h"
#include "tests/cli/run_tool.h"
#include "tests/core/file_bytes.h"

namespace dbsp::testing {
namespace {

using ::testing::HasSubstr;

std::string Npy(const std::string& shape, const std::string& bytes, const char* descr = "|b1") {
  return MakeNpy(NpyHeader(descr, shape), bytes);
}

/// `count` masks of 4 x 4 blocks; mask m has `active(m)` of its blocks.
template <typename Active>
std::string Masks(int count, const Active& active) {
  std::string bytes;
  for (int m = 0; m < count; ++m) {
    for (int i = 0; i < 16; ++i) bytes += i * 5 % 16 < active(m) ? '\1' : '\0';
  }
  return bytes;
}

class ArrayCasesTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    WriteFileAtomically(folder_ / name, bytes);
    return (folder_ / name).string();
  }
  /// 2 heads of 4 x 4 blocks.
  ToolResult Make(const std::string& rule, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"make",
                                       "--heads",
                                       "2",
                                       "--tokens",
                                       "256",
                                       "--block",
                                       "64x64",
                                       "-o",
                                       Workload(),
                                       "--mask",
                                       rule};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-workload", arguments);
  }
  [[nodiscard]] std::string Workload() const { return (folder_ / "w.json").string(); }
  nlohmann::json Info() {
    const ToolResult info = RunTool("dbsp-workload", {"info", Workload(), "--json"});
    EXPECT_EQ(info.exit_code, 0) << info.err;
    return nlohmann::json::parse(info.out);
  }
  ToolResult Export(const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"export", Workload(), "-o", output};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-workload", arguments);
  }
  double Density(int step, int layer, const std::vector<std::string>& more = {}) {
    const std::string out = (folder_ / "out.npz").string();
    std::vector<std::string> where{
        "--step", std::to_string(step), "--layer", std::to_string(layer)};
    where.insert(where.end(), more.begin(), more.end());
    const ToolResult exported = Export(out, where);
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    const Array mask = LoadArray(out, "mask");
    return static_cast<double>(std::ranges::count(mask.bytes, '\1')) /
           static_cast<double>(mask.bytes.size());
  }
  void ExpectRefused(const ToolResult& result, const std::vector<std::string>& words) {
    EXPECT_EQ(result.exit_code, 2);
    for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  }
  TemporaryFolder folder_;
};

TEST_F(ArrayCasesTest, StepsHaveTheEntriesThatParoattentionGivesThem) {
  const std::string file =
      Write("s.npy", Npy("(4, 2, 2, 4, 4)", Masks(16, [](int m) { return 2 + 4 * (m / 4); })));
  const std::string rule = "array:file=" + file;
  ASSERT_EQ(Make(rule, {"--layers", "2", "--steps", "4"}).exit_code, 0);
  for (int step = 0; step < 4; ++step) EXPECT_EQ(Density(step, 1), (2 + 4 * step) / 16.0);
  ASSERT_EQ(Make(rule, {"--layers", "2", "--steps", "50"}).exit_code, 0);
  for (const auto& [step, plan] : {std::pair{12, 0}, {13, 1}, {24, 1}, {25, 2}, {37, 2}, {38, 3}}) {
    EXPECT_EQ(Density(step, 0), (2 + 4 * plan) / 16.0) << step;
  }
}

TEST_F(ArrayCasesTest, LayersAndPassesAreNotTakenForABatch) {
  const std::string layers =
      "array:file=" + Write("l.npz", MakeZip({{"mask.npy", Npy("(6, 2, 4, 4)", Masks(12, [](int m) {
                                                                 return 1 + 2 * (m / 2);
                                                               }))}}));
  ExpectRefused(Make(layers, {"--layers", "6", "--steps", "6"}),
                {"'mask'", "axes=THQK, axes=LHQK"});
  ASSERT_EQ(Make(layers + ",axes=LHQK", {"--layers", "6", "--steps", "6"}).exit_code, 0);
  for (int layer = 0; layer < 6; ++layer) EXPECT_EQ(Density(3, layer), (1 + 2 * layer) / 16.0);
  ASSERT_EQ(Make(layers, {"--layers", "6", "--steps", "4"}).exit_code, 0);
  EXPECT_EQ(Info()["rules"][0]["options"]["axes"], "LHQK");
  ExpectRefused(Make(layers, {"--layers", "5", "--steps", "4"}), {"[6, 2, 4, 4]", "5 layers"});
  ASSERT_EQ(Make(layers + ",batch=5", {"--layers", "5", "--steps", "4"}).exit_code, 0);
  EXPECT_EQ(Density(0, 0), 11 / 16.0);

  const std::string passes =
      "array:file=" +
      Write("p.npy", Npy("(2, 2, 4, 4)", Masks(4, [](int m) { return m < 2 ? 5 : 11; })));
  ASSERT_EQ(Make(passes, {"--layers", "6", "--steps", "6", "--passes", "2"}).exit_code, 0);
  EXPECT_EQ(Info()["density"], 0.5);
  EXPECT_EQ(Info()["rules"][0]["density"]["mean"], 0.5);
  EXPECT_EQ(Info()["rules"][0]["cells"], 36);
  EXPECT_EQ(Density(0, 0, {"--pass", "0"}), 5 / 16.0);
  EXPECT_EQ(Density(0, 0, {"--pass", "1"}), 11 / 16.0);
  const std::string out = (folder_ / "none.npz").string();
  ExpectRefused(Export(out, {"--step", "0", "--layer", "0"}), {"--pass"});
  ExpectRefused(Export(out, {"--step", "0", "--layer", "0", "--pass", "2"}), {"2 passes"});
  // One pass is chosen for all, and a model of one pass must choose.
  ASSERT_EQ(Make(passes + ",pass=1", {"--passes", "2"}).exit_code, 0);
  EXPECT_EQ(Info()["density"], 11 / 16.0);
  ExpectRefused(Make(passes + ",axes=PHQK"), {"2 passes", "pass=N"});
  ASSERT_EQ(Make(passes + ",pass=0").exit_code, 0);
  EXPECT_EQ(Info()["density"], 5 / 16.0);
  ExpectRefused(Make(passes + ",pass=2"), {"option pass", "less than 2"});
}

TEST_F(ArrayCasesTest, APlanIsNotMadeFromTheMasksOfOnePass) {
  const std::string file =
      Write("p.npy", Npy("(2, 2, 4, 4)", Masks(4, [](int m) { return m < 2 ? 5 : 11; })));
  ASSERT_EQ(Make("array:file=" + file, {"--passes", "2"}).exit_code, 0);
  ExpectRefused(RunTool("dbsp-tune",
                        {"--workload",
                         Workload(),
                         "--cluster",
                         "h200x8",
                         "-o",
                         (folder_ / "plan.json").string()}),
                {"passes have masks of their own", "--passes 1", "pass=0"});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "plan.json"));
}

TEST_F(ArrayCasesTest, FlexIndicesAreNoMask) {
  std::string counts;
  std::string columns;
  for (int row = 0; row < 8; ++row) {
    counts += LittleEndian(static_cast<std::uint64_t>(row % 4), 4);
    for (int n = 0; n < 4; ++n) columns += LittleEndian(static_cast<std::uint64_t>(3 - n), 4);
  }
  const std::string pair =
      Write("flex.npz",
            MakeZip({{"kv_num_blocks.npy", Npy("(1, 2, 4)", counts, "<i4")},
                     {"kv_indices.npy", Npy("(1, 2, 4, 4)", columns, "<i4")}}));
  ASSERT_EQ(Make("array:file=" + pair).exit_code, 0);
  EXPECT_EQ(Density(0, 0), 12 / 32.0);
  ASSERT_EQ(Make("array:file=" + pair + ",name=kv_indices").exit_code, 0);
  EXPECT_EQ(Density(0, 0), 12 / 32.0);
  const std::string alone = Write("kv.npy", Npy("(1, 2, 4, 4)", columns, "<i4"));
  ExpectRefused(Make("array:file=" + alone), {"[0, 0, 0, 0]", "is 3", "kv_num_blocks"});
}

TEST_F(ArrayCasesTest, AdditiveMasksNeedTheOption) {
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes += LittleEndian(i % 4 == 0 ? 0 : 0xff800000U, 4);
  const std::string rule = "array:file=" + Write("a.npy", Npy("(4, 4)", bytes, "<f4"));
  ExpectRefused(Make(rule), {"[0, 1]", "-inf", "additive"});
  for (const char* option : {",additive", ",additive=1", ",additive=true"}) {
    ASSERT_EQ(Make(rule + option).exit_code, 0);
    EXPECT_EQ(Density(0, 0), 0.25);
  }
  ASSERT_EQ(Make(rule + ",threshold=-0.5,inverted").exit_code, 0);
  EXPECT_EQ(Density(0, 0), 0.75);
  ExpectRefused(Make(rule + ",additive=2"), {"option additive"});
  ExpectRefused(Make(rule + ",threshold=x"), {"option threshold"});
  ExpectRefused(Make(rule + ",threshold=0,additive"), {"exclude each other"});
  ExpectRefused(Make(rule + ",batch"), {"option=value"});
}

TEST_F(ArrayCasesTest, KeysThatAreTuplesNameTheirTensors) {
  const auto tensor = [](int at) {
    return Pickled({"BoolStorage", "0", 64, 32 * at, {2, 4, 4}, {16, 4, 1}});
  };
  const std::string bytes = Masks(4, [](int m) { return m < 2 ? 5 : 11; });
  const std::string one = Write(
      "one.pt", MakeTorch(Pickle("}(" + PickleTuple({0, 1}) + tensor(0) + "u"), {{"0", bytes}}));
  ASSERT_EQ(Make("array:file=" + one).exit_code, 0);
  EXPECT_EQ(Density(0, 0), 5 / 16.0);
  const std::string two = Write("two.pt",
                                MakeTorch(Pickle("}(" + PickleTuple({0, 1}) + tensor(1) +
                                                 PickleTuple({0, 0}) + tensor(0) + "u"),
                                          {{"0", bytes}}));
  ASSERT_EQ(Make("array:file=" + two, {"--layers", "2"}).exit_code, 0);
  EXPECT_EQ(Density(0, 0), 5 / 16.0);
  EXPECT_EQ(Density(0, 1), 11 / 16.0);
  ASSERT_EQ(Make("array:file=" + two + ",name=0.1", {"--layers", "2"}).exit_code, 0);
  EXPECT_EQ(Density(0, 0), 11 / 16.0);
}

TEST_F(ArrayCasesTest, ExportsAreInTheFormatOfTheirSuffix) {
  ASSERT_EQ(Make("random:density=0.4").exit_code, 0);
  std::string bytes;
  for (const char* name : {"m.npz", "m.npy", "m.safetensors", "M.NPZ", "M.Npy"}) {
    const std::string out = (folder_ / name).string();
    ASSERT_EQ(Export(out, {"--step", "0", "--layer", "0"}).exit_code, 0) << name;
    const Array mask = LoadArray(out);
    EXPECT_EQ(mask.shape, (std::vector<std::int64_t>{2, 4, 4}));
    if (bytes.empty()) bytes = mask.bytes;
    EXPECT_EQ(mask.bytes, bytes) << name;
    ASSERT_EQ(Make("array:file=" + out).exit_code, 0) << name;
    ASSERT_EQ(Make("random:density=0.4").exit_code, 0);
  }
  for (const char* name : {"m.pt", "m.pth", "m", "m.csv", "m.npz.gz"}) {
    const std::string out = (folder_ / name).string();
    ExpectRefused(Export(out, {"--step", "0", "--layer", "0"}), {".npz, .npy or .safetensors"});
    EXPECT_FALSE(std::filesystem::exists(out)) << name;
  }
}

TEST_F(ArrayCasesTest, AWorkloadWithoutAxesIsReadWhereTheyAreClear) {
  const std::string file =
      Write("l.npy", Npy("(6, 2, 4, 4)", Masks(12, [](int m) { return 1 + m / 2; })));
  const auto without_axes = [&] {
    nlohmann::json workload = nlohmann::json::parse(ReadFile(Workload()));
    nlohmann::json& options = workload["rules"][0]["options"];
    for (const char* key : {"axes", "additive", "inverted", "pass", "threshold"}) {
      options.erase(key);
    }
    WriteFileAtomically(Workload(), workload.dump());
  };
  ASSERT_EQ(Make("array:file=" + file, {"--layers", "6", "--steps", "4"}).exit_code, 0);
  without_axes();
  EXPECT_EQ(Density(0, 5), 6 / 16.0);
  ASSERT_EQ(Make("array:axes=LHQK,file=" + file, {"--layers", "6", "--steps", "6"}).exit_code, 0);
  without_axes();
  ExpectRefused(RunTool("dbsp-workload", {"info", Workload()}), {"axes=THQK, axes=LHQK"});
}

/// A table of columns was read as steps, and a workload of an older version has no word for it.
TEST_F(ArrayCasesTest, ATableMaySayColumnsOrSteps) {
  const auto table = [&](const std::vector<int>& row) {
    std::string entries;
    std::string counts;
    for (int i = 0; i < 8; ++i) {
      for (const int entry : row) entries += LittleEndian(static_cast<std::uint32_t>(entry), 4);
      counts += LittleEndian(row.size(), 4);
    }
    const std::string shape = "(1, 2, 4, ";
    return "array:file=" +
           Write(
               "t.npz",
               MakeZip({{"lut.npy", Npy(shape + std::to_string(row.size()) + ")", entries, "<i4")},
                        {"valid_block_num.npy", Npy(shape + ")", counts, "<i4")}}));
  };
  const auto columns = [&] {
    const std::string out = (folder_ / "out.npz").string();
    EXPECT_EQ(Export(out, {"--step", "0", "--layer", "0"}).exit_code, 0);
    const Array mask = LoadArray(out, "mask");
    std::string text;
    for (std::int64_t j = 0; j < 4; ++j) text += mask.Bool(j) ? '1' : '0';
    return text;
  };
  std::string rule = table({1, 2});
  ExpectRefused(Make(rule),
                {"t.npz", "'lut'", "row [0, 0, 0]", "[1, 2]", "lut=ordinal or lut=delta"});
  ASSERT_EQ(Make(rule + ",lut=ordinal").exit_code, 0);
  EXPECT_EQ(columns(), "0110");
  ASSERT_EQ(Make(rule + ",lut=delta").exit_code, 0);
  EXPECT_EQ(columns(), "0101");
  EXPECT_EQ(Info()["rules"][0]["options"]["lut"], "delta");
  nlohmann::json workload = nlohmann::json::parse(ReadFile(Workload()));
  workload["rules"][0]["options"].erase("lut");
  workload["rules"][0]["options"].erase("packed");
  WriteFileAtomically(Workload(), workload.dump());
  ExpectRefused(RunTool("dbsp-workload", {"info", Workload()}), {"lut=ordinal or lut=delta"});
  rule = table({0, 1, 1});
  const ToolResult steps = Make(rule);
  ASSERT_EQ(steps.exit_code, 0) << steps.err;
  EXPECT_THAT(steps.err, HasSubstr("counts and steps"));
  EXPECT_THAT(steps.err, HasSubstr("read with lut=delta"));
  EXPECT_EQ(columns(), "1110");
  const ToolResult ordinal = Make(table({0, 2, 3}));
  ASSERT_EQ(ordinal.exit_code, 0) << ordinal.err;
  EXPECT_THAT(ordinal.err, HasSubstr("counts and columns"));
  EXPECT_THAT(ordinal.err, HasSubstr("read with lut=ordinal"));
  EXPECT_EQ(columns(), "1011");
}

}  // namespace
}  // namespace dbsp::testing
