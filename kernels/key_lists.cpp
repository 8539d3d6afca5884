// SPDX-License-Identifier: Apache-2.0
#include "kernels/key_lists.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/error.h"

namespace dbsp::kernels {
namespace {

constexpr std::uint64_t kAllBits = ~std::uint64_t{0};

/// Calls visit(first key, length) for every run of set bits.
template <typename Visit>
void ForEachRun(std::span<const std::uint64_t> words, Visit visit) {
  std::int64_t start = 0;
  std::int64_t length = 0;
  for (std::size_t w = 0; w < words.size(); ++w) {
    const std::int64_t base = static_cast<std::int64_t>(w) * 64;
    std::uint64_t left = words[w];
    // Continues a run that reached the end of the previous word.
    if (length > 0) {
      const int more = std::countr_one(left);
      length += more;
      if (more == 64) continue;
      visit(start, length);
      length = 0;
      left &= kAllBits << more;
    }
    while (left != 0) {
      const int low = std::countr_zero(left);
      const int ones = std::countr_one(left >> low);
      if (low + ones == 64) {
        start = base + low;
        length = ones;
        break;
      }
      visit(base + low, std::int64_t{ones});
      left &= kAllBits << (low + ones);
    }
  }
  if (length > 0) visit(start, length);
}

/// Writes the keys of one row; returns the end.
std::int32_t* WriteKeys(std::span<const std::uint64_t> words, std::int32_t* to) {
  for (std::size_t w = 0; w < words.size(); ++w) {
    const auto base = static_cast<std::int32_t>(w * 64);
    std::uint64_t left = words[w];
    if (left == kAllBits) {
      for (std::int32_t j = 0; j < 64; ++j) to[j] = base + j;
      to += 64;
      continue;
    }
    for (; left != 0; left &= left - 1) *to++ = base + std::countr_zero(left);
  }
  return to;
}

/// Counts, variance and overlap of successive rows, over heads of one shape.
class SideCounter {
 public:
  void AddHead(const BlockMask& bits, int k_block) {
    for (int i = 0; i < bits.rows(); ++i) {
      const int keys = bits.RowCount(i);
      ++side_.tiles;
      side_.packed_keys += keys;
      side_.max_keys = std::max(side_.max_keys, keys);
      squares_ += static_cast<double>(keys) * keys;
      if (i > 0) AddNeighbours(bits.row(i - 1), bits.row(i));
    }
    side_.active_blocks += KeyBlocksOf(bits, k_block).Count();
  }
  [[nodiscard]] KeyListFeatures::Side Finish() const {
    KeyListFeatures::Side side = side_;
    if (side.tiles > 0) {
      const double mean = static_cast<double>(side.packed_keys) / static_cast<double>(side.tiles);
      side.variance = std::max(0.0, squares_ / static_cast<double>(side.tiles) - mean * mean);
    }
    if (either_ > 0) side.overlap = static_cast<double>(both_) / static_cast<double>(either_);
    return side;
  }

 private:
  void AddNeighbours(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
    for (std::size_t w = 0; w < a.size(); ++w) {
      both_ += std::popcount(a[w] & b[w]);
      either_ += std::popcount(a[w] | b[w]);
    }
  }

  KeyListFeatures::Side side_;
  double squares_ = 0.0;
  std::int64_t both_ = 0;
  std::int64_t either_ = 0;
};

}  // namespace

void AppendKeyLists(const BlockMask& bits, KeyLists& lists) {
  const std::int64_t total = static_cast<std::int64_t>(lists.list.size()) + bits.Count();
  if (total > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorCode::kInvalidArgument,
         "key lists: {} keys do not fit 32-bit offsets; launch fewer heads per call",
         total);
  }
  const std::size_t old = lists.list.size();
  lists.list.resize(total);
  std::int32_t* to = lists.list.data() + old;
  for (int i = 0; i < bits.rows(); ++i) {
    to = WriteKeys(bits.row(i), to);
    lists.begin.push_back(static_cast<std::int32_t>(to - lists.list.data()));
  }
}

BlockMask PairRows(const BlockMask& bits) {
  BlockMask pairs((bits.rows() + 1) / 2, bits.cols());
  for (int i = 0; i < bits.rows(); ++i) {
    const auto from = bits.row(i);
    const auto to = pairs.mutable_row(i / 2);
    for (std::size_t w = 0; w < from.size(); ++w) to[w] |= from[w];
  }
  return pairs;
}

BlockMask KeyBlocksOf(const BlockMask& bits, int k_block) {
  if (k_block < 1 || (k_block < 64 ? 64 % k_block : k_block % 64) != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "key blocks of {} keys: expected a power of two up to 64 or a multiple of 64",
         k_block);
  }
  BlockMask blocks(bits.rows(), (bits.cols() + k_block - 1) / k_block);
  for (int i = 0; i < bits.rows(); ++i) {
    const auto words = bits.row(i);
    for (std::size_t w = 0; w < words.size(); ++w) {
      if (words[w] == 0) continue;
      const auto base = static_cast<std::int64_t>(w) * 64;
      if (k_block >= 64) {
        blocks.Set(i, static_cast<int>(base / k_block));
        continue;
      }
      const std::uint64_t low = (std::uint64_t{1} << k_block) - 1;
      for (int at = 0; at < 64; at += k_block) {
        if ((words[w] & (low << at)) != 0) blocks.Set(i, static_cast<int>((base + at) / k_block));
      }
    }
  }
  return blocks;
}

void ArrangeRuns(KeyLists& lists) {
  std::vector<std::int32_t> rest;
  for (int r = 0; r < lists.rows(); ++r) {
    std::int32_t* row = lists.list.data() + lists.begin[r];
    const auto keys = static_cast<std::int64_t>(lists.row(r).size());
    rest.clear();
    std::int64_t front = 0;
    for (std::int64_t i = 0; i < keys;) {
      if (i + kRunKeys <= keys && row[i + kRunKeys - 1] - row[i] == kRunKeys - 1) {
        std::copy(row + i, row + i + kRunKeys, row + front);
        front += kRunKeys;
        i += kRunKeys;
      } else {
        rest.push_back(row[i]);
        ++i;
      }
    }
    std::copy(rest.begin(), rest.end(), row + front);
  }
}

KeyListFeatures FeaturesOf(const LayerMasks& fine) {
  KeyListFeatures features;
  features.k_tokens = fine.cols();
  SideCounter at64;
  SideCounter at128;
  for (const BlockMaskPtr& head : fine.head) {
    if (head->rows() != fine.rows() || head->cols() != fine.cols()) {
      Fail(ErrorCode::kInvalidArgument,
           "features of key lists: heads have different shapes, {} x {} and {} x {}",
           head->rows(),
           head->cols(),
           fine.rows(),
           fine.cols());
    }
    const BlockMask pairs = PairRows(*head);
    at64.AddHead(*head, 64);
    at128.AddHead(pairs, 128);
    for (int i = 0; i < pairs.rows(); ++i) {
      ForEachRun(pairs.row(i), [&](std::int64_t, std::int64_t length) {
        const auto bin = std::min<std::size_t>(
            std::bit_width(static_cast<std::uint64_t>(length)) - 1, KeyListFeatures::kRunBins - 1);
        ++features.runs[bin];
        features.run_keys[bin] += length;
        features.keys_in_pieces += length / kRunKeys * kRunKeys;
      });
    }
  }
  features.at64 = at64.Finish();
  features.at128 = at128.Finish();
  return features;
}

}  // namespace dbsp::kernels
