// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_array.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using testing::ExpectError;
using testing::LittleEndian;
using testing::MakeNpy;
using testing::MakeZip;
using testing::NpyHeader;

constexpr int kHeads = 3;
constexpr int kRows = 5;
constexpr int kCols = 70;  // a tail after one whole word, and not square

using Bits = std::vector<std::uint8_t>;  ///< [matrices, rows, cols]

Bits DrawBits(std::uint64_t seed, int matrices) {
  std::mt19937_64 random(seed);
  Bits bits(static_cast<std::size_t>(matrices) * kRows * kCols);
  for (auto& bit : bits) bit = random() % 4 == 0 ? 1 : 0;
  std::fill_n(bits.begin(), kCols, std::uint8_t{0});  // an empty row
  return bits;
}

void ExpectMask(const BlockMask& mask, const Bits& bits, int matrix) {
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kCols; ++j) {
      const int at = (matrix * kRows + i) * kCols + j;
      ASSERT_EQ(mask.Get(i, j), bits[at] != 0) << i << ", " << j;
    }
  }
}

std::string Shape(const std::vector<int>& leading, const std::vector<int>& own) {
  std::string text = "(";
  for (const int size : leading) text += std::to_string(size) + ", ";
  for (const int size : own) text += std::to_string(size) + ", ";
  return text + ")";
}

/// Elements of `bits` in a type of the dense layouts: 0 or -0, and 1 or 255.
std::string Encode(const Bits& bits, const std::string& descr) {
  const int width = descr.back() - '0';
  const std::map<std::string, std::uint64_t> ones = {{"<f2", 0x3c00},
                                                     {"<f4", 0x3f800000},
                                                     {"<f8", 0x3ff0000000000000},
                                                     {"|u1", 255},
                                                     {"<i2", 255}};
  const auto one = ones.find(descr);
  std::string bytes;
  for (const auto bit : bits) {
    const std::uint64_t zero = descr[1] == 'f' ? 1ULL << (8 * width - 1) : 0;
    bytes += LittleEndian(bit == 0 ? zero : one == ones.end() ? 1 : one->second, width);
  }
  return bytes;
}

constexpr MaskArraySizes kSizes{2, 4, 1, kHeads, kRows, kCols};

struct Layout {
  std::vector<int> leading;
  std::string letters;
};

std::vector<Layout> Layouts() {
  return {{{2, 4, kHeads}, "TLHQK"}, {{4, kHeads}, "LHQK"}, {{kHeads}, "HQK"}, {{}, "QK"}};
}

int Matrices(const Layout& layout) {
  int count = 1;
  for (const int size : layout.leading) count *= size;
  return count;
}

void ExpectAll(const std::filesystem::path& path,
               const std::string& name,
               const Layout& layout,
               const Bits& bits) {
  const MaskArrayFile file(path, {name, {}, {}}, kSizes);
  ASSERT_EQ(file.axes().letters, layout.letters);
  file.CheckAll();
  int matrix = 0;
  for (int t = 0; t < file.axes().Size('T'); ++t) {
    for (int l = 0; l < file.axes().Size('L'); ++l) {
      const LayerMasks masks = file.Read({t, l, 0, 0});
      ASSERT_EQ(masks.heads(), kHeads);
      for (int h = 0; h < kHeads; ++h) {
        ExpectMask(*masks.head[h], bits, layout.leading.empty() ? 0 : matrix++);
      }
    }
  }
}

class MaskArrayTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, const std::string& bytes) {
    WriteFileAtomically(folder_ / name, bytes);
    return folder_ / name;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(MaskArrayTest, DenseLayoutsOfEveryTypeAreRead) {
  for (const Layout& layout : Layouts()) {
    const Bits bits = DrawBits(1, Matrices(layout));
    for (const char* descr : {"|b1", "|u1", "|i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"}) {
      SCOPED_TRACE(descr);
      const std::string npy =
          MakeNpy(NpyHeader(descr, Shape(layout.leading, {kRows, kCols})), Encode(bits, descr));
      ExpectAll(Write("m.npy", npy), "", layout, bits);
      ExpectAll(
          Write("m.npz", MakeZip({{"mask.npy", npy}, {"other.npy", npy}})), "mask", layout, bits);
    }
  }
}

TEST_F(MaskArrayTest, BsrIsReadWithContinuedAndRestartedIndptr) {
  for (const bool restart : {false, true}) {
    for (const Layout& layout : Layouts()) {
      const Bits bits = DrawBits(2, Matrices(layout));
      std::string indptr;
      std::string indices;
      std::uint64_t total = 0;
      std::uint64_t nnz = 0;
      for (int m = 0; m < Matrices(layout); ++m) {
        if (restart) total = 0;
        indptr += LittleEndian(total, 4);
        for (int i = 0; i < kRows; ++i) {
          for (int j = 0; j < kCols; ++j) {
            if (bits[(m * kRows + i) * kCols + j] == 0) continue;
            indices += LittleEndian(static_cast<std::uint64_t>(j), 8);
            ++total;
            ++nnz;
          }
          indptr += LittleEndian(total, 4);
        }
      }
      const std::string p = MakeNpy(NpyHeader("<i4", Shape(layout.leading, {kRows + 1})), indptr);
      const std::string n = MakeNpy(NpyHeader("<i8", "(" + std::to_string(nnz) + ",)"), indices);
      ExpectAll(Write("b.npz", MakeZip({{"indptr.npy", p}, {"indices.npy", n}})), "", layout, bits);
      ExpectAll(
          Write("b.npz", MakeZip({{"x_indptr.npy", p}, {"x_indices.npy", n}})), "x", layout, bits);
    }
  }
}

TEST_F(MaskArrayTest, DeltaCodedTablesAreRead) {
  for (const Layout& layout : Layouts()) {
    const Bits bits = DrawBits(3, Matrices(layout));
    std::string table;
    std::string counts;
    for (std::size_t row = 0; row < bits.size() / kCols; ++row) {
      int last = 0;
      int count = 0;
      for (int j = 0; j < kCols; ++j) {
        if (bits[row * kCols + static_cast<std::size_t>(j)] == 0) continue;
        table += LittleEndian(static_cast<std::uint64_t>(j - last), 4);
        last = j;
        ++count;
      }
      for (int j = count; j < kCols; ++j) table += LittleEndian(~0U, 4);  // never read
      counts += LittleEndian(static_cast<std::uint64_t>(count), 4);
    }
    const std::string t = MakeNpy(NpyHeader("<i4", Shape(layout.leading, {kRows, kCols})), table);
    const std::string c = MakeNpy(NpyHeader("<i4", Shape(layout.leading, {kRows})), counts);
    for (const char* name : {"valid_block_num.npy", "counts.npy"}) {
      ExpectAll(Write("l.npz", MakeZip({{"lut.npy", t}, {name, c}})), "", layout, bits);
    }
  }
}

TEST_F(MaskArrayTest, EqualMasksAreOneObject) {
  Bits bits = DrawBits(4, kHeads);
  std::copy_n(bits.begin(), kRows * kCols, bits.begin() + 2 * kRows * kCols);
  const auto path = Write(
      "m.npy", MakeNpy(NpyHeader("|b1", Shape({kHeads}, {kRows, kCols})), Encode(bits, "|b1")));
  const LayerMasks masks = MaskArrayFile(path, {}, kSizes).Read({});
  EXPECT_EQ(masks.head[0], masks.head[2]);
  EXPECT_NE(masks.head[0], masks.head[1]);
}

TEST_F(MaskArrayTest, SizesThatDoNotFitAreNamedInTheError) {
  const auto path =
      Write("m.npy", MakeNpy(NpyHeader("|b1", "(3, 5, 70)"), Encode(DrawBits(5, kHeads), "|b1")));
  for (const auto& [heads, rows, cols] : {std::tuple{4, 5, 70}, {3, 6, 70}, {3, 5, 64}}) {
    ExpectError(ErrorCode::kMismatch, {"m.npy", "[3, 5, 70]", std::to_string(rows)}, [&] {
      static_cast<void>(MaskArrayFile(path, {}, {1, 1, 1, heads, rows, cols}));
    });
  }
  ExpectError(ErrorCode::kMismatch, {"transpose them"}, [&] {
    static_cast<void>(MaskArrayFile(path, {}, {1, 1, 1, 3, 70, 5}));
  });
  ExpectError(ErrorCode::kMismatch, {"1 dimensions"}, [&] {
    const auto flat = Write("f.npy", MakeNpy(NpyHeader("|b1", "(2,)"), "\1\1"));
    static_cast<void>(MaskArrayFile(flat, {}, kSizes));
  });
  const auto layers =
      Write("l.npy", MakeNpy(NpyHeader("|b1", "(4, 3, 5, 70)"), Encode(DrawBits(5, 12), "|b1")));
  ExpectError(ErrorCode::kInvalidArgument, {"index 4", "axis L"}, [&] {
    static_cast<void>(MaskArrayFile(layers, {}, kSizes).Read({0, 4, 0, 0}));
  });
}

TEST_F(MaskArrayTest, ValuesThatFormNoMaskAreRefused) {
  const auto npy = [](const char* descr, const std::string& shape, std::vector<int> values) {
    std::string bytes;
    for (const int value : values) bytes += LittleEndian(static_cast<std::uint32_t>(value), 4);
    return MakeNpy(NpyHeader(descr, shape), bytes);
  };
  const auto read = [&](const std::string& bytes) {
    static_cast<void>(MaskArrayFile(Write("x.npz", bytes), {}, {1, 1, 1, 1, 2, 2}).Read({}));
  };
  const auto bsr = [&](std::vector<int> indptr, std::vector<int> indices) {
    const std::string n = "(" + std::to_string(indices.size()) + ",)";
    return MakeZip({{"indptr.npy", npy("<i4", "(3,)", std::move(indptr))},
                    {"indices.npy", npy("<i4", n, std::move(indices))}});
  };
  read(bsr({0, 1, 3}, {1, 0, 1}));  // this one is legal
  const std::pair<std::vector<int>, std::vector<int>> bad[] = {{{0, 1, 3}, {2, 0, 1}},
                                                               {{0, 1, 3}, {-1, 0, 1}},
                                                               {{0, 1, 3}, {1, 1, 1}},
                                                               {{0, 1, 3}, {1, 0}},
                                                               {{0, 0, 2147483647}, {1, 0}},
                                                               {{0, 3, 3}, {1, 0, 1}},
                                                               {{0, 2, 1}, {1}},
                                                               {{1, 1, 3}, {1, 0, 1}},
                                                               {{0, -1, 3}, {1, 0, 1}}};
  for (const auto& [indptr, indices] : bad) {
    ExpectError(ErrorCode::kCorruptInput, {"x.npz", "indptr"}, [&] { read(bsr(indptr, indices)); });
  }
  const auto lut = [&](std::vector<int> table, std::vector<int> counts) {
    return MakeZip({{"lut.npy", npy("<i4", "(2, 2)", std::move(table))},
                    {"counts.npy", npy("<i4", "(2,)", std::move(counts))}});
  };
  read(lut({0, 1, 1, 9}, {2, 1}));
  for (const auto& counts : {std::vector{3, 0}, {-1, 0}, {0, 2}}) {
    ExpectError(ErrorCode::kCorruptInput, {"x.npz", "row"}, [&] {
      read(lut({0, 1, 1, 1}, counts));
    });
  }
  ExpectError(ErrorCode::kCorruptInput, {"lut"}, [&] { read(lut({1, 0, 0, 0}, {2, 0})); });
  ExpectError(ErrorCode::kCorruptInput, {"not a number"}, [&] {
    read(MakeZip({{"m.npy", npy("<f4", "(2, 2)", {0, 0x7fc00000, 0, 0})}}));
  });
}

TEST(TimeOfStepTest, IsTheEntryThatTheCallbackOfThePreviousStepSet) {
  // PAROAttention: the callback runs at the end of step s and sets entry int((s + 1) / steps * T).
  for (const auto& [steps, times] :
       {std::pair{50, 4}, {50, 10}, {50, 30}, {50, 50}, {4, 4}, {7, 3}}) {
    EXPECT_EQ(TimeOfStep(0, steps, times), 0);
    for (int s = 0; s + 1 < steps; ++s) {
      EXPECT_EQ(TimeOfStep(s + 1, steps, times), (s + 1) * times / steps) << s << " of " << steps;
    }
  }
  EXPECT_EQ(TimeOfStep(12, 50, 4), 0);
  EXPECT_EQ(TimeOfStep(13, 50, 4), 1);
  EXPECT_EQ(TimeOfStep(49, 50, 4), 3);
  EXPECT_EQ(TimeOfStep(49, 50, 1), 0);
}

TEST(TimeOfStepTest, MoreEntriesThanStepsAreSkippedAndNothingOverflows) {
  EXPECT_EQ(TimeOfStep(0, 4, 50), 0);
  EXPECT_EQ(TimeOfStep(1, 4, 50), 12);
  EXPECT_EQ(TimeOfStep(3, 4, 50), 37);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(TimeOfStep(0, 1 << 20, kMost), 0);
  EXPECT_LT(TimeOfStep((1 << 20) - 1, 1 << 20, kMost), kMost);
}

}  // namespace
}  // namespace dbsp
