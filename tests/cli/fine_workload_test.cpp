// SPDX-License-Identifier: Apache-2.0
// Runs dbsp-workload with workloads with lists of single keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {
namespace {

using ::testing::HasSubstr;

class FineWorkloadTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string File(const std::string& name) const {
    return (folder_ / name).string();
  }
  ToolResult Run(const std::vector<std::string>& arguments, int exit_code = 0) const {
    ToolResult result = RunTool("dbsp-workload", arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return result;
  }
  ToolResult Make(const std::string& mask, const std::string& name, int exit_code = 0) const {
    return Run({"make",
                "--heads",
                "3",
                "--tokens",
                "300",
                "--layers",
                "2",
                "--steps",
                "2",
                "--block",
                "64x64",
                "--mask",
                mask,
                "-o",
                File(name)},
               exit_code);
  }
  TemporaryFolder folder_;
};

TEST_F(FineWorkloadTest, InfoPrintsWhatListsAndBlocksKeep) {
  const ToolResult made = Make("fine:density=0.1,run=4,queries=64", "w.json");
  EXPECT_THAT(made.err, HasSubstr("plans use these block masks"));
  EXPECT_THAT(made.err, HasSubstr("lists of keys per 64 queries keep 0.10"));
  const ToolResult text = Run({"info", File("w.json")});
  EXPECT_THAT(text.out, HasSubstr("lists of keys per 64 queries keep 0.10"));
  const auto json = nlohmann::json::parse(Run({"info", File("w.json"), "--json"}).out);
  const auto& fine = json["rules"][0]["fine"];
  EXPECT_EQ(fine["queries"], 64);
  EXPECT_NEAR(fine["kept_keys"].get<double>(), 0.1, 0.01);
  EXPECT_EQ(fine["longest_list"], 32);
  EXPECT_EQ(fine["bytes_per_cell"], 3 * 5 * 5 * 8);
  EXPECT_DOUBLE_EQ(fine["kept_blocks_64"].get<double>(),
                   json["rules"][0]["density"]["mean"].get<double>());
  EXPECT_GE(fine["kept_blocks_128"], fine["kept_blocks_64"]);
  Make("dense", "d.json");
  const auto plain = nlohmann::json::parse(Run({"info", File("d.json"), "--json"}).out);
  EXPECT_FALSE(plain["rules"][0].contains("fine"));
}

TEST_F(FineWorkloadTest, ExportedListsAreReadBack) {
  Make("fine:density=0.2,run=2,share=0.5", "w.json");
  for (const std::string keys : {"bits", "lists"}) {
    for (const std::string suffix : {".npz", ".safetensors", ".npy"}) {
      const std::string file = keys + suffix;
      if (file == "lists.npy") continue;
      Run({"export",
           File("w.json"),
           "--step",
           "1",
           "--layer",
           "1",
           "--keys",
           keys,
           "-o",
           File(file)});
      const std::string packed = suffix == ".npy" ? ",packed=little" : "";
      Make("array:queries=128,file=" + File(file) + packed, "r.json");
      for (const std::string from : {"w.json", "r.json"}) {
        Run({"export",
             File(from),
             "--step",
             "1",
             "--layer",
             "1",
             "--keys",
             "lists",
             "-o",
             File(from + ".npz")});
        Run({"export", File(from), "--step", "1", "--layer", "1", "-o", File(from + ".npy")});
      }
      EXPECT_EQ(FileText(File("w.json.npz")), FileText(File("r.json.npz"))) << file;
      EXPECT_EQ(FileText(File("w.json.npy")), FileText(File("r.json.npy"))) << file;
    }
  }
}

TEST_F(FineWorkloadTest, MergeKeepsTheListsOfAFolder) {
  Make("fine:density=0.2,run=2", "w.json");
  std::filesystem::create_directory(File("dump"));
  for (const std::string layer : {"0", "1"}) {
    Run({"export",
         File("w.json"),
         "--step",
         "0",
         "--layer",
         layer,
         "--keys",
         "lists",
         "-o",
         File("dump/layer" + layer + ".npz")});
  }
  Run({"merge",
       File("dump"),
       "--heads",
       "3",
       "--tokens",
       "300",
       "--layers",
       "2",
       "--steps",
       "2",
       "--block",
       "64x64",
       "--arrays",
       "queries=128",
       "-o",
       File("m.json")});
  for (const std::string layer : {"0", "1"}) {
    for (const std::string from : {"w", "m"}) {
      Run({"export",
           File(from + ".json"),
           "--step",
           "1",
           "--layer",
           layer,
           "--keys",
           "lists",
           "-o",
           File(from + ".npz")});
      Run({"export",
           File(from + ".json"),
           "--step",
           "1",
           "--layer",
           layer,
           "-o",
           File(from + ".npy")});
    }
    EXPECT_EQ(FileText(File("w.npz")), FileText(File("m.npz"))) << layer;
    EXPECT_EQ(FileText(File("w.npy")), FileText(File("m.npy"))) << layer;
  }
}

TEST_F(FineWorkloadTest, ClassesOfSlaAreDescribedAndExported) {
  // 3 heads of 5 x 5 blocks; a dense mask holds 1 and 0, which are critical and marginal blocks.
  Make("random:density=0.4", "w.json");
  Run({"export", File("w.json"), "--step", "0", "--layer", "0", "-o", File("m.npz")});
  const ToolResult made = Make("array:sla,file=" + File("m.npz"), "s.json");
  EXPECT_THAT(made.err, HasSubstr("SLA: 0.4000 of the blocks are critical, 0.6000 marginal"));
  EXPECT_THAT(made.err, HasSubstr("are not planned"));
  const auto json = nlohmann::json::parse(Run({"info", File("s.json"), "--json"}).out);
  EXPECT_NEAR(json["rules"][0]["marginal_density"]["mean"].get<double>(), 0.6, 1e-9);
  EXPECT_NEAR(json["rules"][0]["density"]["mean"].get<double>(), 0.4, 1e-9);
  const std::vector<std::string> cell{"--step", "1", "--layer", "1", "-o", File("c.npz")};
  std::vector<std::string> classes{"export", File("s.json"), "--classes"};
  classes.insert(classes.end(), cell.begin(), cell.end());
  EXPECT_THAT(Run(classes).out, HasSubstr("classes, i1 [3, 5, 5]"));
  Make("array:sla,file=" + File("c.npz"), "r.json");
  std::filesystem::remove(File("c.npz"));
  classes[1] = File("w.json");
  EXPECT_THAT(Run(classes, 2).err, HasSubstr("has no classes of SLA"));
  EXPECT_FALSE(std::filesystem::exists(File("c.npz")));
}

TEST_F(FineWorkloadTest, WhatCannotBeWrittenIsRefusedInOneLine) {
  Make("fine:density=0.2,dense_layers=1", "w.json");
  const ToolResult dense = Run({"export",
                                File("w.json"),
                                "--step",
                                "0",
                                "--layer",
                                "0",
                                "--keys",
                                "bits",
                                "-o",
                                File("x.npz")},
                               2);
  EXPECT_THAT(dense.err, HasSubstr("step 0, layer 0"));
  EXPECT_THAT(dense.err, HasSubstr("block masks only, by rule 'dense'"));
  const ToolResult npy = Run({"export",
                              File("w.json"),
                              "--step",
                              "0",
                              "--layer",
                              "1",
                              "--keys",
                              "lists",
                              "-o",
                              File("x.npy")},
                             2);
  EXPECT_THAT(npy.err, HasSubstr("a .npy file holds one array"));
  for (const ToolResult& result : {dense, npy}) {
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_FALSE(std::filesystem::exists(File("x.npz")));
  EXPECT_FALSE(std::filesystem::exists(File("x.npy")));
  Run({"export",
       File("w.json"),
       "--step",
       "0",
       "--layer",
       "1",
       "--keys",
       "ints",
       "-o",
       File("x.npz")},
      2);
}

}  // namespace
}  // namespace dbsp::testing
