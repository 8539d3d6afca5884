// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/token_layout.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>
#include <numeric>
#include <optional>

#include "core/error.h"

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

BlockMask Moved(const BlockMask& mask,
                const std::vector<int>& rows,
                const std::vector<int>& place) {
  BlockMask moved(mask.rows(), mask.cols());
  for (int i = 0; i < mask.rows(); ++i) {
    const auto from = mask.row(rows[i]);
    const auto to = moved.mutable_row(i);
    for (std::size_t w = 0; w < from.size(); ++w) {
      for (std::uint64_t bits = from[w]; bits != 0; bits &= bits - 1) {
        const std::size_t old = w * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        const auto j = static_cast<std::size_t>(place[old]);
        to[j / 64] |= 1ULL << (j % 64);
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
  const std::vector<int> place =
      Inverse(BlockOrder(layout.block_order, shape.k_blocks(), unit / shape.block.k));
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
    if (copy == nullptr) copy = std::make_shared<const BlockMask>(Moved(*mask, rows, place));
    out.head.push_back(copy);
  }
  return out;
}

}  // namespace dbsp::planner
