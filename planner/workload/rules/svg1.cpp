// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/svg1.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

// The reference rounds the half-width to its kernel's block, whatever block the mask is said in.
constexpr double kRound = 128;

bool IsWan(const ModelShape& model) { return ModelFamily(model).starts_with("wan"); }
bool IsHunyuan(const ModelShape& model) { return ModelFamily(model) == "hunyuanvideo"; }

class Svg1Rule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "svg1"; }
  [[nodiscard]] std::string summary() const override {
    return "Sparse-VideoGen: spatial and temporal bands, one kind per head";
  }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& model) const override {
    std::optional<std::string> kept;
    if (IsWan(model)) kept = "0.3";
    if (IsHunyuan(model)) kept = "0.25";
    return {{"form",
             OptionKind::kText,
             0,
             0,
             IsWan(model) ? "first_frame" : "text",
             {"first_frame", "text"}},
            {"kept", OptionKind::kNumber, 1e-6, 1, kept, {}}};
  }

  [[nodiscard]] WarmUp DefaultWarmUp(
      const ModelShape& model, const std::map<std::string, std::string>& /*given*/) const override {
    if (IsWan(model)) return {model.steps / 5, 1};
    if (IsHunyuan(model)) return {model.steps / 10, 1};
    return {};
  }

  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const ModelShape& model = context.model;
    const double kept = options.Number("kept");
    const Svg1Form form = options.Text("form") == "text" ? Svg1Form::kText : Svg1Form::kFirstFrame;
    static_cast<void>(Svg1Reach(model.grid, model.text_tokens, kept, form));
    return SharedMask(model.heads, [context, kept, form] {
      return Svg1Mask(context.model.grid, context.model.text_tokens, kept, form, context.block);
    });
  }
};

}  // namespace

std::int64_t Svg1Reach(const Grid& grid, std::int64_t text_tokens, double kept, Svg1Form form) {
  // Every operation is in the reference's order and in its types, because the result is rounded to
  // 128 tokens: another order gives another multiple where the quotient is an integer.
  const std::int64_t tokens = grid.tokens() + text_tokens;
  const auto pairs = static_cast<double>(tokens * tokens);
  const auto text_pairs = static_cast<double>(2 * tokens * text_tokens);
  const double left = (kept * pairs - text_pairs) / pairs;
  if (left <= 0) {
    Fail(
        ErrorCode::kInvalidArgument,
        "mask rule 'svg1': option kept: expected more than {}, which {} text tokens take, found {}",
        text_pairs / pairs,
        text_tokens,
        kept);
  }
  const auto frame_tokens = static_cast<double>(std::int64_t{grid.height} * grid.width);
  const double width = static_cast<double>(tokens) * (1 - std::sqrt(1 - left));
  const double frames = width / frame_tokens;
  const double blocks = frames * frame_tokens / kRound;
  return form == Svg1Form::kFirstFrame ? static_cast<std::int64_t>(kRound * std::ceil(blocks))
                                       : static_cast<std::int64_t>(kRound * std::floor(blocks)) - 1;
}

BlockMask Svg1Mask(
    const Grid& grid, std::int64_t text_tokens, double kept, Svg1Form form, BlockSize block) {
  const std::int64_t reach = Svg1Reach(grid, text_tokens, kept, form);
  const std::int64_t video = grid.tokens();
  const AttentionShape shape{1, 1, video + text_tokens, block};
  const std::int64_t frame_tokens = static_cast<std::int64_t>(grid.height) * grid.width;
  BlockMask mask(shape.q_blocks(), shape.k_blocks());
  for (int i = 0; i < mask.rows(); ++i) {
    const std::int64_t row_begin = static_cast<std::int64_t>(i) * block.q;
    const std::int64_t row_end = row_begin + shape.q_tokens(i);
    const bool all = form == Svg1Form::kText && row_end > video;
    // A block is in the band when its nearest pair is; keys run from row_begin - reach to
    // row_end - 1 + reach. A reach of -1 keeps no pair at all.
    const std::int64_t first = std::max<std::int64_t>(0, row_begin - reach);
    const std::int64_t last = std::min(shape.tokens - 1, row_end - 1 + reach);
    if (reach >= 0) {
      mask.SetRange(i, static_cast<int>(first / block.k), static_cast<int>(last / block.k) + 1);
    }
    if (form == Svg1Form::kFirstFrame) {
      mask.SetRange(i, 0, static_cast<int>((frame_tokens + block.k - 1) / block.k));
    } else if (text_tokens > 0) {
      mask.SetRange(i, all ? 0 : static_cast<int>(video / block.k), mask.cols());
    }
  }
  return mask;
}

const MaskRuleType& Svg1RuleType() {
  static const Svg1Rule rule;
  return rule;
}

}  // namespace dbsp::planner
