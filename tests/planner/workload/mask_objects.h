// SPDX-License-Identifier: Apache-2.0
// Random masks, and the arrays of numbers by which libraries hold them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/mask_array.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {

using Shape = std::vector<std::int64_t>;
using Parts = std::vector<ZipPart>;
using Numbers = std::vector<std::int64_t>;

inline constexpr int kHeads = 3;
inline constexpr int kRows = 5;
inline constexpr int kCols = 70;
inline constexpr std::int64_t kTokens = 277;  // 5 x 64 and 70 x 4, both short at the end
inline const MaskArraySizes kSizes{2, 4, 1, kHeads, kRows, kCols, kTokens, {64, 4}};

using Bits = std::vector<std::uint8_t>;  ///< [heads, rows, cols]

inline bool At(const Bits& bits, int head, int row, int col) {
  return bits[static_cast<std::size_t>((head * kRows + row) * kCols + col)] != 0;
}

inline Bits Draw(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bits bits(kHeads * kRows * kCols);
  for (auto& bit : bits) bit = random() % 3 == 0 ? 1 : 0;
  std::fill_n(bits.begin(), kCols, std::uint8_t{0});  // an empty row
  std::fill_n(bits.begin() + kCols, kCols, std::uint8_t{1});  // a whole one
  return bits;
}

inline ZipPart Ints(const std::string& name,
                    const Shape& shape,
                    const Numbers& values,
                    const std::string& descr = "<i4") {
  std::string text = "(";
  for (const std::int64_t size : shape) text += std::to_string(size) + ", ";
  std::string bytes;
  for (const std::int64_t value : values) {
    bytes += LittleEndian(static_cast<std::uint64_t>(value), descr.back() - '0');
  }
  return {name + ".npy", MakeNpy(NpyHeader(descr, text + ")"), bytes)};
}

/// Columns of each row, in the order of the heads and rows; shuffled with a seed.
inline std::vector<Numbers> Lists(const Bits& bits, std::uint64_t seed = 0) {
  std::mt19937_64 random(seed);
  std::vector<Numbers> lists;
  for (int row = 0; row < kHeads * kRows; ++row) {
    Numbers list;
    for (int j = 0; j < kCols; ++j) {
      if (At(bits, 0, row, j)) list.push_back(j);
    }
    if (seed > 0) std::ranges::shuffle(list, random);
    lists.push_back(list);
  }
  return lists;
}

inline Numbers Counts(const std::vector<Numbers>& lists) {
  Numbers counts;
  for (const Numbers& list : lists) counts.push_back(static_cast<std::int64_t>(list.size()));
  return counts;
}

/// Lists of equal length, with entries behind the count that a reader must not use.
inline Numbers Padded(const std::vector<Numbers>& lists, std::int64_t unused = 99) {
  Numbers table;
  for (Numbers list : lists) {
    list.resize(kCols, unused);
    table.insert(table.end(), list.begin(), list.end());
  }
  return table;
}

class MaskObjects : public ::testing::Test {
 protected:
  MaskArrayFile Open(const Parts& parts,
                     const MaskArrayOptions& options = {},
                     const MaskArraySizes& sizes = kSizes) {
    WriteFileAtomically(folder_ / "m.npz", MakeZip(parts));
    return {folder_ / "m.npz", options, sizes};
  }
  /// The bits of all heads.
  Bits Read(const Parts& parts, const MaskArrayOptions& options = {}) {
    const MaskArrayFile file = Open(parts, options);
    file.CheckAll();
    const LayerMasks masks = file.Read({});
    Bits bits;
    for (const BlockMaskPtr& mask : masks.head) {
      for (int i = 0; i < mask->rows(); ++i) {
        for (int j = 0; j < mask->cols(); ++j) bits.push_back(mask->Get(i, j) ? 1 : 0);
      }
    }
    return bits;
  }
  void Refuse(ErrorCode code,
              const Parts& parts,
              const std::vector<std::string>& words,
              const MaskArrayOptions& options = {}) {
    ExpectError(code, words, [&] { static_cast<void>(Read(parts, options)); });
  }
  TemporaryFolder folder_;
};

}  // namespace dbsp::testing
