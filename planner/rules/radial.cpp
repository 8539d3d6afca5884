// SPDX-License-Identifier: Apache-2.0
#include "planner/rules/radial.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "core/error.h"
#include "planner/rules/rules.h"

namespace dbsp::planner {
namespace {

// The reference drops far frame pairs by this length whatever the block size is.
constexpr double kDropLength = 128;

int BitLength(std::int64_t value) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value)));
}

/// Half-width of the band between frames i and j, in tokens; std::nullopt = the pair is dropped.
std::optional<std::int64_t> HalfWidth(int i,
                                      int j,
                                      std::int64_t frame_tokens,
                                      const RadialOptions& options) {
  if (options.sink && j == 0) return frame_tokens;
  const int distance = std::abs(i - j);
  const double length = std::ldexp(1.0, BitLength(frame_tokens) - BitLength(distance));
  if (length < kDropLength && distance % static_cast<int>(kDropLength / length) != 0) {
    return std::nullopt;
  }
  if (distance <= 1) return frame_tokens;
  const double width = std::max<double>(options.block, options.decay * length);
  return static_cast<std::int64_t>(std::min(width, static_cast<double>(frame_tokens)));
}

/// Tokens [begin, end) of a frame, counted from its first one.
struct Span {
  std::int64_t begin;
  std::int64_t end;
  [[nodiscard]] bool empty() const { return begin >= end; }
};

/// Whether the band |column - row| <= width fills the block well enough: of the columns that hold
/// anything, more than 3/5 hold more than block / 3 rows.
bool BlockKept(Span rows, Span cols, std::int64_t width, int block) {
  if (rows.empty() || cols.empty()) return false;
  const std::int64_t nearest = std::max(rows.begin - (cols.end - 1), cols.begin - (rows.end - 1));
  if (nearest > width) return false;
  const std::int64_t farthest = std::max(rows.end - 1 - cols.begin, cols.end - 1 - rows.begin);
  if (farthest <= width) return 3 * (rows.end - rows.begin) > block;
  std::int64_t filled = 0;
  std::int64_t high = 0;
  for (std::int64_t c = cols.begin; c < cols.end; ++c) {
    const std::int64_t count = std::min(rows.end, c + width + 1) - std::max(rows.begin, c - width);
    filled += count > 0 ? 1 : 0;
    high += 3 * count > block ? 1 : 0;
  }
  return 5 * high > 3 * filled;
}

/// Adds the kept blocks of frame pair (i, j).
void AddPair(
    int i, int j, std::int64_t frame_tokens, std::int64_t width, int block, BlockMask& mask) {
  const std::int64_t row_start = i * frame_tokens;
  const std::int64_t col_start = j * frame_tokens;
  const auto blocks = static_cast<int>((frame_tokens + block - 1) / block);
  const auto span = [&](std::int64_t start, int b) {
    const std::int64_t begin = static_cast<std::int64_t>(b) * block - start % block;
    return Span{std::max<std::int64_t>(begin, 0), std::min(begin + block, frame_tokens)};
  };
  for (int bi = 0; bi < blocks; ++bi) {
    for (int bj = 0; bj < blocks; ++bj) {
      if (!BlockKept(span(row_start, bi), span(col_start, bj), width, block)) continue;
      mask.Set(static_cast<int>(row_start / block) + bi, static_cast<int>(col_start / block) + bj);
    }
  }
}

class RadialRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "radial"; }

  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& model) const override {
    const std::string family = ModelFamily(model);
    const bool wan = family == "wan2.1" || family == "wan2.2";
    const char* decay = family == "wan2.1"         ? "0.2"
                        : family == "wan2.2"       ? "0.8"
                        : family == "hunyuanvideo" ? "0.95"
                                                   : "1";
    return {{"block", OptionKind::kInt, 1, 65536, family == "wan2.2" ? "64" : "128", {}},
            {"decay", OptionKind::kNumber, 0, 1e6, decay, {}},
            {"sink", OptionKind::kInt, 0, 1, wan ? "1" : "0", {}}};
  }

  [[nodiscard]] WarmUp DefaultWarmUp(
      const ModelShape& model, const std::map<std::string, std::string>& /*given*/) const override {
    const std::string family = ModelFamily(model);
    if (family == "wan2.1") return {12, 1};
    if (family == "wan2.2") return {11, 1};
    if (family == "hunyuanvideo") return {12, 0};
    return {};
  }

  [[nodiscard]] BlockSize DefaultBlock(
      const ModelShape& model, const std::map<std::string, std::string>& given) const override {
    const auto block = static_cast<int>(RuleOptions(name(), Specs(model), given).Int("block"));
    return {block, block};
  }

  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    RadialOptions radial;
    radial.decay = options.Number("decay");
    radial.block = static_cast<int>(options.Int("block"));
    radial.sink = options.Int("sink") == 1;
    RequireBlockDivides(name(), radial.block, context.block);
    return SharedMask(context.model.heads, [context, radial] {
      const BlockMask mask = RadialMask(context.model.grid, context.model.text_tokens, radial);
      return RefineMask(mask, radial.block, context.block, context.model.tokens());
    });
  }
};

}  // namespace

BlockMask RadialMask(const Grid& grid, std::int64_t text_tokens, const RadialOptions& options) {
  const std::int64_t frame_tokens = static_cast<std::int64_t>(grid.height) * grid.width;
  const std::int64_t video = grid.tokens();
  const int block = options.block;
  const auto blocks = static_cast<int>((video + text_tokens + block - 1) / block);
  const auto video_blocks = static_cast<int>(video / block);
  BlockMask mask(blocks, blocks);
  for (int i = 0; i < grid.frames; ++i) {
    for (int j = 0; j < grid.frames; ++j) {
      const auto width = HalfWidth(i, j, frame_tokens, options);
      if (width) AddPair(i, j, frame_tokens, *width, block, mask);
    }
  }
  for (int i = 0; i < blocks; ++i) mask.SetRange(i, i < video_blocks ? video_blocks : 0, blocks);
  return mask;
}

const MaskRuleType& RadialRuleType() {
  static const RadialRule rule;
  return rule;
}

}  // namespace dbsp::planner
