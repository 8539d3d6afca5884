// SPDX-License-Identifier: Apache-2.0
#include "core/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base64.h"
#include "core/error.h"
#include "core/file.h"
#include "core/workload_cells.h"

namespace dbsp {
namespace {

Workload Example() {
  Workload workload;
  workload.model = {"example", 4, 3, 64, {2, 3, 5}, 7, 6, 2};
  workload.block = {8, 16};
  workload.rules = {{"radial", {{"decay", "0.2"}, {"block", "8"}}, ""},
                    {"dense", {}, ""},
                    {"sta", {}, std::string("\x00\xff table", 8)}};
  workload.assignments = {{0, 0, 6, 0, 4}, {1, 0, 2, 0, 4}, {2, 0, 6, 3, 4}};
  return workload;
}

std::string ErrorOf(const std::string& text) {
  try {
    static_cast<void>(WorkloadFromJson(text, "w.json"));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
    return error.what();
  }
  return "no error";
}

/// Example() as text with the first `from` replaced by `to`.
std::string Changed(const std::string& from, const std::string& to) {
  std::string text = WorkloadToJson(Example());
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(WorkloadTest, TextAndBackIsTheSameWorkloadAndTheSameText) {
  const Workload workload = Example();
  const std::string text = WorkloadToJson(workload);
  const Workload again = WorkloadFromJson(text, "w.json");
  EXPECT_EQ(again.model, workload.model);
  EXPECT_EQ(again.block, workload.block);
  EXPECT_EQ(again.rules, workload.rules);
  EXPECT_EQ(again.assignments, workload.assignments);
  EXPECT_EQ(WorkloadToJson(again), text);
  EXPECT_EQ(HashOf(again), HashOf(workload));
}

// Plans refer to workloads by this hash: a change of the canonical text is a change of format.
TEST(WorkloadTest, HashOfAKnownWorkloadStaysAsItIs) {
  EXPECT_EQ(HashOf(Example()), "82b5cd021b2dd9aaeec24d495caea763");
}

TEST(WorkloadTest, HashDependsOnEveryPartButNotOnTheFolder) {
  const std::string hash = HashOf(Example());
  Workload moved = Example();
  moved.directory = "/elsewhere";
  EXPECT_EQ(HashOf(moved), hash);
  const std::vector<std::function<void(Workload&)>> changes{
      [](Workload& w) { w.model.name += "x"; },
      [](Workload& w) { w.model.text_tokens = 8; },
      [](Workload& w) { w.block.k = 8; },
      [](Workload& w) { w.rules[0].options["decay"] = "0.3"; },
      [](Workload& w) { w.rules[2].blob[0] = '1'; },
      [](Workload& w) { w.assignments[1].step_end = 3; }};
  for (const auto& change : changes) {
    Workload workload = Example();
    change(workload);
    EXPECT_NE(HashOf(workload), hash);
  }
}

TEST(WorkloadTest, LastMatchingAssignmentWins) {
  const Workload workload = Example();
  EXPECT_EQ(workload.RuleAt(5, 0).rule, "radial");
  EXPECT_EQ(workload.RuleAt(1, 0).rule, "dense");
  EXPECT_EQ(workload.RuleAt(1, 3).rule, "sta");
}

TEST(WorkloadTest, WrongDocumentsNameFileAndKey) {
  using testing::HasSubstr;
  EXPECT_THAT(ErrorOf("{\"schema\": "), HasSubstr("w.json: line 1, column 12"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(ErrorOf(Changed("dbsp.workload/1", "dbsp.plan/1")), HasSubstr("key 'schema'"));
  EXPECT_THAT(ErrorOf(Changed("\"layers\": 4", "\"layers\": 0")), HasSubstr("key 'model.layers'"));
  EXPECT_THAT(ErrorOf(Changed("\"layers\": 4", "\"layers\": 1e9")), HasSubstr("an integer"));
  EXPECT_THAT(ErrorOf(Changed("\"layers\": 4", "\"layer\": 4")),
              HasSubstr("unknown key in 'model' 'layer'; nearest known: 'layers'"));
  EXPECT_THAT(ErrorOf(Changed("\"passes\": 2", "\"passes\": 3")), HasSubstr("key 'model.passes'"));
  EXPECT_THAT(ErrorOf(Changed("\"0.2\"", "0.2")), HasSubstr("key 'rules[0].options.decay'"));
  EXPECT_THAT(ErrorOf(Changed("AP8g", "AP8*")), HasSubstr("key 'rules[2].blob'"));
  EXPECT_THAT(ErrorOf(Changed("\"rule\": 2", "\"rule\": 3")), HasSubstr("'assignments[2].rule'"));
  EXPECT_THAT(ErrorOf(Changed("\"block\": [\n  8,", "\"block\": [\n  -8,")),
              HasSubstr("key 'block[0]'"));
}

TEST(WorkloadTest, EveryCellNeedsARule) {
  Workload workload = Example();
  workload.assignments = {{0, 0, 6, 0, 3}, {1, 0, 5, 0, 4}};
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)),
              testing::HasSubstr("key 'assignments': expected a rule for step 5, layer 3"));
  workload.assignments.clear();
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)), testing::HasSubstr("step 0, layer 0"));
}

TEST(WorkloadTest, RulesOfCellsAreThoseOfTheLastAssignmentsOnWideAndTallGrids) {
  for (const auto& [steps, layers] : {std::pair{7, 5}, std::pair{5, 7}, std::pair{1, 9}}) {
    Workload workload = Example();
    workload.model.steps = steps;
    workload.model.layers = layers;
    workload.assignments.clear();
    for (int i = 0; i < 40; ++i) {
      const int step = i * 7 % steps;
      const int layer = i * 11 % layers;
      workload.assignments.push_back({i % 3,
                                      step,
                                      std::min(step + 1 + i % 4, steps),
                                      layer,
                                      std::min(layer + 1 + i % 3, layers)});
      const std::vector<int> indices = RuleIndices(workload.model, workload.assignments);
      for (int s = 0; s < steps; ++s) {
        for (int l = 0; l < layers; ++l) {
          const int index = indices[static_cast<std::size_t>(s) * layers + l];
          if (index < 0) {
            EXPECT_THROW(static_cast<void>(workload.RuleAt(s, l)), Error);
          } else {
            EXPECT_EQ(&workload.RuleAt(s, l), &workload.rules[index]);
          }
        }
      }
    }
  }
}

TEST(WorkloadTest, ProductsOfSizesHaveLimits) {
  using testing::HasSubstr;
  Workload workload = Example();
  workload.model.steps = workload.model.layers = 1 << 20;
  workload.assignments = {{0, 0, 1 << 20, 0, 1 << 20}};
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)),
              HasSubstr("key 'model': 1048576 steps x 1048576 layers: at most 1048576 cells, found "
                        "1099511627776"));
  workload.model.steps = 1 << 10;
  workload.model.layers = 1 << 10;
  workload.model.heads = 17;
  workload.assignments = {{0, 0, 1 << 10, 0, 1 << 10}};
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)), HasSubstr("17 heads: at most 16777216 masks"));
  workload.model.heads = 16;
  EXPECT_EQ(ErrorOf(WorkloadToJson(workload)), "no error");
  workload.model.grid = {1 << 20, 1 << 20, 1 << 20};
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)), HasSubstr("at most 1073741824 tokens"));
  workload.model.grid = {1 << 20, 1 << 10, 1};
  workload.model.text_tokens = 1;
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)), HasSubstr("and 1 text tokens: at most"));
  workload.model.text_tokens = 0;
  EXPECT_EQ(ErrorOf(WorkloadToJson(workload)), "no error");
}

/// The check of the cover took time with the cube of the number of assignments.
TEST(WorkloadTest, ManyAssignmentsAreReadInLinearTime) {
  Workload workload = Example();
  constexpr int kSide = 1000;
  workload.model.steps = workload.model.layers = kSide;
  workload.model.heads = 1;
  workload.assignments = {{0, 0, kSide, 0, kSide}};
  for (int i = 0; i < 60000; ++i) {
    const int at = i % (kSide - 1);
    workload.assignments.push_back({i % 3, at, at + 2, 0, kSide});
  }
  EXPECT_EQ(ErrorOf(WorkloadToJson(workload)), "no error");
  workload.assignments.resize(65537, workload.assignments.back());
  EXPECT_THAT(ErrorOf(WorkloadToJson(workload)),
              testing::HasSubstr("key 'assignments': expected at most 65536 assignments"));
}

TEST(WorkloadTest, TruncatedFilesAreRefusedWhereverTheyEnd) {
  const std::string text = WorkloadToJson(Example());
  for (std::size_t length = 0; length + 2 < text.size(); length += 7) {
    EXPECT_THAT(ErrorOf(text.substr(0, length)), testing::HasSubstr("w.json: line"));
  }
}

TEST(WorkloadTest, WrittenFilesReadBackWithTheirFolder) {
  const auto path = std::filesystem::path(testing::TempDir()) / "workload_test.json";
  WriteWorkload(Example(), path);
  const Workload read = ReadWorkload(path);
  EXPECT_EQ(HashOf(read), HashOf(Example()));
  EXPECT_EQ(read.directory, path.parent_path());
  EXPECT_THROW(WriteWorkload(Example(), "/nonexistent-folder/w.json"), Error);
  std::filesystem::remove(path);
}

TEST(Base64Test, KnownTextsAndEveryLengthRoundTrip) {
  EXPECT_EQ(Base64Encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64Encode("foob"), "Zm9vYg==");
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(Base64Decode(Base64Encode(bytes)), bytes);
    bytes.push_back(static_cast<char>(i * 37));
  }
}

TEST(Base64Test, OnlyTheCanonicalTextIsRead) {
  for (const char* text :
       {"A", "AB", "ABC", "A===", "AB=C", "A*==", "=AAA", "Zm9=Zm9v", "Zm9vYh=="}) {
    EXPECT_EQ(Base64Decode(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace dbsp
