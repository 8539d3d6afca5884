// SPDX-License-Identifier: Apache-2.0
// dbsp-workload merge over folders of array files, one per step, layer and rank.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
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
constexpr int kTiles = 6;  // of 64 tokens

bool Active(int step, int layer, int head, int row, int col) {
  return (row * 3 + col * 5 + step * 7 + layer * 3 + head) % 11 < 4;
}

/// Counts and columns, as FastVideo's VSA has them, of `heads` heads from `first` on.
std::string Lists(int step, int layer, int first, int heads) {
  std::string counts;
  std::string columns;
  for (int head = first; head < first + heads; ++head) {
    for (int i = 0; i < kTiles; ++i) {
      std::vector<int> row;
      for (int j = kTiles; j-- > 0;) {
        if (Active(step, layer, head, i, j)) row.push_back(j);
      }
      counts += LittleEndian(row.size(), 4);
      row.resize(kTiles, -1);
      for (const int j : row) columns += LittleEndian(static_cast<std::uint32_t>(j), 4);
    }
  }
  const std::string shape = "(1, " + std::to_string(heads) + ", 6, ";
  return MakeZip({{"q2k_idx.npy", MakeNpy(NpyHeader("<i4", shape + "6)"), columns)},
                  {"q2k_num.npy", MakeNpy(NpyHeader("<i4", shape + ")"), counts)}});
}

class MaskFolderTest : public ::testing::Test {
 protected:
  MaskFolderTest() { std::filesystem::create_directories(folder_ / "probes"); }
  void Write(const std::string& name, const std::string& bytes) {
    WriteFileAtomically(folder_ / "probes" / name, bytes);
  }
  void WriteAll(int ranks) {
    for (int step = 0; step < 2; ++step) {
      for (int layer = 0; layer < 3; ++layer) {
        for (int rank = 0; rank < ranks; ++rank) {
          const int heads = kHeads / ranks;
          Write(fmt::format("probe_step{:03}_layer{:03}_r{}.npz", step, layer, rank),
                Lists(step, layer, rank * heads, heads));
        }
      }
    }
  }
  ToolResult Merge(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"merge",
                                       (folder_ / "probes").string(),
                                       "--heads",
                                       "4",
                                       "--layers",
                                       "3",
                                       "--steps",
                                       "2",
                                       "--tokens",
                                       "384",
                                       "--block",
                                       "64x64",
                                       "-o",
                                       (folder_ / "w.json").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("dbsp-workload", arguments);
  }
  void ExpectMasks(const std::function<bool(int, int, int, int, int)>& active) {
    for (int step = 0; step < 2; ++step) {
      for (int layer = 0; layer < 3; ++layer) {
        const std::string out = (folder_ / "m.npy").string();
        const ToolResult exported = RunTool("dbsp-workload",
                                            {"export",
                                             (folder_ / "w.json").string(),
                                             "--step",
                                             std::to_string(step),
                                             "--layer",
                                             std::to_string(layer),
                                             "-o",
                                             out});
        ASSERT_EQ(exported.exit_code, 0) << exported.err;
        const Array masks = LoadArray(out);
        ASSERT_EQ(masks.size(), kHeads * kTiles * kTiles);
        for (int at = 0; at < masks.size(); ++at) {
          const int row = at / kTiles % kTiles;
          ASSERT_EQ(masks.Bool(at), active(step, layer, at / kTiles / kTiles, row, at % kTiles));
        }
      }
    }
  }
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

TEST_F(MaskFolderTest, FilesPerStepLayerAndRankAreJoined) {
  for (const int ranks : {1, 2, 4}) {
    std::filesystem::remove_all(folder_ / "probes");
    std::filesystem::create_directories(folder_ / "probes");
    WriteAll(ranks);
    const ToolResult merged = Merge();
    ASSERT_EQ(merged.exit_code, 0) << merged.err;
    EXPECT_THAT(merged.err, HasSubstr("counts and columns"));
    if (ranks == 2) {
      EXPECT_THAT(merged.err, HasSubstr("rank r holds heads 2 r to 2 r + 1"));
    }
    ExpectMasks(Active);
  }
}

TEST_F(MaskFolderTest, ANumberThatNoNameHasHoldsForAll) {
  for (int layer = 0; layer < 3; ++layer) {
    Write(fmt::format("Layer-{}.npz", layer), Lists(0, layer, 0, kHeads));
  }
  const ToolResult merged = Merge({"--passes", "2"});
  ASSERT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_THAT(merged.err, HasSubstr("no name has a step number: each file holds for all steps"));
  EXPECT_THAT(merged.err, HasSubstr("one mask for all passes"));
  ExpectMasks(
      [](int, int layer, int head, int row, int col) { return Active(0, layer, head, row, col); });
}

TEST_F(MaskFolderTest, PassesMayHaveFilesOfTheirOwn) {
  for (int pass = 0; pass < 2; ++pass) {
    for (int layer = 0; layer < 3; ++layer) {
      Write(fmt::format("layer{}_pass{}.npz", layer, pass), Lists(pass, layer, 0, kHeads));
    }
  }
  ASSERT_EQ(Merge({"--passes", "2", "--pass", "1"}).exit_code, 0);
  ExpectMasks(
      [](int, int layer, int head, int row, int col) { return Active(1, layer, head, row, col); });
  const ToolResult both = Merge({"--passes", "2"});
  EXPECT_THAT(both.err, HasSubstr("each pass has masks of its own"));
}

TEST_F(MaskFolderTest, OptionsOfTheArrayRuleAreUsed) {
  const auto table = [](const std::vector<int>& row) {
    std::string bytes;
    for (int i = 0; i < kHeads * kTiles; ++i) {
      for (const int entry : row) bytes += LittleEndian(static_cast<std::uint32_t>(entry), 4);
    }
    return MakeZip({{"lut.npy", MakeNpy(NpyHeader("<i4", "(4, 6, 3)"), bytes)},
                    {"counts.npy",
                     MakeNpy(NpyHeader("|i1", "(4, 6)"),
                             std::string(static_cast<std::size_t>(kHeads * kTiles), '\3'))}});
  };
  Write("layer0.npz", table({0, 2, 3}));
  Write("layer1.npz", table({0, 2, 3}));
  Write("layer2.npz", table({0, 2, 3}));
  Refuse({"layer0.npz", "lut=ordinal or lut=delta"});
  ASSERT_EQ(Merge({"--arrays", "lut=ordinal"}).exit_code, 0);
  ExpectMasks([](int, int, int, int, int col) { return col == 0 || col == 2 || col == 3; });
  ASSERT_EQ(Merge({"--arrays", "lut=delta"}).exit_code, 0);
  ExpectMasks([](int, int, int, int, int col) { return col == 0 || col == 2 || col == 5; });
}

TEST_F(MaskFolderTest, FoldersThatDoNotFitAreRefused) {
  WriteAll(2);
  std::filesystem::remove(folder_ / "probes" / "probe_step001_layer002_r1.npz");
  Refuse({"2 of 24 masks are missing", "step 1, layer 2, pass 0, head 2"});
  Write("probe_step001_layer002_r1.npz", Lists(1, 2, 2, 1));
  Refuse({"probe_step001_layer002_r1.npz", "H = 1", "expected axes BHQK: B = 1, H = 2"});
  Write("probe_step001_layer002_r1.npz", "no zip");
  Refuse({"probe_step001_layer002_r1.npz"});
  Write("probe_step001_layer002_r2.npz", Lists(1, 2, 2, 2));
  Refuse({"4 heads over the 3 ranks"});
  std::filesystem::remove(folder_ / "probes" / "probe_step001_layer002_r2.npz");
  Write("probe_step001_layer002_r1.npz", Lists(1, 2, 2, 2));
  Write("probe_step002_layer000_r0.npz", Lists(0, 0, 0, 2));
  Refuse({"probe_step002_layer000_r0.npz", "step 2", "less than 2"});
  std::filesystem::remove(folder_ / "probes" / "probe_step002_layer000_r0.npz");
  Write("probe_layer000_r0.npz", Lists(0, 0, 0, 2));
  Refuse({"step number", "name the files alike"});
  std::filesystem::remove(folder_ / "probes" / "probe_layer000_r0.npz");
  Write("probe_step1_layer2_rank1.npz", Lists(0, 0, 0, 2));  // the same place with another mask
  Refuse({"step 1, layer 2, pass 0, head 2", "differs", "probe_step001_layer002_r1.npz"});
  std::filesystem::remove(folder_ / "probes" / "probe_step1_layer2_rank1.npz");
  Refuse({"prompt"}, {"--prompt", "p"});
  const ToolResult bare = RunTool("dbsp-workload",
                                  {"merge",
                                   (folder_ / "probes").string(),
                                   "--heads",
                                   "4",
                                   "--tokens",
                                   "384",
                                   "-o",
                                   (folder_ / "w.json").string()});
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_THAT(bare.err, HasSubstr("--block"));
}

}  // namespace
}  // namespace dbsp::testing
