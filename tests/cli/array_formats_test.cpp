// SPDX-License-Identifier: Apache-2.0
// One mask handed over in every file format and layout comes out of the tools bit for bit the same.
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

constexpr int kHeads = 3;
constexpr int kRows = 7;  ///< 100 tokens in blocks of 16: a tail
constexpr int kCols = 4;  ///< 100 tokens in blocks of 32

/// Kept at (head, row, column); head 1 has an empty row, head 2 a full one.
bool Kept(int head, int row, int col) {
  if (head == 1 && row == 3) return false;
  if (head == 2 && row == 5) return true;
  return (head * 31 + row * 17 + col * 7) % 5 < 2;
}

std::string Bytes() {
  std::string bytes;
  for (int h = 0; h < kHeads; ++h) {
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kCols; ++j) bytes += Kept(h, i, j) ? '\1' : '\0';
    }
  }
  return bytes;
}

std::string Npy(const char* type, const std::string& shape, const std::string& data) {
  return MakeNpy(NpyHeader(type, shape), data);
}

std::string Dense() { return Npy("|b1", "(3, 7, 4)", Bytes()); }

std::string Torch() {
  return MakeTorch(
      Pickle("}(" + PickleString("sparse") +
             Pickled({"BoolStorage", "0", kHeads * kRows * kCols, 0, {3, 7, 4}, {28, 4, 1}}) + "u"),
      {{"0", Bytes()}});
}

std::string Safetensors() {
  return MakeSafetensors(R"({"mask":{"dtype":"BOOL","shape":[3,7,4],"data_offsets":[0,84]}})",
                         Bytes());
}

std::string Bsr() {
  std::string indptr;
  std::string indices;
  std::uint64_t total = 0;
  for (int h = 0; h < kHeads; ++h) {
    indptr += LittleEndian(total, 8);
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kCols; ++j) {
        if (!Kept(h, i, j)) continue;
        indices += LittleEndian(static_cast<std::uint64_t>(j), 4);
        ++total;
      }
      indptr += LittleEndian(total, 8);
    }
  }
  return MakeZip({{"indptr.npy", Npy("<i8", "(3, 8)", indptr)},
                  {"indices.npy", Npy("<i4", "(" + std::to_string(total) + ",)", indices)}});
}

std::string DeltaTable() {
  std::string table;
  std::string counts;
  for (int row = 0; row < kHeads * kRows; ++row) {
    int last = 0;
    int count = 0;
    for (int j = 0; j < kCols; ++j) {
      if (!Kept(row / kRows, row % kRows, j)) continue;
      table += LittleEndian(static_cast<std::uint64_t>(j - last), 4);
      last = j;
      ++count;
    }
    for (int j = count; j < kCols; ++j) table += LittleEndian(0, 4);
    counts += LittleEndian(static_cast<std::uint64_t>(count), 4);
  }
  return MakeZip({{"lut.npy", Npy("<i4", "(3, 7, 4)", table)},
                  {"valid_block_num.npy", Npy("<i4", "(3, 7)", counts)}},
                 ZipKind::kDeflated);
}

TEST(ArrayFormatsTest, EveryFormatAndLayoutGivesTheSameMask) {
  struct Case {
    std::string file;
    std::string name;
    std::function<std::string()> bytes;
  };
  const std::vector<Case> cases = {{"m.npy", "", Dense},
                                   {"m.npz",
                                    "mask",
                                    [] {
                                      return MakeZip({{"mask.npy", Dense()}});
                                    }},
                                   {"m.pt", "sparse", Torch},
                                   {"m.pth", "", Torch},
                                   {"m.safetensors", "mask", Safetensors},
                                   {"bsr.npz", "", Bsr},
                                   {"lut.npz", "", DeltaTable}};
  const TemporaryFolder folder;
  for (const Case& one : cases) {
    SCOPED_TRACE(one.file);
    const std::string file = (folder / one.file).string();
    const std::string workload = (folder / "w.json").string();
    const std::string out = (folder / "out.npz").string();
    WriteFileAtomically(file, one.bytes());
    std::string rule = "array:file=" + file + ",block=16x32";
    if (!one.name.empty()) rule += ",name=" + one.name;
    const ToolResult made = RunTool("dbsp-workload",
                                    {"make",
                                     "--heads",
                                     "3",
                                     "--tokens",
                                     "100",
                                     "--layers",
                                     "1",
                                     "--steps",
                                     "2",
                                     "--mask",
                                     rule,
                                     "-o",
                                     workload});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const ToolResult exported =
        RunTool("dbsp-workload", {"export", workload, "--step", "1", "--layer", "0", "-o", out});
    ASSERT_EQ(exported.exit_code, 0) << exported.err;
    const Array mask = LoadArray(out, "mask");
    EXPECT_EQ(mask.shape, (std::vector<std::int64_t>{kHeads, kRows, kCols}));
    EXPECT_EQ(std::string(mask.bytes.begin(), mask.bytes.end()), Bytes());
  }
}

TEST(ArrayFormatsTest, AnUnknownGlobalIsRefusedByNameAndNothingIsWritten) {
  const TemporaryFolder folder;
  const std::string file = (folder / "m.pt").string();
  const std::string workload = (folder / "w.json").string();
  WriteFileAtomically(file,
                      MakeTorch(Pickle("cos\nsystem\n" + PickleString("true") + "\x85R"), {}));
  const ToolResult made = RunTool(
      "dbsp-workload",
      {"make", "--heads", "3", "--tokens", "100", "--mask", "array:file=" + file, "-o", workload});
  EXPECT_EQ(made.exit_code, 2);
  EXPECT_THAT(made.err, ::testing::HasSubstr("os.system"));
  EXPECT_EQ(std::count(made.err.begin(), made.err.end(), '\n'), 1) << made.err;
  EXPECT_FALSE(std::filesystem::exists(workload));
}

}  // namespace
}  // namespace dbsp::testing
