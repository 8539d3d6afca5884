// SPDX-License-Identifier: Apache-2.0
// Layouts in tokens, which are counted in blocks, and layouts of bits.
#include <algorithm>

#include "planner/workload/mask_reader.h"

namespace dbsp {
namespace {

/// Block that holds a token, and the block behind the last token of a range.
std::int64_t First(std::int64_t token, int side) { return token / side; }
std::int64_t Behind(std::int64_t end, int side) { return (end + side - 1) / side; }

/// The bits of a byte in the other order.
unsigned Reversed(unsigned byte) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 8; ++bit) reversed |= (byte >> bit & 1U) << (7 - bit);
  return reversed;
}

/// Types of a MagiAttention range. Of query i and key j, counted from the begins of their ranges,
/// causal keeps j <= i + keys - queries, inverse keeps j >= i, both keep both.
/// source  MagiAttention, attn_type_map of its flexible flash attention
enum RangeType : std::int64_t { kFullRange = 0, kCausal = 1, kInverse = 2, kBoth = 3 };

}  // namespace

void MaskReader::CheckRanges() const {
  for (std::size_t at = 0; at < 2; ++at) {
    const auto& shape = files[at].shape();
    if (shape.size() != 2 || shape[1] != 2) WrongShape(at, "[n, 2], begins and ends in tokens");
  }
  const std::int64_t count = files[0].shape()[0];
  if (files[1].shape()[0] != count) {
    WrongShape(1, fmt::format("[{}, 2] as '{}'", count, files[0].name()));
  }
  if (files.size() > 2 && files[2].shape() != std::vector<std::int64_t>{count}) {
    WrongShape(2, fmt::format("[{}], one type per range", count));
  }
}

void MaskReader::ReadRanges(BlockMask& mask) const {
  const Array queries = files[0].Slice();
  const Array keys = files[1].Slice();
  const Array types = files.size() > 2 ? files[2].Slice() : Array{};
  const auto range = [&](const ArrayFile& file, const Array& array, std::int64_t n) {
    const std::pair found{array.Int(2 * n), array.Int(2 * n + 1)};
    if (found.first >= 0 && found.first <= found.second && found.second <= sizes.tokens) {
      return found;
    }
    Corrupt(file.name(),
            "range {} is [{}, {}), expected a begin and an end from 0 to {} tokens",
            n,
            found.first,
            found.second,
            sizes.tokens);
  };
  for (std::int64_t n = 0; n < files[0].shape()[0]; ++n) {
    const auto [q_begin, q_end] = range(files[0], queries, n);
    const auto [k_begin, k_end] = range(files[1], keys, n);
    const std::int64_t type = files.size() > 2 ? types.Int(n) : kFullRange;
    if (type < kFullRange || type > kBoth) {
      Corrupt(files[2].name(), "type {} of range {}, expected 0 to 3", type, n);
    }
    const std::int64_t extra = (k_end - k_begin) - (q_end - q_begin);
    if (q_begin == q_end || (type == kBoth && extra < 0)) continue;
    for (std::int64_t i = First(q_begin, sizes.block.q); i < Behind(q_end, sizes.block.q); ++i) {
      // Queries of the block, counted from the begin of the range, and the keys of all of them.
      const std::int64_t first = std::max(i * sizes.block.q, q_begin) - q_begin;
      const std::int64_t last = std::min((i + 1) * sizes.block.q, q_end) - 1 - q_begin;
      const std::int64_t begin = type == kInverse || type == kBoth ? k_begin + first : k_begin;
      const std::int64_t end =
          type == kCausal || type == kBoth ? std::min(k_end, k_begin + last + extra + 1) : k_end;
      if (begin >= end) continue;
      mask.SetRange(static_cast<int>(i),
                    static_cast<int>(First(begin, sizes.block.k)),
                    static_cast<int>(Behind(end, sizes.block.k)));
    }
  }
}

void MaskReader::CheckVariable() const {
  const auto& shape = files[0].shape();
  for (std::size_t at = 1; at < 3; ++at) {
    std::vector<std::int64_t> expected(shape.begin(), shape.end() - 2);
    expected.push_back(shape[shape.size() - 3 + at]);
    if (files[at].shape() != expected) WrongShape(at, ShapeText(expected));
  }
}

/// Ends of the blocks in tokens, whose sum must be that of the sequence.
std::vector<std::int64_t> MaskReader::EndsOf(const ArrayFile& file,
                                             std::span<const std::int64_t> index) const {
  const Array array = file.Slice(index);
  std::vector<std::int64_t> ends;
  std::int64_t end = 0;
  for (std::int64_t i = 0; i < array.size(); ++i) {
    const std::int64_t size = array.Int(i);
    if (size < 0 || size > sizes.tokens - end) {
      Corrupt(file.name(),
              "block {} has {} tokens behind {}, expected {} in all; check --grid and --tokens",
              i,
              size,
              end,
              sizes.tokens);
    }
    end += size;
    ends.push_back(end);
  }
  if (end != sizes.tokens) {
    Corrupt(file.name(),
            "the blocks of mask {} have {} tokens, expected {}; check --grid and --tokens",
            ShapeText(index),
            end,
            sizes.tokens);
  }
  return ends;
}

void MaskReader::ReadVariable(std::span<const std::int64_t> index, BlockMask& mask) const {
  const Array map = files[0].Slice(index);
  const std::vector<std::int64_t> rows = EndsOf(files[1], index);
  const std::vector<std::int64_t> cols = EndsOf(files[2], index);
  std::vector<std::uint8_t> active(cols.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto at = static_cast<std::int64_t>(r * cols.size());
    if (const std::int64_t bad = values.Read(map, at, active); bad >= 0) {
      Corrupt(files[0].name(),
              "element [{}, {}] is {}",
              r,
              bad,
              NoMaskElement(map, at + bad, values.rule()));
    }
    const std::int64_t top = r == 0 ? 0 : rows[r - 1];
    if (top == rows[r]) continue;
    for (std::size_t c = 0; c < cols.size(); ++c) {
      const std::int64_t left = c == 0 ? 0 : cols[c - 1];
      if (active[c] == 0 || left == cols[c]) continue;
      for (auto i = First(top, sizes.block.q); i < Behind(rows[r], sizes.block.q); ++i) {
        mask.SetRange(static_cast<int>(i),
                      static_cast<int>(First(left, sizes.block.k)),
                      static_cast<int>(Behind(cols[c], sizes.block.k)));
      }
    }
  }
}

/// One row of tokens at a time: a mask of pairs of tokens may be larger than memory.
void MaskReader::ReadTokens(std::span<const std::int64_t> index, BlockMask& mask) const {
  const std::size_t grid = arrays.grid.size();
  const ArrayFile& file = files[FirstFile(index)];
  std::vector<std::int64_t> place(index.begin() + static_cast<std::ptrdiff_t>(grid), index.end());
  const std::int64_t tall = file.shape()[file.shape().size() - 2];
  std::vector<std::uint8_t> active(static_cast<std::size_t>(file.shape().back()));
  place.push_back(0);
  for (std::int64_t q = 0; q < tall; ++q) {
    place.back() = q;
    const Array row = file.Slice(place);
    if (const std::int64_t bad = values.Read(row, 0, active); bad >= 0) {
      place.push_back(bad);
      Corrupt(file.name(),
              "element {} is {}",
              ShapeText(place),
              NoMaskElement(row, bad, values.rule()));
    }
    const auto words = mask.mutable_row(static_cast<int>(q / sizes.block.q));
    for (std::size_t k = 0; k < active.size(); ++k) {
      const std::size_t j = k / static_cast<std::size_t>(sizes.block.k);
      words[j / 64] |= static_cast<std::uint64_t>(active[k]) << (j % 64);
    }
  }
}

void MaskReader::CheckPacked() const {
  const std::vector<std::int64_t>& shape = files[0].shape();
  const std::int64_t wide = (sizes.cols + 7) / 8;
  const bool fits = shape.size() == 3 && shape[1] == sizes.rows && shape[2] == wide;
  if (!fits) {
    WrongShape(0,
               fmt::format("[n, {}, {}], bits of masks of {} x {} blocks; check --block and "
                           "--tokens",
                           sizes.rows,
                           wide,
                           sizes.rows,
                           sizes.cols));
  }
}

void MaskReader::ReadPacked(std::span<const std::int64_t> index, BlockMask& mask) const {
  const std::size_t grid = arrays.grid.size();
  const bool indexed = files.size() == 2 && grid == 0;
  const ArrayFile& file = files[FirstFile(index)];
  std::vector<std::int64_t> place(index.begin() + static_cast<std::ptrdiff_t>(grid), index.end());
  if (indexed) {
    const std::int64_t number = files[1].Slice(index).Int(0);
    if (number < 0 || number >= files[0].shape()[0]) {
      Corrupt(files[1].name(),
              "element {} is {}, expected 0 to {}, the number of a mask of '{}'",
              ShapeText(index),
              number,
              files[0].shape()[0] - 1,
              files[0].name());
    }
    place = {number};
  }
  const ArrayFile& bits = indexed ? files[0] : file;
  if (bits.type() != ArrayType::kU1) {
    Corrupt(bits.name(), "type {}, expected u1, eight blocks per byte", NameOf(bits.type()));
  }
  const Array bytes = bits.Slice(place);
  const auto wide = static_cast<std::size_t>(bytes.shape.back());
  const int used = mask.cols() % 8;  // bits of the last byte; 0 = all
  for (int i = 0; i < mask.rows(); ++i) {
    const auto words = mask.mutable_row(i);
    for (std::size_t b = 0; b < wide; ++b) {
      const auto byte =
          static_cast<unsigned char>(bytes.bytes[static_cast<std::size_t>(i) * wide + b]);
      const unsigned ordered = packed == BitOrder::kBig ? Reversed(byte) : byte;
      words[b / 8] |= std::uint64_t{ordered} << (8 * (b % 8));
      if (b + 1 < wide || used == 0 || ordered >> used == 0) continue;
      place.push_back(i);
      Corrupt(bits.name(),
              "row {} has a bit behind its {} blocks; check packed=little or packed=big",
              ShapeText(place),
              mask.cols());
    }
  }
}

}  // namespace dbsp
