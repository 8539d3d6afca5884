// SPDX-License-Identifier: Apache-2.0
// Runs dbsp-workload on tables, logs and workload files as other programs write them, and on
// hostile ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "tests/cli/run_tool.h"
#include "tests/core/hostile_numbers.h"
#include "tests/core/temporary_folder.h"
#include "tests/measured_data.h"

namespace dbsp::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class WorkloadFilesTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string File(const std::string& name) const {
    return (folder_ / name).string();
  }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(File(name), std::ios::binary) << text;
    return File(name);
  }
  [[nodiscard]] std::string Output() const { return File("w.json"); }

  ToolResult Make(std::vector<std::string> shape, const std::string& mask) const {
    shape.insert(shape.begin(), "make");
    shape.insert(shape.end(), {"--mask", mask, "-o", Output()});
    return RunTool("dbsp-workload", shape);
  }
  ToolResult MakeOk(const std::vector<std::string>& shape, const std::string& mask) const {
    ToolResult result = Make(shape, mask);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }
  /// Fails unless the tool refuses with exit 2, one line with all `words`, and no file.
  void ExpectRefused(const std::vector<std::string>& shape,
                     const std::string& mask,
                     const std::vector<std::string>& words) const {
    SCOPED_TRACE(mask);
    std::filesystem::remove(Output());
    const ToolResult result = Make(shape, mask);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
    EXPECT_FALSE(std::filesystem::exists(Output()));
  }
  [[nodiscard]] nlohmann::json Info() const {
    const ToolResult info = RunTool("dbsp-workload", {"info", "--json", Output()});
    EXPECT_EQ(info.exit_code, 0) << info.err;
    return nlohmann::json::parse(info.out);
  }
  /// Active blocks of every head of one cell, from the exported masks.
  [[nodiscard]] std::vector<std::int64_t> Counts(int step, int layer) const {
    const ToolResult result = RunTool("dbsp-workload",
                                      {"export",
                                       Output(),
                                       "--step",
                                       std::to_string(step),
                                       "--layer",
                                       std::to_string(layer),
                                       "-o",
                                       File("m.npz")});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const Array mask = LoadArray(File("m.npz"), "mask");
    std::vector<std::int64_t> counts(mask.shape[0]);
    for (std::int64_t i = 0; i < mask.size(); ++i) {
      counts[i / (mask.size() / mask.shape[0])] += mask.Int(i);
    }
    return counts;
  }

  TemporaryFolder folder_;
};

/// One table of 2 steps x 2 layers x 3 heads, and one row too many.
constexpr const char* kTable =
    "Step,Layer,Head,Sparsity\n"
    "1,0,0,0.8626\n1,0,1,0.8557\n1,0,2,0.0981\n1,1,0,0.1221\n1,1,1,0.7602\n1,1,2,0.6756\n"
    "2,0,0,0.6193\n2,0,1,0.3119\n2,0,2,0.5651\n2,1,0,0.5658\n2,1,1,0.544\n2,1,2,0.1846\n";
const std::vector<std::string> kTableShape{
    "--heads", "3", "--tokens", "4096", "--layers", "2", "--steps", "2", "--block", "64x64"};

TEST_F(WorkloadFilesTest, RowsOutsideTheModelAreRefusedWithTheirLine) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases{
      {"2147483647,0,0,0.5", {"line 14, column 1 (Step)", "2147483647 steps x 2 layers x 3 heads"}},
      {"1,2147483647,0,0.5", {"line 14, column 2 (Layer)", "2147483648 layers"}},
      {"1,0,2147483647,0.5", {"line 14, column 3 (Head)", "2147483648 heads"}},
      {"1,0,3,0.5", {"line 14, column 3 (Head)", "2 layers x 4 heads"}},
      {"1,9223372036854775807,0,0.5", {"line 14, column 2 (Layer)", "expected an integer from 0"}},
      {"0,0,0,0.5", {"line 14, column 1 (Step)", "expected an integer from 1"}},
      {"-1,-1,-1,-1", {"line 14, column 1 (Step)"}},
      {"1,0,0,2", {"line 14, column 4 (Sparsity)"}},
      {"2,1,2,0.5", {"line 14, column 1", "step 2, layer 1, head 2 is given twice", "line 13"}},
  };
  for (const auto& [row, words] : cases) {
    const std::string file = Write("t.csv", kTable + row + "\n");
    ExpectRefused(kTableShape, "density:file=" + file, words);
  }
  const std::string text = kTable;
  const std::string cut =
      Write("t.csv", text.substr(0, text.find("1,1,1,")) + text.substr(text.find("1,1,2,")));
  ExpectRefused(
      kTableShape, "density:file=" + cut, {"line 12", "step 1, layer 1, head 1 is missing"});
}

TEST_F(WorkloadFilesTest, FilesWithoutAnyDensityAreRefused) {
  const std::vector<std::string> shape{"--heads", "1", "--tokens", "64"};
  const std::vector<std::pair<std::string, std::string>> files{
      {"e.csv", "Step,Layer,Head,Sparsity\n"},
      {"e.jsonl", ""},
      {"e.jsonl", "\n \n"},
      {"e.jsonl", "{\"timestep\": 1, \"layer\": 0, \"density\": [[]]}"}};
  for (const auto& [name, text] : files) {
    ExpectRefused(
        shape, "density:file=" + Write(name, text), {name + ": line 1: holds no density"});
  }
}

TEST_F(WorkloadFilesTest, TablesAreReadAsSpreadsheetsWriteThem) {
  const ToolResult plain = MakeOk(kTableShape, "density:file=" + Write("t.csv", kTable));
  EXPECT_THAT(plain.err, HasSubstr("'Sparsity' is read as the fraction of ACTIVE blocks"));
  EXPECT_THAT(plain.err, Not(HasSubstr("not used")));
  const auto blob = nlohmann::json::parse(FileText(Output()))["rules"][0]["blob"];
  EXPECT_EQ(Counts(0, 1), (std::vector<std::int64_t>{500, 3114, 2767}));
  EXPECT_EQ(Counts(1, 1), (std::vector<std::int64_t>{2318, 2228, 756}));

  std::string other = "\xef\xbb\xbfhead,\"Note\",SPARSITY,layer,Step\r\n\r\n";
  std::istringstream rows(kTable);
  std::string row;
  std::getline(rows, row);
  while (std::getline(rows, row)) {
    const std::string step = row.substr(0, 1);
    const std::string layer = row.substr(2, 1);
    const std::string head = row.substr(4, 1);
    other += head + ",\"a, \"\"b\"\"\"," + row.substr(6) + ", " + layer + " ," + step + "\r\n";
  }
  const ToolResult made = MakeOk(kTableShape, "density:file=" + Write("T.CSV", other));
  EXPECT_EQ(nlohmann::json::parse(FileText(Output()))["rules"][0]["blob"], blob);
  EXPECT_THAT(made.err, HasSubstr("columns not used: 'Note'"));
  const ToolResult quiet =
      RunTool("dbsp-workload", {"-q", "make", "--heads", "1", "--tokens", "64", "-o", Output()});
  EXPECT_EQ(quiet.err, "");
}

TEST_F(WorkloadFilesTest, MeasuredProfilesHaveTheirMeans) {
  const auto path = WriteSvooCsv("wan_1.3B_t2v", folder_.path());
  MakeOk({"--model", "wan2.1-t2v-1.3b-480p"}, "density:file=" + path.string());
  EXPECT_NEAR(Info()["density"].get<double>(), 0.144, 0.0005);
}

/// A log of Sparse-VideoGen 2: 6 steps, 3 layers, 4 heads; step 0 and layer 0 are dense and have no
/// line; guidance runs as two calls.
constexpr const char* kWanLog = R"({"timestep": 979, "layer": 1, "density": [[0.411451, 0.470893]]}
{"timestep": 979, "layer": 2, "density": [[0.469949, 0.561162]]}
{"timestep": 979, "layer": 1, "density": [[0.571678, 0.424487]]}
{"timestep": 979, "layer": 2, "density": [[0.334535, 0.223286]]}
{"timestep": 937, "layer": 1, "density": [[0.106557, 0.208365]]}
{"timestep": 937, "layer": 2, "density": [[0.482863, 0.179802]]}
{"timestep": 937, "layer": 1, "density": [[0.408726, 0.16335]]}
{"timestep": 937, "layer": 2, "density": [[0.204728, 0.207741]]}
)";

std::vector<std::string> LogShape(const std::string& steps, const std::string& passes) {
  return {"--heads",
          "2",
          "--tokens",
          "4096",
          "--layers",
          "3",
          "--steps",
          steps,
          "--passes",
          passes,
          "--block",
          "64x64"};
}

TEST_F(WorkloadFilesTest, LogsLackDenseCellsAndHaveOneLinePerPass) {
  const std::string mask = "density:file=" + Write("wan.jsonl", kWanLog);
  const auto count = [](double density) { return std::llround(density * 4096); };
  const ToolResult made = MakeOk(LogShape("3", "2"), mask + ",pass=0,dense_steps=1,dense_layers=1");
  EXPECT_THAT(made.err,
              HasSubstr("5 of 9 (step, layer) cells are not in the file; they are dense"));
  EXPECT_THAT(made.err, HasSubstr("2 guidance passes; those of pass 0 are used"));
  EXPECT_THAT(made.err, HasSubstr("5 of 9 cells are dense: step 0; layer 0"));
  EXPECT_EQ(Counts(1, 1), (std::vector<std::int64_t>{count(0.411451), count(0.470893)}));
  EXPECT_EQ(Counts(2, 2), (std::vector<std::int64_t>{count(0.482863), count(0.179802)}));
  EXPECT_EQ(Counts(0, 1), (std::vector<std::int64_t>{4096, 4096}));
  EXPECT_EQ(Counts(2, 0), (std::vector<std::int64_t>{4096, 4096}));
  MakeOk(LogShape("3", "2"), mask + ",pass=1,first_times=0.4,first_layers=0.34");  // floor: 1 and 1
  EXPECT_EQ(Counts(1, 1), (std::vector<std::int64_t>{count(0.571678), count(0.424487)}));
  EXPECT_EQ(Counts(2, 2), (std::vector<std::int64_t>{count(0.204728), count(0.207741)}));

  ExpectRefused(LogShape("3", "1"),
                mask + ",dense_steps=1,dense_layers=1",
                {"wan.jsonl: line 3: timestep 979, layer 1 has 2 lines", "--passes"});
  ExpectRefused(LogShape("3", "2"), mask, {"holds 2 steps x 3 layers x 2 heads", "dense_steps="});
  ExpectRefused(LogShape("3", "2"),
                mask + ",dense_steps=1",
                {"step 1, layer 0, head 0 is missing", "dense_layers=0"});
  ExpectRefused(LogShape("4", "2"), mask + ",dense_steps=1,dense_layers=1", {"has 4 x 3 x 2"});
  ExpectRefused(LogShape("3", "2"),
                mask + ",dense_steps=1,first_times=0.4",
                {"expected either dense_steps= or first_times=, found both"});
}

TEST_F(WorkloadFilesTest, LogsOfOnePassAndCutLogs) {
  const std::string text = kWanLog;
  std::string one;
  std::istringstream lines(text);
  std::string line;
  for (int i = 0; std::getline(lines, line); ++i) {
    if (i / 2 % 2 == 0) one += line + "\r\n\n";
  }
  const std::string mask = "density:file=" + Write("one.JSONL", "\xef\xbb\xbf" + one);
  const ToolResult made = MakeOk(LogShape("3", "2"), mask + ",dense_steps=1,dense_layers=1");
  EXPECT_THAT(made.err, HasSubstr("one guidance pass; they are used for all 2 passes"));
  EXPECT_EQ(Counts(2, 1)[0], std::llround(0.106557 * 4096));
  ExpectRefused(LogShape("3", "2"),
                mask + ",pass=1,dense_steps=1,dense_layers=1",
                {"holds 1 guidance pass, expected entry 1 (option 'pass')"});
  const std::string cut = Write("cut.jsonl", text.substr(0, text.rfind("{\"timestep\"")));
  ExpectRefused(LogShape("3", "2"),
                "density:file=" + cut + ",dense_steps=1,dense_layers=1",
                {"timestep 937, layer 2 has 1 of 2 passes"});
  ExpectRefused(LogShape("3", "2"),
                "density:file=" + Write("t.csv", kTable) + ",pass=1",
                {"pass= chooses a pass of a .jsonl"});
}

TEST_F(WorkloadFilesTest, StaTablesWithHugeIndicesAreRefusedWithTheirKey) {
  const std::string file =
      Write("sta.json", R"({"0_0_0": [1, 1, 1], "0_0_1": [2, 2, 2], "0_0_2147483647": [1, 1, 2]})");
  ExpectRefused({"--heads", "2", "--steps", "1", "--layers", "1", "--grid", "12,16,16"},
                "sta:file=" + file,
                {"sta.json", "key '0_0_2147483647' is outside the model", "2147483648 heads"});
}

TEST_F(WorkloadFilesTest, MakeSaysHowItReadArraysAndWindows) {
  Array counts = MakeArray(ArrayType::kU1, {1, 1, 2});
  counts.bytes = std::string("\x02\x05", 2);
  WriteNpy(File("c.npy"), counts);
  const std::vector<std::string> shape{"--heads", "2", "--tokens", "640", "--block", "64x64"};
  EXPECT_THAT(
      MakeOk(shape, "density:file=" + File("c.npy")).err,
      HasSubstr("c.npy: u1 [1, 1, 2], values 2 to 5, read as active blocks of 100 (total= "));
  EXPECT_THAT(MakeOk(shape, "density:total=10,file=" + File("c.npy")).err,
              HasSubstr("read as active blocks of 10\n"));
  ExpectRefused(shape,
                "density:file=" + Write("c.log", "x"),
                {"c.log: unknown suffix of a file of densities '.log'", ".jsonl"});
  const std::string windows = Write("s.json", R"({"0_0_0": [2, 2, 2], "0_0_1": [1, 1, 2]})");
  const std::vector<std::string> grid{"--heads", "2", "--grid", "12,16,16"};
  EXPECT_THAT(MakeOk(grid, "sta:file=" + windows).err,
              HasSubstr("s.json: 2 different windows; its largest windows are the grid's tiles, "
                        "2x2x2"));
}

TEST_F(WorkloadFilesTest, MakeSaysDensitiesAndWhichCellsAreDense) {
  const ToolResult radial = MakeOk({"--model", "wan2.1-t2v-1.3b-480p", "--steps", "4"}, "radial");
  EXPECT_THAT(radial.err,
              HasSubstr("note: radial: dense_steps=12, the method's own number, is more than the 4 "
                        "steps of the model; all are dense\n"));
  EXPECT_THAT(radial.err,
              HasSubstr("warning: 120 of 120 cells are dense: all steps; layer 0; no mask is "
                        "sparse; dense_steps="));
  auto info = Info();
  EXPECT_EQ(info["dense_cells"], 120);
  EXPECT_EQ(info["layers"].size(), 30U);
  EXPECT_EQ(info["layers"][7]["dense_cells"], 4);

  const ToolResult random =
      MakeOk({"--heads", "2", "--tokens", "640", "--layers", "3", "--steps", "4"},
             "random:density=0.24,dense_layers=1");
  EXPECT_THAT(random.err, HasSubstr("note: density min 0.2400, mean 0.4933, max 1.0000 over 24"));
  EXPECT_THAT(random.err, HasSubstr("from 0.2400 (layer 1) to 1.0000 (layer 0)"));
  EXPECT_THAT(random.err, HasSubstr("note: 4 of 12 cells are dense: layer 0\n"));
  EXPECT_THAT(random.err, Not(HasSubstr("warning")));
  info = Info();
  EXPECT_EQ(info["dense_cells"], 4);
  EXPECT_EQ(info["rules"][1]["dense_cells"], 4);
  EXPECT_EQ(info["layers"][0]["density"]["min"], 1.0);
  EXPECT_EQ(info["layers"][2]["density"]["max"], 0.24);
  const ToolResult text = RunTool("dbsp-workload", {"info", Output()});
  EXPECT_THAT(text.out, HasSubstr("        layers 1-2      0.2400   0.2400   0.2400   0\n"));

  const ToolResult dense = MakeOk({"--heads", "2", "--tokens", "640"}, "dense");
  EXPECT_THAT(dense.err, Not(HasSubstr("warning")));
  const ToolResult full = MakeOk({"--heads", "2", "--tokens", "640"}, "random:density=1");
  EXPECT_THAT(full.err, HasSubstr("1 of 1 cells are dense: 1 whose random masks have every block"));
}

TEST_F(WorkloadFilesTest, VsaPadsTheGridAndSaysSo) {
  const ToolResult made = MakeOk(
      {"--model", "wan2.1-t2v-1.3b-480p", "--layers", "1", "--steps", "1"}, "vsa:sparsity=0.9");
  EXPECT_THAT(made.err, HasSubstr("the grid 21x30x52 is padded to whole tiles, 24x32x52"));
  const auto info = Info();
  EXPECT_EQ(info["blocks"], nlohmann::json({624, 624}));
  EXPECT_EQ(info["density"].get<double>(), 63.0 / 624);
}

/// Every file is refused, or linear time is enough for it.
TEST_F(WorkloadFilesTest, HugeWorkloadsAreRefused) {
  const auto info = [&](const std::string& text) {
    return RunTool("dbsp-workload", {"info", Write("h.json", text)});
  };
  const auto workload = [](const std::string& steps, const std::string& rule) {
    return R"({"schema": "dbsp.workload/1", "model": {"name": "x", "layers": )" + steps +
           R"(, "heads": 1, "head_dim": 64, "grid": [6, 8, 8], "text_tokens": 0, "steps": )" +
           steps + R"(, "passes": 1}, "block": [64, 64], "rules": [)" + rule +
           R"(], "assignments": [{"rule": 0, "steps": [0, )" + steps + R"(], "layers": [0, )" +
           steps + "]}]}";
  };
  const std::string sta = R"({"rule": "sta", "options": {"file": "f", "tiles": "", "window": ""}, )"
                          R"("blob": "AQABAAEAAQABAAAA"})";
  for (const std::string& rule : {sta, std::string(R"({"rule": "dense", "options": {}})")}) {
    for (const char* steps : {"65536", "1048576", "46341"}) {
      const ToolResult result = info(workload(steps, rule));
      EXPECT_EQ(result.exit_code, 2) << result.err;
      EXPECT_THAT(result.err, HasSubstr("h.json: key 'model': "));
      EXPECT_THAT(result.err, HasSubstr("at most 1048576 cells"));
    }
  }
  EXPECT_THAT(info(workload("2", sta)).err, HasSubstr("key 'blob'"));
  EXPECT_EQ(info(workload("1024", R"({"rule": "dense", "options": {}})")).exit_code, 0);
}

/// Exit 2 with one line and no file, or a file that info reads. Two numbers are valid for some
/// flags.
TEST_F(WorkloadFilesTest, HostileNumbersInEveryFlag) {
  std::vector<std::string> numbers = HostileNumbers();
  numbers.insert(numbers.end(), {"1", "1048576"});
  const auto check = [&](const std::string& flag, const std::string& value) {
    SCOPED_TRACE(flag + " " + value);
    std::filesystem::remove(Output());
    std::vector<std::string> arguments{"make", flag + "=" + value, "-o", Output()};
    if (flag != "--heads") arguments.insert(arguments.end(), {"--heads", "2"});
    if (flag != "--tokens" && flag != "--grid") {
      arguments.insert(arguments.end(), {"--tokens", "640"});
    }
    const ToolResult made = RunTool("dbsp-workload", arguments);
    if (made.exit_code == 0) {
      EXPECT_EQ(RunTool("dbsp-workload", {"info", Output()}).exit_code, 0);
      return true;
    }
    EXPECT_EQ(made.exit_code, 2) << made.err;
    EXPECT_EQ(std::count(made.err.begin(), made.err.end(), '\n'), 1) << made.err;
    EXPECT_FALSE(std::filesystem::exists(Output()));
    return false;
  };
  int accepted = 0;
  for (const std::string& number : numbers) {
    for (const char* flag : {"--layers",
                             "--heads",
                             "--head-dim",
                             "--tokens",
                             "--text-tokens",
                             "--steps",
                             "--passes"}) {
      accepted += check(flag, number) ? 1 : 0;
    }
    for (const std::string& sides : {number + ",1,1", "1," + number + ",8", "8,8," + number}) {
      accepted += check("--grid", sides) ? 1 : 0;
    }
    for (const std::string& sides : {number + "x64", "64x" + number}) {
      accepted += check("--block", sides) ? 1 : 0;
    }
  }
  EXPECT_GT(accepted, 10);
  EXPECT_FALSE(check("--grid", "1048576,1048576,1048576"));
  EXPECT_EQ(RunTool("dbsp-workload",
                    {"make",
                     "--heads",
                     "1",
                     "--tokens",
                     "64",
                     "--steps",
                     "1048576",
                     "--layers",
                     "1048576",
                     "-o",
                     Output()})
                .exit_code,
            2);
}

}  // namespace
}  // namespace dbsp::testing
