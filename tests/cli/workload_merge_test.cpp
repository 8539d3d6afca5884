// SPDX-License-Identifier: Apache-2.0
// dbsp-workload merge over files as the recorder writes them, byte by byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
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

constexpr int kHeads = 4;
constexpr int kLayers = 2;
constexpr int kSteps = 2;
constexpr int kRows = 4;  // 64 tokens in blocks of 16 x 6
constexpr int kCols = 11;

using Texts = std::map<std::string, std::string>;

const Texts kTexts{{"format", "dbsp.recording/1"},
                   {"model", "toy"},
                   {"grid", "2,4,8"},
                   {"text_tokens", "0"},
                   {"block", "16x6"},
                   {"steps", "2"},
                   {"passes", "1"},
                   {"rank", "0"},
                   {"prompt", ""},
                   {"token_order", "row major"},
                   {"runtime", "xdit"},
                   {"layers", "2"},
                   {"heads", "4"},
                   {"mask_cols", "11"}};

bool Active(int step, int layer, int head, int row, int col) {
  // Heads 0 and 1 are equal, and so are both steps of layer 1.
  const int kind = (layer == 1 ? 0 : step * 7) + layer * 3 + head / 2 * 5;
  return (row * 3 + col * 5 + kind) % 13 < 4;
}

struct Rank {
  Texts texts = kTexts;
  std::vector<std::vector<int>> cells;  ///< step, layer, pass, head, mask
  std::string bits;

  /// Masks of `heads` in the steps and layers of the toy model.
  explicit Rank(const std::vector<int>& heads, int layers = kLayers) {
    for (int step = 0; step < kSteps; ++step) {
      for (int layer = 0; layer < layers; ++layer) {
        for (const int head : heads) Add(step, layer, head);
      }
    }
  }
  void Add(int step, int layer, int head) {
    cells.push_back({step, layer, 0, head, static_cast<int>(cells.size())});
    for (int i = 0; i < kRows; ++i) {
      int word = 0;
      for (int j = 0; j < kCols; ++j) word |= Active(step, layer, head, i, j) ? 1 << j : 0;
      bits += LittleEndian(static_cast<std::uint64_t>(word), 2);
    }
  }
  [[nodiscard]] std::string Bytes() const {
    std::string numbers;
    for (const auto& cell : cells) {
      for (const int number : cell) numbers += LittleEndian(static_cast<std::uint32_t>(number), 4);
    }
    const nlohmann::json header{
        {"__metadata__", texts},
        {"cells",
         {{"dtype", "I32"}, {"shape", {cells.size(), 5}}, {"data_offsets", {0, numbers.size()}}}},
        {"mask_bits",
         {{"dtype", "U8"},
          {"shape", {bits.size() / kRows / 2, kRows, 2}},
          {"data_offsets", {numbers.size(), numbers.size() + bits.size()}}}}};
    const std::string text = header.dump();
    return LittleEndian(text.size(), 8) + text + numbers + bits;
  }
};

class WorkloadMergeTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const Rank& rank) {
    std::filesystem::create_directories(folder_ / "dump");
    WriteFileAtomically(folder_ / "dump" / (name + ".safetensors"), rank.Bytes());
  }
  ToolResult Merge(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{
        "merge", (folder_ / "dump").string(), "-o", (folder_ / "w.json").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-workload", arguments);
  }
  void ExpectMasks(const std::string& name) {
    for (int step = 0; step < kSteps; ++step) {
      for (int layer = 0; layer < kLayers; ++layer) {
        const std::string out = (folder_ / "m.npy").string();
        const ToolResult exported = RunTool("dbsp-workload",
                                            {"export",
                                             (folder_ / name).string(),
                                             "--step",
                                             std::to_string(step),
                                             "--layer",
                                             std::to_string(layer),
                                             "-o",
                                             out});
        ASSERT_EQ(exported.exit_code, 0) << exported.err;
        const Array masks = LoadArray(out);
        ASSERT_EQ(masks.shape, (std::vector<std::int64_t>{kHeads, kRows, kCols}));
        for (int at = 0; at < masks.size(); ++at) {
          const int row = at / kCols % kRows;
          ASSERT_EQ(masks.Bool(at), Active(step, layer, at / kCols / kRows, row, at % kCols)) << at;
        }
      }
    }
  }
  /// One line, exit code 2, no file.
  void Refuse(const std::vector<std::string>& words, const std::vector<std::string>& more = {}) {
    const ToolResult result = Merge(more);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "w.json"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "w.masks.safetensors"));
  }
  TemporaryFolder folder_;
};

TEST_F(WorkloadMergeTest, RanksAreJoined) {
  Write("rank0", Rank({0, 3}));
  Rank second({2, 1});
  second.texts["rank"] = "1";
  Write("rank1", second);
  const ToolResult merged = Merge();
  ASSERT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_THAT(merged.err, HasSubstr("2 files of 2 ranks, runtime 'xdit', tokens in order"));
  EXPECT_THAT(merged.err, HasSubstr("16 masks, 6 of them distinct"));
  EXPECT_THAT(merged.out, HasSubstr("toy, 2 layers x 2 steps x 4 heads, 64 tokens"));
  ExpectMasks("w.json");
  // The masks beside the workload are an array file that 'make' reads too.
  const std::string rule =
      "array:file=" + (folder_ / "w.masks.safetensors").string() + ",block=16x6";
  const ToolResult made = RunTool("dbsp-workload",
                                  {"make",
                                   "--heads",
                                   "4",
                                   "--layers",
                                   "2",
                                   "--steps",
                                   "2",
                                   "--grid",
                                   "2,4,8",
                                   "--mask",
                                   rule,
                                   "-o",
                                   (folder_ / "made.json").string()});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  ExpectMasks("made.json");
}

TEST_F(WorkloadMergeTest, EqualOverlapsAreOneMaskAndOthersAreRefused) {
  Write("a", Rank({0, 1, 2, 3}));
  Rank again({1});
  again.texts["rank"] = "1";
  Write("b", again);
  ASSERT_EQ(Merge().exit_code, 0);
  ExpectMasks("w.json");
  std::filesystem::remove(folder_ / "w.json");
  std::filesystem::remove(folder_ / "w.masks.safetensors");
  again.bits[3 * 2 * kRows] = static_cast<char>(again.bits[3 * 2 * kRows] ^ 1);
  Write("b", again);
  Refuse({"b.safetensors", "step 1, layer 1, pass 0, head 1", "differs", "a.safetensors"});
}

TEST_F(WorkloadMergeTest, GapsAreRefused) {
  Write("a", Rank({0, 1, 3}));
  Refuse({"4 of 16 masks are missing", "step 0, layer 0, pass 0, head 2", "files of all ranks"});
  Refuse({"head 2"}, {"--missing", "dense"});  // a head that is missing is never dense
  Write("a", Rank({0, 1, 2, 3}, 1));
  Refuse({"8 of 16", "step 0, layer 1", "--missing dense"});
  const ToolResult dense = Merge({"--missing", "dense"});
  ASSERT_EQ(dense.exit_code, 0) << dense.err;
  EXPECT_THAT(dense.err, HasSubstr("2 of 4 (step, layer, pass) have no mask"));
  EXPECT_THAT(dense.err, HasSubstr("2 of 4 cells are dense"));
}

TEST_F(WorkloadMergeTest, FilesOfDifferentRunsAreRefused) {
  Write("a", Rank({0, 1}));
  for (const auto& [key, text] : Texts{{"model", "other"},
                                       {"block", "6x16"},
                                       {"grid", "2,8,4"},
                                       {"steps", "3"},
                                       {"token_order", ""},
                                       {"runtime", "diffusers"},
                                       {"heads", "8"}}) {
    Rank other({2, 3});
    other.texts["rank"] = "1";
    other.texts[key] = text;
    Write("b", other);
    Refuse({"b.safetensors", "'" + key + "' is '" + text + "'", "a.safetensors"});
    other.texts["prompt"] = "p2";  // prompts of one model only
    Write("b", other);
    Refuse({"'" + key + "' is '" + text + "'"});
  }
}

TEST_F(WorkloadMergeTest, PromptsAreKeptApart) {
  for (const char* prompt : {"p1", "a b"}) {
    for (int rank = 0; rank < 2; ++rank) {
      Rank one(rank == 0 ? std::vector{0, 1} : std::vector{2, 3});
      one.texts["prompt"] = prompt;
      one.texts["rank"] = std::to_string(rank);
      Write(std::string(prompt) + std::to_string(rank), one);
    }
  }
  const ToolResult both = Merge();
  ASSERT_EQ(both.exit_code, 0) << both.err;
  EXPECT_THAT(both.err, HasSubstr("2 prompts: 'a b', 'p1'"));
  ExpectMasks("w.p1.json");
  ExpectMasks("w.a_b.json");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "w.json"));
  ASSERT_EQ(Merge({"--prompt", "a b"}).exit_code, 0);
  ExpectMasks("w.json");
  std::filesystem::remove(folder_ / "w.json");
  std::filesystem::remove(folder_ / "w.masks.safetensors");
  Refuse({"unknown prompt 'p3'", "'p1'"}, {"--prompt", "p3"});
  Rank twin({0, 1, 2, 3});
  twin.texts["prompt"] = "a_b";
  Write("twin", twin);
  Refuse({"'a b' and 'a_b'", "--prompt"});
}

TEST_F(WorkloadMergeTest, FilesThatLieAreRefused) {
  const auto refuse = [&](const std::vector<std::string>& words, auto change) {
    Rank rank({0, 1, 2, 3});
    change(rank);
    Write("a", rank);
    std::vector<std::string> all = words;
    all.push_back("a.safetensors");
    Refuse(all);
  };
  refuse({"dbsp.recording/1", "dbsp.recording/2"},
         [](Rank& rank) { rank.texts["format"] = "dbsp.recording/2"; });
  refuse({"is no recording", "--block"}, [](Rank& rank) { rank.texts.clear(); });
  for (const auto& [key, text] :
       std::vector<std::pair<std::string, std::string>>{{"grid", "2,4"},
                                                        {"grid", "2,4,8,1"},
                                                        {"grid", "2,4,0"},
                                                        {"grid", "2,4,8 "},
                                                        {"block", "16"},
                                                        {"block", "16x0"},
                                                        {"steps", "0"},
                                                        {"steps", "1e3"},
                                                        {"passes", "3"},
                                                        {"heads", "-4"},
                                                        {"heads", ""},
                                                        {"layers", "99999999999999999999"},
                                                        {"rank", "x"},
                                                        {"text_tokens", "-1"},
                                                        {"head_dim", "0"},
                                                        {"grid", "999999,999999,9"}}) {
    refuse({"'" + key + "'"}, [&](Rank& rank) { rank.texts[key] = text; });
  }
  refuse({"'steps'", "nothing"}, [](Rank& rank) { rank.texts.erase("steps"); });
  const char* const names[] = {"step", "layer", "pass", "head", "mask"};
  for (std::size_t i = 0; i < 5; ++i) {
    for (const int number : {-1, i == 4 ? 16 : 4, 2147483647}) {
      refuse({"'cells'", "row 5", names[i] + (" " + std::to_string(number))},
             [&](Rank& rank) { rank.cells[5][i] = number; });
    }
  }
  refuse({"mask_bits", "row 1 of mask 2", "11 blocks"},
         [](Rank& rank) { rank.bits[2 * 8 + 3] = '\x08'; });
  refuse({"mask_bits", "[16, 4, 2]", "[n, 4, 3]"},
         [](Rank& rank) { rank.texts["block"] = "16x3"; });
  Rank none({0, 1, 2, 3});
  none.cells.clear();
  Write("a", none);
  Refuse({"16 of 16 masks are missing"});
}

TEST_F(WorkloadMergeTest, InputsAndOutputsAreChecked) {
  std::filesystem::create_directories(folder_ / "dump");
  Refuse({"holds no array file", "dbsp.record"});
  Write("a", Rank({0, 1, 2, 3}));
  const std::string dump = (folder_ / "dump").string();
  const auto run = [](const std::vector<std::string>& arguments) {
    return RunTool("dbsp-workload", arguments);
  };
  const ToolResult out = run({"merge", dump, "-o", "-"});
  EXPECT_EQ(out.exit_code, 2);
  EXPECT_THAT(out.err, HasSubstr("name of a file"));
  const ToolResult absent = run({"merge", dump + "/none", "-o", (folder_ / "w.json").string()});
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_THAT(absent.err, HasSubstr("none"));
  const ToolResult itself = run({"merge", dump, "-o", dump + "/a.safetensors"});
  EXPECT_EQ(itself.exit_code, 2);
  EXPECT_THAT(itself.err, HasSubstr("a file to merge"));
  // The outputs may lie beside the recordings, and be written again.
  for (int run_number = 0; run_number < 2; ++run_number) {
    const ToolResult beside = run({"merge", dump, "-o", dump + "/w.json"});
    EXPECT_EQ(beside.exit_code, 0) << beside.err;
  }
  // One rank's file is no mask of the workload.
  const ToolResult made = run({"make",
                               "--heads",
                               "4",
                               "--grid",
                               "2,4,8",
                               "--mask",
                               "array:block=16x6,file=" + dump + "/a.safetensors",
                               "-o",
                               (folder_ / "w.json").string()});
  EXPECT_EQ(made.exit_code, 2);
  EXPECT_THAT(made.err, HasSubstr("recording of one rank"));
}

TEST_F(WorkloadMergeTest, SizesThatNobodyStatesAreThoseRecorded) {
  Rank rank({0, 1, 2, 3});
  rank.texts.erase("heads");
  rank.texts.erase("layers");
  Write("a", rank);
  const ToolResult merged = Merge({"--name", "mine"});
  ASSERT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_THAT(merged.err, HasSubstr("4 heads: as many as were recorded"));
  EXPECT_THAT(merged.err, HasSubstr("2 layers: as many as were recorded"));
  EXPECT_THAT(merged.out, HasSubstr("mine, 2 layers"));
  // A preset states them.
  rank.texts["model"] = "wan2.1-t2v-1.3b-480p";
  Write("a", rank);
  const ToolResult preset = Merge({"--missing", "dense"});
  EXPECT_EQ(preset.exit_code, 2);
  EXPECT_THAT(preset.err, HasSubstr("of 720 masks are missing"));  // 30 layers, 12 heads, 2 steps
}

}  // namespace
}  // namespace dbsp::testing
