// SPDX-License-Identifier: Apache-2.0
// Hostile numbers in every integer of a workload file, of a rule's options and of the flags of
// dbsp-workload: a usage error or a valid workload whose cells can be counted, in bounded time.
#include "tests/core/hostile_numbers.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/workload.h"
#include "planner/workload/census.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/rules/rule.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::planner {
namespace {

/// Hostile numbers, the limits of workloads and numbers beside the limits.
const std::vector<std::string>& Numbers() {
  static const std::vector<std::string> numbers = [] {
    std::vector<std::string> all = testing::HostileNumbers();
    all.insert(all.end(),
               {"-1e300", "1", "2", "1024", "16384", "1048576", "1048577", "1073741824"});
    return all;
  }();
  return numbers;
}

/// Runs `body`. Only an error of the input's kind (exit 2) may leave it.
template <typename Body>
void ExpectRefusedOrValid(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.code()), 2) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

/// Opens the masks, counts every cell, and makes the masks of one cell if they are small.
void Use(const Workload& workload) {
  const auto source = OpenMasks(workload);
  const Census census = TakeCensus(workload);
  EXPECT_LE(census.density.high, 1.0);
  EXPECT_GE(census.density.low, 0.0);
  static_cast<void>(CensusLines(workload, census));
  const AttentionShape shape = workload.shape();
  const double bits = static_cast<double>(shape.q_blocks()) * shape.k_blocks() * shape.heads;
  if (bits > 1e7) return;
  const LayerMasks masks = source->At(workload.model.steps - 1, workload.model.layers - 1);
  EXPECT_EQ(masks.head.size(), static_cast<std::size_t>(workload.model.heads));
  EXPECT_EQ(masks.head.back()->Count(),
            source->ActiveBlocksAt(workload.model.steps - 1, workload.model.layers - 1).back());
}

/// A small model that every rule takes.
Workload Small() {
  Workload workload;
  workload.model = {"wan2.1-small", 2, 2, 64, {6, 8, 16}, 0, 2, 1};
  workload.block = {64, 64};
  return workload;
}

class HostileNumbersTest : public ::testing::Test {
 protected:
  /// One flag for every rule that needs no array file.
  std::vector<std::string> Flags() const {
    std::ofstream(folder_ / "d.csv") << "Step,Layer,Head,Sparsity\n1,0,0,0.5\n1,0,1,0.5\n"
                                        "1,1,0,0.5\n1,1,1,0.5\n2,0,0,0.5\n2,0,1,0.5\n2,1,0,0.5\n"
                                        "2,1,1,0.5\n";
    nlohmann::json sta;
    for (const char* step : {"0", "1"}) {
      for (const char* layer : {"0", "1"}) {
        for (const char* head : {"0", "1"}) {
          sta[std::string(step) + "_" + layer + "_" + head] = {1, 1, 2};
        }
      }
    }
    std::ofstream(folder_ / "sta.json") << sta;
    return {"dense",
            "radial:dense_steps=1",
            "sta:window=1x1x1,dense_steps=0",
            "sta:file=" + (folder_ / "sta.json").string(),
            "svg1",
            "vsa",
            "random:density=0.5,spread=0.5",
            "random:density=0.3,pattern=band",
            "fine:density=0.3,run=2,share=0.5,spread=0.5",
            "density:file=" + (folder_ / "d.csv").string()};
  }
  testing::TemporaryFolder folder_;
};

/// Pointers to every number of a document, and to every option of its rules.
void CollectNumbers(const nlohmann::json& value,
                    const std::string& path,
                    std::vector<std::string>& found) {
  if (value.is_number() || path.find("/options/") != std::string::npos) found.push_back(path);
  if (!value.is_structured()) return;
  for (const auto& [key, item] : value.items()) CollectNumbers(item, path + "/" + key, found);
}

TEST_F(HostileNumbersTest, InEveryFieldOfAWorkloadFile) {
  int accepted = 0;
  int refused = 0;
  for (const std::string& flag : Flags()) {
    Workload workload = Small();
    ApplyMaskFlag(flag, workload);
    const auto document = nlohmann::json::parse(WorkloadToJson(workload));
    std::vector<std::string> fields;
    CollectNumbers(document, "", fields);
    EXPECT_GE(fields.size(), 15U);
    for (const std::string& field : fields) {
      for (const std::string& number : Numbers()) {
        SCOPED_TRACE(flag + " " + field + " " + number);
        auto changed = document;
        auto& value = changed[nlohmann::json::json_pointer(field)];
        value = value.is_string() ? nlohmann::json(number) : nlohmann::json::parse(number);
        bool valid = false;
        ExpectRefusedOrValid([&] {
          Use(WorkloadFromJson(changed.dump(), "w.json"));
          valid = true;
        });
        ++(valid ? accepted : refused);
      }
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 1000);
}

TEST_F(HostileNumbersTest, InSeveralSizesOfAWorkloadAtOnce) {
  const std::vector<int> sizes{1, 46341, 1 << 20};
  for (const std::string& flag : Flags()) {
    Workload workload = Small();
    ApplyMaskFlag(flag, workload);
    for (const int a : sizes) {
      for (const int b : sizes) {
        SCOPED_TRACE(flag + " " + std::to_string(a) + " " + std::to_string(b));
        // A million cells are valid and take a second, so they are tried with one rule alone.
        if (std::int64_t{a} * b != 1 << 20 || flag == "dense") {
          Workload cells = workload;
          cells.model.steps = a;
          cells.model.layers = b;
          cells.assignments = {{0, 0, a, 0, b}};
          ExpectRefusedOrValid([&] { Use(WorkloadFromJson(WorkloadToJson(cells), "w.json")); });
          Workload heads = workload;
          heads.model.heads = a;
          heads.model.layers = b;
          heads.model.steps = 1;
          heads.assignments = {{0, 0, 1, 0, b}};
          ExpectRefusedOrValid([&] { Use(WorkloadFromJson(WorkloadToJson(heads), "w.json")); });
        }
        Workload grid = workload;
        grid.model.grid = {a, b, 1};
        ExpectRefusedOrValid([&] { Use(WorkloadFromJson(WorkloadToJson(grid), "w.json")); });
        grid.model.grid = {a, b, b};
        ExpectRefusedOrValid([&] { Use(WorkloadFromJson(WorkloadToJson(grid), "w.json")); });
        Workload block = workload;
        block.model.grid = {6, 1024, 1024};
        block.block = {a, b};
        ExpectRefusedOrValid([&] { Use(WorkloadFromJson(WorkloadToJson(block), "w.json")); });
      }
    }
  }
}

TEST_F(HostileNumbersTest, InEveryOptionOfEveryRule) {
  const Workload small = Small();
  for (const std::string& base : Flags()) {
    const std::string name = base.substr(0, base.find(':'));
    std::vector<std::string> options{"dense_steps", "dense_layers"};
    for (const OptionSpec& spec : FindRule(name).Specs(small.model)) options.push_back(spec.name);
    for (const std::string& option : options) {
      if (option == "file" || base.find(option + "=") != std::string::npos) continue;
      for (const std::string& number : Numbers()) {
        std::vector<std::string> values{number};
        if (option == "window" || option == "tiles") {
          values = {number + "x1x1", "1x" + number + "x1", "1x1x" + number};
        }
        for (const std::string& value : values) {
          const char* separator = base.find(':') == std::string::npos ? ":" : ",";
          const std::string flag = base + separator + option + "=" + value;
          SCOPED_TRACE(flag);
          Workload workload = small;
          ExpectRefusedOrValid([&] {
            ApplyMaskFlag(flag, workload);
            Use(WorkloadFromJson(WorkloadToJson(workload), "w.json"));
          });
        }
      }
    }
  }
}

TEST_F(HostileNumbersTest, InEveryColumnAndKeyOfTablesAndLogs) {
  const std::vector<std::string> flags = Flags();
  for (const std::string& number : Numbers()) {
    SCOPED_TRACE(number);
    const auto apply = [&](const char* file, const std::string& text, const std::string& rule) {
      std::ofstream(folder_ / file) << text;
      Workload workload = Small();
      ExpectRefusedOrValid([&] {
        ApplyMaskFlag(rule + (folder_ / file).string(), workload);
        Use(workload);
      });
    };
    const std::string head = "Step,Layer,Head,Sparsity\n1,0,0,0.5\n";
    apply("x.csv", head + number + ",0,0,0.5\n", "density:file=");
    apply("x.csv", head + "1," + number + ",0,0.5\n", "density:file=");
    apply("x.csv", head + "1,0," + number + ",0.5\n", "density:file=");
    apply("x.csv", head + "1,0,1," + number + "\n", "density:file=");
    const auto line = [](const std::string& time, const std::string& layer, const std::string& d) {
      return "{\"timestep\": " + time + ", \"layer\": " + layer + ", \"density\": [[" + d +
             ", 0.5]]}\n";
    };
    const std::string first = line("9", "0", "0.5");
    apply("x.jsonl", first + line(number, "0", "0.5"), "density:file=");
    apply("x.jsonl", first + line("8", number, "0.5"), "density:file=");
    apply("x.jsonl", first + line("8", "0", number), "density:file=");
    for (const std::string& key : {number + "_0_0", "0_" + number + "_0", "0_0_" + number}) {
      apply("x.json", R"({"0_0_0": [1, 1, 2], ")" + key + R"(": [1, 1, 2]})", "sta:file=");
    }
    apply("x.json", R"({"0_0_0": [1, 1, )" + number + "]}", "sta:file=");
  }
}

}  // namespace
}  // namespace dbsp::planner
