// SPDX-License-Identifier: Apache-2.0
// Lists of columns as libraries hold them, built by the rule of each library from random masks: the
// reader's bits are those masks, and lists that lie are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <numeric>
#include <tuple>

#include "tests/planner/workload/mask_objects.h"

namespace dbsp::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class MaskListsTest : public MaskObjects {};

MaskArrayOptions Table(TableCode table) {
  MaskArrayOptions options;
  options.table = table;
  return options;
}
// --- tables of steps and of columns ---

TEST_F(MaskListsTest, ATableThatMayBeStepsOrColumnsIsRefused) {
  const MaskArraySizes small{1, 1, 1, 1, 1, 8};
  const auto lut = [](const Numbers& row, std::int64_t count) {
    Numbers padded = row;
    padded.resize(8, 0);
    return Parts{Ints("lut", {1, 8}, padded), Ints("valid_block_num", {1}, {count})};
  };
  const auto read = [&](const Numbers& row, TableCode table) {
    const MaskArrayFile file =
        Open(lut(row, static_cast<std::int64_t>(row.size())), Table(table), small);
    std::string text;
    const BlockMaskPtr mask = file.Read({}).head[0];
    for (int j = 0; j < 8; ++j) text += mask->Get(0, j) ? '1' : '0';
    return text;
  };
  for (const Numbers& row : {Numbers{0, 2, 5}, {0, 1, 2}, {3, 4}, {3, 1}, {1, 2}}) {
    ExpectError(ErrorCode::kInvalidArgument,
                {"m.npz", "'lut'", "row [0]", "lut=ordinal or lut=delta"},
                [&] { read(row, TableCode::kByName); });
  }
  EXPECT_EQ(read({0, 2, 5}, TableCode::kOrdinal), "10100100");
  EXPECT_EQ(read({0, 2, 5}, TableCode::kDelta), "10100001");
  // Only one reading, or the same mask by both.
  EXPECT_EQ(read({0, 1, 1, 3}, TableCode::kByName), "11100100");
  EXPECT_EQ(read({0, 1}, TableCode::kByName), "11000000");
  EXPECT_EQ(read({5}, TableCode::kByName), "00000100");
  EXPECT_EQ(read({}, TableCode::kByName), "00000000");
  EXPECT_EQ(read({2, 5, 7}, TableCode::kByName), "00100101");  // as steps: 2, 7, 14
  EXPECT_THAT(Open(lut({2, 5, 7}, 3), {}, small).Describe(),
              Contains(HasSubstr("counts and columns")));
  EXPECT_EQ(Open(lut({0, 1, 1}, 3), {}, small).table(), TableCode::kDelta);
  // Neither reading: the error is that of steps.
  for (const Numbers& row : {Numbers{1, 0}, {7, 6, 0}, {0, 0}, {0, 8}, {-1, 2}}) {
    ExpectError(
        ErrorCode::kCorruptInput, {"'lut'", "row 0"}, [&] { read(row, TableCode::kByName); });
  }
  ExpectError(ErrorCode::kCorruptInput, {"block 5 twice"}, [&] {
    read({0, 5, 5}, TableCode::kOrdinal);
  });
  EXPECT_EQ(read({7, 6, 0}, TableCode::kOrdinal), "10000011");  // in any order
}

TEST_F(MaskListsTest, OneRowDecidesForTheWholeTable) {
  const MaskArraySizes sizes{1, 1, 1, 2, 2, 8};
  const Parts parts{Ints("lut", {2, 2, 3}, {0, 2, 5, 1, 2, 3, 0, 4, 1, 0, 1, 1}),
                    Ints("counts", {2, 2}, {3, 3, 3, 3})};
  EXPECT_EQ(Open(parts, {}, sizes).table(), TableCode::kDelta);  // [0, 1, 1] has no other reading
}

TEST_F(MaskListsTest, TablesOfEitherCodeGiveTheMask) {
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    const Bits bits = Draw(seed);
    const std::vector<Numbers> lists = Lists(bits);
    std::vector<Numbers> steps = lists;
    for (Numbers& list : steps) std::adjacent_difference(list.begin(), list.end(), list.begin());
    for (const Shape& leading : {Shape{kHeads}, Shape{1, kHeads}, Shape{1, 1, kHeads}}) {
      Shape counted = leading;
      counted.push_back(kRows);
      Shape wide = counted;
      wide.push_back(kCols);
      for (const char* counts : {"valid_block_num", "counts"}) {
        const ZipPart number = Ints(counts, counted, Counts(lists));
        EXPECT_EQ(Read({Ints("lut", wide, Padded(steps, -7)), number}), bits);
        EXPECT_EQ(Read({Ints("lut", wide, Padded(steps)), number}, Table(TableCode::kDelta)), bits);
        EXPECT_EQ(Read({Ints("lut", wide, Padded(Lists(bits, seed))), number},
                       Table(TableCode::kOrdinal)),
                  bits);
      }
      // Steps under a name of columns, as saved by a caller of AITER's kernel.
      EXPECT_EQ(
          Read({Ints("q2k_idx", wide, Padded(steps)), Ints("q2k_num", counted, Counts(lists))},
               Table(TableCode::kDelta)),
          bits);
    }
  }
}

TEST_F(MaskListsTest, TheOptionIsForTables) {
  const Parts dense{Ints("m", {kHeads, kRows, kCols}, Numbers(kHeads * kRows * kCols, 1))};
  Refuse(ErrorCode::kInvalidArgument, dense, {"option lut", "dense"}, Table(TableCode::kDelta));
}

// --- counts and columns by other names ---

TEST_F(MaskListsTest, FastVideoListsAndTilesAreRead) {
  const Bits bits = Draw(5);
  const std::vector<Numbers> lists = Lists(bits, 5);
  Numbers tiles(kCols, 4);
  tiles.back() = 1;
  Parts parts{Ints("q2k_idx", {1, kHeads, kRows, kCols}, Padded(lists)),
              Ints("q2k_num", {1, kHeads, kRows}, Counts(lists))};
  EXPECT_EQ(Read(parts), bits);
  parts.push_back(Ints("variable_block_sizes", {kCols}, tiles));
  EXPECT_EQ(Read(parts), bits);
  EXPECT_THAT(Open(parts).Describe(), Contains(HasSubstr("3 of 280 tokens are padding")));
  const auto refuse = [&](Numbers sizes, const std::string& word) {
    parts.back() = Ints("variable_block_sizes", {static_cast<std::int64_t>(sizes.size())}, sizes);
    Refuse(ErrorCode::kCorruptInput, parts, {"variable_block_sizes", word});
  };
  refuse(Numbers(kCols, 5), "element 0 is 5, expected 0 to 4");
  refuse(Numbers(kCols, -1), "element 0 is -1");
  refuse(Numbers(kCols - 1, 4), "[69], expected [70]");
  Refuse(ErrorCode::kInvalidArgument, {parts[0]}, {"q2k_idx", "lacks 'q2k_num'"});
}

TEST_F(MaskListsTest, FullAndPartialBlocksAreReadUnderBothNames) {
  const Bits bits = Draw(6);
  Bits partial = bits;
  Bits full = bits;
  for (std::size_t i = 0; i < bits.size(); ++i) (i % 3 == 0 ? partial : full)[i] = 0;
  const std::vector<Numbers> p = Lists(partial, 6);
  const std::vector<Numbers> f = Lists(full, 7);
  const Shape counted{1, kHeads, kRows};
  const Shape wide{1, kHeads, kRows, kCols};
  struct Names {
    const char* counts;
    const char* columns;
    const char* full_counts;
    const char* full_columns;
  };
  for (const Names& names :
       {Names{"kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices"},
        Names{"mask_block_cnt", "mask_block_idx", "full_block_cnt", "full_block_idx"},
        Names{"2", "3", "4", "5"},  // as_tuple() behind two lengths
        Names{"arr_0", "arr_1", "arr_2", "arr_3"},  // numpy.savez
        Names{"mask.0", "mask.1", "mask.2", "mask.3"}}) {
    SCOPED_TRACE(names.counts);
    const Parts parts{Ints(names.counts, counted, Counts(p)),
                      Ints(names.columns, wide, Padded(p)),
                      Ints(names.full_counts, counted, Counts(f)),
                      Ints(names.full_columns, wide, Padded(f))};
    EXPECT_EQ(Read(parts), bits);
    EXPECT_EQ(Read({parts[0], parts[1]}), partial);
    // A block in both lists would be computed twice.
    Refuse(ErrorCode::kCorruptInput,
           {parts[0],
            parts[1],
            Ints(names.full_counts, counted, Counts(p)),
            Ints(names.full_columns, wide, Padded(p))},
           {names.full_columns, "twice", names.columns});
    if (std::isdigit(static_cast<unsigned char>(names.counts[0])) != 0 || names.counts[0] == 'a') {
      EXPECT_THAT(Open(parts).Describe(), Contains(HasSubstr("FlexAttention BlockMask")));
    } else if (names.counts[0] == 'm' && names.counts[4] == '_') {
      Refuse(ErrorCode::kInvalidArgument, {parts[2], parts[3]}, {"lacks 'mask_block_cnt'"});
      Refuse(ErrorCode::kInvalidArgument, {parts[0], parts[1], parts[2]}, {"together"});
    }
  }
}

TEST_F(MaskListsTest, ListsOfEachLayerFormAnAxis) {
  for (const auto& [prefix, counts, columns] : {std::tuple{"layers.", ".q2k_num", ".q2k_idx"},
                                                {"layers.", ".valid_block_num", ".lut"},
                                                {"", ".2", ".3"},
                                                {"a_", "_kv_num_blocks", "_kv_indices"}}) {
    SCOPED_TRACE(columns);
    Parts parts;
    for (int layer = 3; layer >= 0; --layer) {
      std::vector<Numbers> lists = Lists(Draw(static_cast<std::uint64_t>(layer) + 20));
      const Numbers numbers = Counts(lists);
      if (columns == std::string(".lut")) {
        for (Numbers& list : lists) {
          std::adjacent_difference(list.begin(), list.end(), list.begin());
        }
      }
      const std::string name = prefix + std::to_string(layer);
      parts.push_back(Ints(name + counts, {1, kHeads, kRows}, numbers));
      parts.push_back(Ints(name + columns, {1, kHeads, kRows, kCols}, Padded(lists)));
    }
    const MaskArrayFile file = Open(parts);
    EXPECT_EQ(file.axes().Size('L'), 4);
    file.CheckAll();
    for (int layer = 0; layer < 4; ++layer) {
      const Bits expected = Draw(static_cast<std::uint64_t>(layer) + 20);
      const LayerMasks masks = file.Read({0, layer, 0, 0});
      for (int h = 0; h < kHeads; ++h) {
        for (int at = 0; at < kRows * kCols; ++at) {
          ASSERT_EQ(masks.head[static_cast<std::size_t>(h)]->Get(at / kCols, at % kCols),
                    At(expected, h, at / kCols, at % kCols));
        }
      }
    }
    EXPECT_EQ(Read(parts, {prefix + std::string("2"), {}, {}}), Draw(22));  // one of them
    parts.pop_back();
    parts.pop_back();  // layer 0 is missing: nothing is chosen
    Refuse(ErrorCode::kInvalidArgument, parts, {"3 masks", "complete grid"});
  }
}

TEST_F(MaskListsTest, ATupleMayBeATableAndItsCounts) {
  const Bits bits = Draw(13);
  const std::vector<Numbers> lists = Lists(bits);
  const Parts parts{Ints("0", {1, kHeads, kRows, kCols}, Padded(lists)),
                    Ints("1", {1, kHeads, kRows}, Counts(lists)),
                    Ints("2", {kCols}, Numbers(kCols, 4))};
  EXPECT_EQ(Read(parts), bits);  // as steps the whole row leaves the mask
  EXPECT_THAT(Open(parts).Describe(), Contains(HasSubstr("a table and its counts")));
  EXPECT_EQ(Read(parts, Table(TableCode::kOrdinal)), bits);
  Refuse(ErrorCode::kCorruptInput, parts, {"'0'"}, Table(TableCode::kDelta));
}

TEST_F(MaskListsTest, ATupleOfMasksIsNoBlockMask) {
  const Numbers ones(kRows * kCols, 1);
  const Parts layers{Ints("0", {kRows, kCols}, ones), Ints("1", {kRows, kCols}, ones)};
  EXPECT_EQ(Open(layers, {"0", {}, {}}).layout(), MaskLayout::kDense);
  // Counts of bytes are no counts: a list of a flag per row and a mask.
  const Parts flags{Ints("0", {kRows}, Numbers(kRows, 1), "|u1"),
                    Ints("1", {kRows, kCols}, ones, "|u1")};
  EXPECT_EQ(Open(flags).layout(), MaskLayout::kDense);
}

// --- ragged lists ---

TEST_F(MaskListsTest, RaggedListsAreRead) {
  const Bits bits = Draw(8);
  const std::vector<Numbers> lists = Lists(bits, 8);
  Numbers columns;
  Numbers starts;
  for (const Numbers& list : lists) {
    starts.push_back(static_cast<std::int64_t>(columns.size()));
    columns.insert(columns.end(), list.begin(), list.end());
  }
  columns.resize(kHeads * kRows * kCols, -1);  // over-allocated
  const auto all = static_cast<std::int64_t>(columns.size());
  for (const Shape& shape :
       {Shape{kHeads * kRows}, Shape{kHeads, kRows}, Shape{1, kHeads, kRows}}) {
    const Parts parts{Ints("lut_start", shape, starts),
                      Ints("lut_count", shape, Counts(lists)),
                      Ints("kv_block_indices", {all}, columns)};
    EXPECT_EQ(Read(parts), bits);
    Refuse(ErrorCode::kInvalidArgument, {parts[0], parts[1]}, {"kv_block_indices"});
    Refuse(ErrorCode::kInvalidArgument, {parts[0], parts[2]}, {"lut_count"});
    const auto refuse = [&](std::size_t part, std::size_t at, std::int64_t value) {
      Numbers wrong = part == 0 ? starts : part == 1 ? Counts(lists) : columns;
      wrong[at] = value;
      Parts changed = parts;
      changed[part] = Ints(parts[part].name.substr(0, parts[part].name.size() - 4),
                           part == 2 ? Shape{all} : shape,
                           wrong);
      Refuse(ErrorCode::kCorruptInput, changed, {"m.npz", part == 2 ? "kv_block_indices" : "lut_"});
    };
    refuse(0, 3, -1);
    refuse(0, 3, starts[3] - 1);  // lists that overlap
    refuse(0, 14, all);
    refuse(1, 3, 71);
    refuse(1, 3, -1);
    refuse(2, 0, 70);
    refuse(2, 0, -1);
    refuse(2, 1, columns[0]);
  }
  Refuse(ErrorCode::kMismatch,
         {Ints("lut_start", {15}, starts),
          Ints("lut_count", {5, 3}, Counts(lists)),
          Ints("kv_block_indices", {all}, columns)},
         {"'lut_count'", "[15]"});
}

}  // namespace
}  // namespace dbsp::testing
