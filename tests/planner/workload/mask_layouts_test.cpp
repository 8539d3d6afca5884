// SPDX-License-Identifier: Apache-2.0
// Files that sparse-attention codes write, and files that look like masks and are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/mask_array.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using ::testing::Contains;
using testing::ExpectError;
using ::testing::HasSubstr;
using testing::LittleEndian;
using testing::MakeNpy;
using testing::MakeZip;
using testing::NpyHeader;
using Shape = std::vector<std::int64_t>;
using Parts = std::vector<testing::ZipPart>;

std::string ShapeOf(const Shape& shape) {
  std::string text = "(";
  for (const std::int64_t size : shape) text += std::to_string(size) + ", ";
  return text + ")";
}

testing::ZipPart Ints(const std::string& name,
                      const Shape& shape,
                      const std::vector<std::int64_t>& values,
                      const std::string& descr = "<i4") {
  std::string bytes;
  for (const std::int64_t value : values) {
    bytes += LittleEndian(static_cast<std::uint64_t>(value), descr.back() - '0');
  }
  return {name + ".npy", MakeNpy(NpyHeader(descr, ShapeOf(shape)), bytes)};
}

testing::ZipPart Floats(const std::string& name,
                        const Shape& shape,
                        const std::vector<float>& values) {
  std::vector<std::int64_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::int32_t>(value));
  return Ints(name, shape, bits, "<f4");
}

class MaskLayoutsTest : public ::testing::Test {
 protected:
  MaskArrayFile Open(const Parts& parts,
                     const MaskArrayOptions& options = {},
                     const MaskArraySizes& sizes = {1, 1, 1, 2, 2, 3}) {
    WriteFileAtomically(folder_ / "m.npz", MakeZip(parts));
    return {folder_ / "m.npz", options, sizes};
  }
  /// Masks of head after head, row after row: "101 010 | ...".
  static std::string Bits(const LayerMasks& masks) {
    std::string text;
    for (const BlockMaskPtr& mask : masks.head) {
      if (!text.empty()) text += " | ";
      for (int i = 0; i < mask->rows(); ++i) {
        if (i > 0) text += ' ';
        for (int j = 0; j < mask->cols(); ++j) text += mask->Get(i, j) ? '1' : '0';
      }
    }
    return text;
  }
  std::string Read(const Parts& parts, const MaskArrayOptions& options = {}) {
    const MaskArrayFile file = Open(parts, options);
    file.CheckAll();
    return Bits(file.Read({}));
  }
  void Refuse(ErrorCode code,
              const Parts& parts,
              const std::vector<std::string>& words,
              const MaskArrayOptions& options = {}) {
    ExpectError(code, words, [&] { static_cast<void>(Read(parts, options)); });
  }
  testing::TemporaryFolder folder_;
};

const Shape kHqk{2, 2, 3};
const std::vector<std::int64_t> kBits{1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1};
constexpr const char* kText = "101 010 | 000 111";

// --- values ---

TEST_F(MaskLayoutsTest, OnlyZeroOneAnd255AreAMask) {
  for (const char* descr : {"|b1", "|u1", "|i1", "<i2", "<i4", "<i8"}) {
    EXPECT_EQ(Read({Ints("m", kHqk, kBits, descr)}), kText) << descr;
  }
  std::vector<std::int64_t> full = kBits;
  for (std::int64_t& value : full) value *= 255;
  EXPECT_EQ(Read({Ints("m", kHqk, full, "|u1")}), kText);
  for (const auto& [descr, value] : {std::pair{"<i4", 2},
                                     {"|u1", 254},
                                     {"|i1", -1},
                                     {"<i8", -1},
                                     {"<i2", 256},
                                     {"|b1", 3},
                                     {"<i4", 2147483647}}) {
    std::vector<std::int64_t> wrong = kBits;
    wrong[10] = value;
    Refuse(ErrorCode::kCorruptInput,
           {Ints("m", kHqk, wrong, descr)},
           {"m.npz",
            "'m'",
            "[1, 1, 1]",
            std::string(descr) == "|b1" ? "bool" : std::to_string(value),
            "threshold=X",
            "additive"});
  }
}

TEST_F(MaskLayoutsTest, FloatsAreAMaskOnlyWithThoseValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> exact{1, -0.0F, 1, 0, 1, 0, 0, 0, 0, 255, 1, 1};
  EXPECT_EQ(Read({Floats("m", kHqk, exact)}), kText);
  for (const auto& [value, shown] : {std::pair{0.5F, "0.5"},
                                     {-inf, "-inf"},
                                     {-1e9F, "-1000000000"},
                                     {-10000.0F, "-10000"},
                                     {nan, "NaN"},
                                     {1e-45F, "1.4"}}) {
    std::vector<float> wrong = exact;
    wrong[6] = value;
    Refuse(ErrorCode::kCorruptInput, {Floats("m", kHqk, wrong)}, {"'m'", "[1, 0, 0]", shown});
  }
}

TEST_F(MaskLayoutsTest, OptionsReadOtherValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> scores{0.9F, 0.1F, 0.6F, 0.5F, 0.51F, -2, -inf, 0, 0.2F, 7, inf, 1};
  EXPECT_EQ(Read({Floats("m", kHqk, scores)}, {"", {}, {0.5, false, false}}), kText);
  EXPECT_EQ(Read({Floats("m", kHqk, scores)}, {"", {}, {0.5, false, true}}), "010 101 | 111 000");
  const std::vector<float> bias{0, -inf, -0.0F, -10000, 0, -65504, -inf, -inf, -1e30F, 0, 0, 0};
  EXPECT_EQ(Read({Floats("m", kHqk, bias)}, {"", {}, {{}, true, false}}), kText);
  EXPECT_EQ(Read({Ints("m", kHqk, kBits)}, {"", {}, {{}, false, true}}), "010 101 | 111 000");
  for (const float wrong : {1.0F, -0.5F, -999.0F, inf, std::nanf("")}) {
    std::vector<float> values = bias;
    values[2] = wrong;
    Refuse(ErrorCode::kCorruptInput,
           {Floats("m", kHqk, values)},
           {"[0, 0, 2]"},
           {"", {}, {{}, true, false}});
  }
  std::vector<float> values = scores;
  values[2] = std::nanf("");
  Refuse(ErrorCode::kCorruptInput,
         {Floats("m", kHqk, values)},
         {"NaN"},
         {"", {}, {0.5, false, false}});
}

TEST_F(MaskLayoutsTest, HalfPrecisionMasksAreRead) {
  std::vector<std::int64_t> half = kBits;
  for (std::int64_t& value : half) value *= 0x3c00;
  EXPECT_EQ(Read({Ints("m", kHqk, half, "<f2")}), kText);
  Array bf16 = MakeArray(ArrayType::kBf16, kHqk);
  for (std::size_t i = 0; i < kBits.size(); ++i) {
    bf16.bytes.replace(2 * i, 2, LittleEndian(kBits[i] != 0 ? 0x3f80 : 0x8000, 2));
  }
  WriteSafetensors(folder_ / "m.safetensors", {{"m", bf16}});
  const MaskArrayFile file(folder_ / "m.safetensors", {}, {1, 1, 1, 2, 2, 3});
  EXPECT_EQ(Bits(file.Read({})), kText);
}

// --- FlexAttention's BlockMask ---

const Parts kFlex{Ints("kv_num_blocks", {1, 2, 2}, {2, 1, 0, 3}),
                  Ints("kv_indices", {1, 2, 2, 3}, {2, 0, 1, 1, 0, 2, 0, 1, 2, 2, 0, 1})};

TEST_F(MaskLayoutsTest, FlexIndicesAreReadWithTheirCounts) {
  EXPECT_EQ(Read(kFlex), kText);
  EXPECT_EQ(Open(kFlex).axes().letters, "BHQK");
  for (const char* name : {"kv_indices", "kv_num_blocks"}) {
    EXPECT_EQ(Read(kFlex, {name, {}, {}}), kText);
  }
  Parts named;
  for (const testing::ZipPart& part : kFlex) named.push_back({"layer_3_" + part.name, part.bytes});
  EXPECT_EQ(Read(named), kText);
  EXPECT_EQ(Read(named, {"layer_3", {}, {}}), kText);
  // Entries behind the count are never read.
  EXPECT_EQ(Read({Ints("kv_num_blocks", {2, 2}, {2, 1, 0, 3}),
                  Ints("kv_indices", {2, 2, 3}, {2, 0, -1, 1, 999, -7, -1, -1, -1, 2, 0, 1})}),
            kText);
  // Shorter lists than columns, and one head for all.
  EXPECT_EQ(
      Read({Ints("kv_num_blocks", {1, 1, 2}, {1, 1}), Ints("kv_indices", {1, 1, 2, 1}, {2, 0})}),
      "001 100 | 001 100");
}

TEST_F(MaskLayoutsTest, FullBlocksOfFlexAreActiveToo) {
  Parts parts = kFlex;
  parts.push_back(Ints("full_kv_num_blocks", {1, 2, 2}, {0, 1, 1, 0}));
  parts.push_back(Ints("full_kv_indices", {1, 2, 2, 3}, {0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(Read(parts), "101 011 | 010 111");
  EXPECT_THAT(Open(parts).Describe(), Contains(HasSubstr("'full_kv_indices' are active too")));
  parts.pop_back();
  Refuse(ErrorCode::kInvalidArgument, parts, {"full_kv_num_blocks", "together"});
  Refuse(ErrorCode::kInvalidArgument,
         {Ints("full_kv_num_blocks", {1, 2, 2}, {0, 1, 1, 0}),
          Ints("full_kv_indices", {1, 2, 2, 1}, {0, 0, 0, 2})},
         {"lacks 'kv_num_blocks'"});
}

TEST_F(MaskLayoutsTest, FlexListsOfRowsAreTransposed) {
  const Parts by_columns{Ints("q_num_blocks", {1, 2, 3}, {1, 1, 1, 1, 1, 1}),
                         Ints("q_indices", {1, 2, 3, 2}, {0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0})};
  EXPECT_EQ(Read(by_columns), kText);
  Parts both = kFlex;
  both.insert(both.end(), by_columns.begin(), by_columns.end());
  EXPECT_EQ(Read(both), kText);
  EXPECT_EQ(
      Read({Ints("q2k_block_sparse_num", {1, 2, 2}, {2, 1, 0, 3}),
            Ints("q2k_block_sparse_index", {1, 2, 2, 3}, {2, 0, 1, 1, 0, 2, 0, 1, 2, 2, 0, 1})}),
      kText);
}

TEST_F(MaskLayoutsTest, FlexListsThatLieAreRefused) {
  const auto refuse = [&](std::vector<std::int64_t> counts,
                          std::vector<std::int64_t> columns,
                          const std::string& word) {
    Refuse(ErrorCode::kCorruptInput,
           {Ints("kv_num_blocks", {2}, std::move(counts)),
            Ints("kv_indices", {2, 4}, std::move(columns))},
           {"m.npz", "kv_", word});
  };
  refuse({4, 0}, {0, 1, 2, 0, 0, 0, 0, 0}, "4 blocks");
  refuse({-1, 0}, {0, 1, 2, 0, 0, 0, 0, 0}, "-1 blocks");
  refuse({0, 2147483647}, {0, 1, 2, 0, 0, 0, 0, 0}, "2147483647 blocks");
  refuse({1, 1}, {0, 0, 0, 0, 3, 0, 0, 0}, "block 3");
  refuse({1, 1}, {-1, 0, 0, 0, 0, 0, 0, 0}, "block -1");
  refuse({2, 0}, {1, 1, 0, 0, 0, 0, 0, 0}, "block 1 twice");
  Refuse(ErrorCode::kCorruptInput,
         {Floats("kv_num_blocks", {2}, {1, 1}), Ints("kv_indices", {2, 1}, {0, 1})},
         {"m.npz", "'kv_num_blocks'", "f4", "integers"});
  Refuse(ErrorCode::kMismatch,
         {Ints("kv_num_blocks", {2}, {0, 0}), Ints("kv_indices", {3, 1}, {0, 0, 0})},
         {"kv_indices", "[3, 1]", "[2]"});
  Refuse(ErrorCode::kMismatch,
         {Ints("kv_num_blocks", {3}, {0, 0, 0}), Ints("kv_indices", {3, 1}, {0, 0, 0})},
         {"2 x 3 blocks"});
}

// --- names ---

TEST_F(MaskLayoutsTest, AnErrorNamesOnlyMasks) {
  const testing::ZipPart mask = Ints("a", kHqk, kBits);
  Parts parts = kFlex;
  parts.push_back(mask);
  Refuse(ErrorCode::kInvalidArgument, parts, {"2 masks", "kv_indices, a"});
  EXPECT_EQ(Read(parts, {"a", {}, {}}), kText);
  EXPECT_EQ(Read(parts, {"kv_indices", {}, {}}), kText);
  // One half alone is refused by name, and is not offered.
  for (const char* half : {"kv_indices", "x_indices", "lut", "indptr", "x.q_indices"}) {
    Refuse(ErrorCode::kInvalidArgument, {Ints(half, kHqk, kBits)}, {half, "lacks"});
    Refuse(ErrorCode::kInvalidArgument, {mask, Ints(half, kHqk, kBits)}, {half}, {half, {}, {}});
    EXPECT_EQ(Read({mask, Ints(half, kHqk, kBits)}), kText);
  }
  // Arrays of less than two dimensions are no masks.
  EXPECT_EQ(Read({mask, Ints("block_size", {2}, {64, 64}), Ints("step", {}, {3})}), kText);
  Refuse(ErrorCode::kNotFound, {mask}, {"'b'", "nearest known: 'a'"}, {"b", {}, {}});
  EXPECT_EQ(Read({{"meta.npy", MakeNpy(NpyHeader("|O", "()"), "x")}, mask}), kText);
}

TEST_F(MaskLayoutsTest, NumberedArraysFormAxes) {
  std::vector<std::int64_t> other(kBits.size(), 1);
  const Parts layers{Ints("layers.0", kHqk, kBits), Ints("layers.1", kHqk, other)};
  const MaskArraySizes sizes{1, 2, 1, 2, 2, 3};
  for (const char* name : {"", "layers.*", "layers"}) {
    const MaskArrayFile file = Open(layers, {name, {}, {}}, sizes);
    EXPECT_EQ(file.axes().letters, "LHQK");
    EXPECT_EQ(Bits(file.Read({0, 0, 0, 0})), kText);
    EXPECT_EQ(Bits(file.Read({0, 1, 0, 0})), "111 111 | 111 111");
  }
  EXPECT_EQ(Open(layers, {"layers.1", {}, {}}, sizes).axes().letters, "HQK");
  // Keys (step, layer) of a dict, in any order and with two digits.
  Parts grid;
  for (int layer = 11; layer >= 0; --layer) {
    for (int step = 0; step < 2; ++step) {
      grid.push_back(Ints(std::to_string(step) + "." + std::to_string(layer),
                          kHqk,
                          step == 1 && layer == 10 ? kBits : other));
    }
  }
  const MaskArrayFile file = Open(grid, {}, {2, 12, 1, 2, 2, 3});
  EXPECT_EQ(file.axes().letters, "TLHQK");
  EXPECT_EQ(Bits(file.Read({1, 10, 0, 0})), kText);
  EXPECT_EQ(Bits(file.Read({0, 10, 0, 0})), "111 111 | 111 111");
  grid.pop_back();  // no complete grid: nothing is chosen
  ExpectError(ErrorCode::kInvalidArgument, {"23 masks", "'*.*'", "complete grid"}, [&] {
    static_cast<void>(Open(grid, {}, {2, 12, 1, 2, 2, 3}));
  });
}

// --- BSR and LUT ---

const testing::ZipPart kPointers = Ints("indptr", {2, 3}, {0, 2, 3, 3, 3, 6});
const testing::ZipPart kRestarted = Ints("indptr", {2, 3}, {0, 2, 3, 0, 0, 3});

TEST_F(MaskLayoutsTest, PaddingBehindTheLastIndexIsSkippedAndSaid) {
  EXPECT_EQ(Read({kPointers, Ints("indices", {6}, {2, 0, 1, 2, 1, 0})}), kText);
  const Parts padded{kPointers, Ints("indices", {9}, {2, 0, 1, 2, 1, 0, -1, 0, 77})};
  EXPECT_EQ(Read(padded), kText);
  EXPECT_THAT(Open(padded).Describe(), Contains(HasSubstr("3 entries of 'indices' are padding")));
  // Rows of their own for every mask.
  const Parts rows{kRestarted, Ints("indices", {2, 4}, {2, 0, 1, -1, 2, 1, 0, -1})};
  EXPECT_EQ(Read(rows), kText);
  EXPECT_THAT(Open(rows).Describe(), Contains(HasSubstr("2 entries")));
  // One list whose masks start again: the padding may be behind each mask.
  Refuse(ErrorCode::kCorruptInput,
         {kRestarted, Ints("indices", {8}, {2, 0, 1, -1, 2, 1, 0, -1})},
         {"indptr", "starts again at 0"});
  Refuse(ErrorCode::kCorruptInput,
         {kPointers, Ints("indices", {2, 4}, {2, 0, 1, -1, 2, 1, 0, -1})},
         {"mask 1 has entries 3 to 6"});
  Refuse(ErrorCode::kCorruptInput,
         {kRestarted, Ints("indices", {2, 2}, {2, 0, 1, -1})},
         {"mask 0 has entries 0 to 3"});
  Refuse(ErrorCode::kMismatch,
         {kRestarted, Ints("indices", {3, 2}, {2, 0, 1, -1, 0, 0})},
         {"'indices'", "[3, 2]"});
}

TEST_F(MaskLayoutsTest, SparseMatricesOfScipyAreReadByRowsOnly) {
  const auto format = [](const std::string& name) {
    return testing::ZipPart{"format.npy", MakeNpy(NpyHeader("|S3", "()"), name)};
  };
  const testing::ZipPart pointers = Ints("indptr", {3}, {0, 2, 3});
  const testing::ZipPart columns = Ints("indices", {3}, {2, 0, 1});
  const testing::ZipPart shape = Ints("shape", {2}, {2, 3});
  EXPECT_EQ(Read({columns, pointers, format("csr"), shape, Ints("data", {3}, {1, 1, 1}, "|b1")}),
            "101 010 | 101 010");
  Refuse(ErrorCode::kInvalidArgument,
         {columns, pointers, format("csc"), shape, Ints("data", {3}, {1, 1, 1}, "|b1")},
         {"'csc'", "tocsr()"});
  Refuse(ErrorCode::kCorruptInput,
         {columns, pointers, format("csr"), shape, Ints("data", {3}, {1, 0, 1}, "|b1")},
         {"'data'", "element 1", "eliminate_zeros()"});
  Refuse(ErrorCode::kCorruptInput,
         {columns, pointers, format("csr"), shape, Floats("data", {3}, {1, 0.5F, 1})},
         {"'data'", "0.5"});
}

TEST_F(MaskLayoutsTest, OptionsOfValuesAreForDenseMasks) {
  Refuse(ErrorCode::kInvalidArgument, kFlex, {"dense"}, {"", {}, {{}, true, false}});
  Refuse(ErrorCode::kInvalidArgument, kFlex, {"dense"}, {"", {}, {0.5, false, false}});
}

TEST_F(MaskLayoutsTest, ViewsThatRepeatElementsHaveALimit) {
  const auto open = [&](std::int64_t times) {
    WriteFileAtomically(
        folder_ / "v.pt",
        testing::MakeTorch(testing::Pickle(testing::Pickled(
                               {"BoolStorage", "0", 6, 0, {times, 2, 2, 3}, {0, 0, 3, 1}})),
                           {{"0", std::string("\1\0\1\0\1\0", 6)}}));
    return MaskArrayFile(folder_ / "v.pt", {"", {"THQK", {}, {}}, {}}, {4, 1, 1, 2, 2, 3});
  };
  const MaskArrayFile file = open(4);
  file.CheckAll();
  EXPECT_EQ(Bits(file.Read({3, 0, 0, 0})), "101 010 | 101 010");
  for (const std::int64_t times : {std::int64_t{1} << 24, std::int64_t{1} << 58}) {
    ExpectError(ErrorCode::kInvalidArgument, {"v.pt", "more than 16777216 masks"}, [&] {
      static_cast<void>(open(times));
    });
  }
}

TEST_F(MaskLayoutsTest, ADescriptionSaysArraysValuesAxesAndSteps) {
  const std::vector<std::int64_t> values(4 * 12, 1);
  const MaskArrayFile file =
      Open({Ints("m", {4, 1, 2, 2, 3}, values, "|u1")}, {}, {50, 6, 2, 2, 2, 3});
  EXPECT_EQ(file.Describe(),
            (std::vector<std::string>{"array 'm' u1 [4, 1, 2, 2, 3]: dense",
                                      "values 1",
                                      "axes TLHQK: T = 4, L = 1, H = 2, Q = 2, K = 3",
                                      "4 entries over 50 steps: step s uses entry floor(4 s / 50)",
                                      "one mask for all layers",
                                      "one mask for all passes"}));
  const MaskArrayFile more = Open(
      {Ints("m", {4, 2, 2, 3}, values, "|u1")}, {"", {"THQK", {}, {}}, {}}, {3, 1, 1, 2, 2, 3});
  EXPECT_THAT(more.Describe(), Contains(HasSubstr("1 entries are not used")));
}

}  // namespace
}  // namespace dbsp
