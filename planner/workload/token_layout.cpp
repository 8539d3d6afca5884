// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/token_layout.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "planner/workload/bit_transpose.h"

namespace dbsp::planner {
namespace {

int UnitsOf(const AttentionShape& shape) {
  const std::int64_t unit = LayoutUnit(shape);
  return static_cast<int>((shape.tokens + unit - 1) / unit);
}

/// N of "NAME:N"; absent if `text` has another form.
std::optional<int> PartsOf(std::string_view text, std::string_view name) {
  if (!text.starts_with(name) || text.substr(name.size(), 1) != ":") return std::nullopt;
  const std::string_view digits = text.substr(name.size() + 1);
  int parts = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), parts);
  const bool number = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  return number && parts >= 2 ? std::optional(parts) : std::nullopt;
}

/// Units sorted by the part that they are dealt to; in the original order within a part.
std::vector<int> Dealt(int units, int parts, bool back) {
  const auto part_of = [&](int unit) {
    const int place = unit % parts;
    return back && unit / parts % 2 == 1 ? parts - 1 - place : place;
  };
  std::vector<int> order(units);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(
      order.begin(), order.end(), [&](int a, int b) { return part_of(a) < part_of(b); });
  return order;
}

/// Original block at every position: `each` blocks per unit, fewer for the last unit.
std::vector<int> BlockOrder(const std::vector<int>& units, int blocks, int each) {
  std::vector<int> order;
  order.reserve(blocks);
  for (const int unit : units) {
    const int end = std::min(blocks, (unit + 1) * each);
    for (int block = unit * each; block < end; ++block) order.push_back(block);
  }
  return order;
}

constexpr std::size_t kBits = 64;

/// The mask with row rows[i] at row i and column cols[j] at column j. Columns are reordered as rows
/// of the transposed mask, 64 bits at a time.
BlockMask Moved(const BlockMask& mask, const std::vector<int>& rows, const std::vector<int>& cols) {
  BlockMask moved(mask.rows(), mask.cols());
  const auto words = static_cast<std::size_t>(mask.words_per_row());
  std::vector<std::uint64_t> columns(words * kBits);  // of 64 rows
  std::vector<std::uint64_t> block(kBits);
  for (std::size_t begin = 0; begin < rows.size(); begin += kBits) {
    const std::size_t count = std::min(kBits, rows.size() - begin);
    std::ranges::fill(columns, 0);
    for (std::size_t i = 0; i < count; ++i) {
      const auto row = mask.row(rows[begin + i]);
      for (std::size_t w = 0; w < words; ++w) columns[w * kBits + i] = row[w];
    }
    for (std::size_t w = 0; w < words; ++w) TransposeBits(columns.data() + w * kBits);
    for (std::size_t w = 0; w < words; ++w) {
      const std::size_t end = std::min(kBits, cols.size() - w * kBits);
      for (std::size_t j = 0; j < end; ++j) block[j] = columns[cols[w * kBits + j]];
      std::fill(block.begin() + static_cast<std::ptrdiff_t>(end), block.end(), 0);
      TransposeBits(block.data());
      for (std::size_t i = 0; i < count; ++i) {
        moved.mutable_row(static_cast<int>(begin + i))[w] = block[i];
      }
    }
  }
  return moved;
}

std::vector<int> Inverse(const std::vector<int>& order) {
  std::vector<int> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = static_cast<int>(i);
  }
  return place;
}

}  // namespace

std::int64_t LayoutUnit(const AttentionShape& shape) {
  return std::lcm(shape.block.q, shape.block.k);
}

TokenLayout MakeLayout(std::string_view name, const AttentionShape& shape) {
  if (name == "given") return {"given", {}};
  const auto strided = PartsOf(name, "strided");
  const auto zigzag = PartsOf(name, "zigzag");
  if (!strided && !zigzag) {
    Fail(ErrorCode::kInvalidArgument,
         "layout {}: expected given, strided:N or zigzag:N with N at least 2",
         name);
  }
  const bool tail = shape.tokens % LayoutUnit(shape) != 0;
  const int units = UnitsOf(shape);
  TokenLayout layout{std::string(name),
                     Dealt(tail ? units - 1 : units, strided ? *strided : *zigzag, !strided)};
  if (tail) layout.block_order.push_back(units - 1);
  return layout;
}

std::vector<std::string> LayoutNames(int ranks) {
  std::vector<std::string> names{"given"};
  for (int parts = 2; parts <= ranks; ++parts) {
    if (ranks % parts != 0) continue;
    names.push_back(fmt::format("strided:{}", parts));
    names.push_back(fmt::format("zigzag:{}", parts));
  }
  return names;
}

TokenOrder::TokenOrder(const TokenLayout& layout, const AttentionShape& shape)
    : unit_(LayoutUnit(shape)), order_(layout.block_order) {
  if (order_.empty()) return;
  const int units = UnitsOf(shape);
  const bool tail = shape.tokens % unit_ != 0;
  std::vector<int> sorted = order_;
  std::ranges::sort(sorted);
  bool fits = order_.size() == static_cast<std::size_t>(units);
  for (int i = 0; fits && i < units; ++i) fits = sorted[i] == i;
  if (!fits || (tail && order_.back() != units - 1)) {
    Fail(ErrorCode::kMismatch,
         "layout {} orders {} units, expected {} of {} tokens{}",
         layout.name,
         order_.size(),
         units,
         unit_,
         tail ? " with the short last unit in its place" : "");
  }
  place_ = Inverse(order_);
}

std::int64_t TokenOrder::TokenAt(std::int64_t position) const {
  if (order_.empty()) return position;
  return order_[position / unit_] * unit_ + position % unit_;
}

std::int64_t TokenOrder::PositionOf(std::int64_t token) const {
  if (order_.empty()) return token;
  return place_[token / unit_] * unit_ + token % unit_;
}

LayerMasks Permuted(const LayerMasks& masks,
                    const TokenLayout& layout,
                    const AttentionShape& shape) {
  const TokenOrder checked(layout, shape);
  if (layout.block_order.empty()) return masks;
  const auto unit = static_cast<int>(LayoutUnit(shape));
  const std::vector<int> rows =
      BlockOrder(layout.block_order, shape.q_blocks(), unit / shape.block.q);
  const std::vector<int> cols =
      BlockOrder(layout.block_order, shape.k_blocks(), unit / shape.block.k);
  if (masks.rows() != shape.q_blocks() || masks.cols() != shape.k_blocks()) {
    Fail(ErrorCode::kMismatch,
         "layout {}: masks of {} x {} blocks, the shape has {} x {}",
         layout.name,
         masks.rows(),
         masks.cols(),
         shape.q_blocks(),
         shape.k_blocks());
  }
  LayerMasks out;
  std::map<const BlockMask*, BlockMaskPtr> moved;
  for (const BlockMaskPtr& mask : masks.head) {
    BlockMaskPtr& copy = moved[mask.get()];
    if (copy == nullptr) copy = std::make_shared<const BlockMask>(Moved(*mask, rows, cols));
    out.head.push_back(copy);
  }
  return out;
}

}  // namespace dbsp::planner
