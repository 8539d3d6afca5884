// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/radial.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

/// Largest cost of making a mask, which is about 10 s.
constexpr double kMaxCost = 1LL << 33;

/// Every pair of frames is placed block by block. Many frames of few tokens would take hours.
/// errors  Error{kInvalidArgument}
void RequireFewPairs(const ModelShape& model, int block) {
  const double frame_tokens = static_cast<double>(model.grid.height) * model.grid.width;
  const double blocks = std::ceil(frame_tokens / block);
  const double pairs = blocks * model.grid.frames * blocks * model.grid.frames;
  constexpr double kPairCost = 32;  // of a pair, in token columns
  if (pairs * (kPairCost + std::min<double>(block, frame_tokens)) <= kMaxCost) return;
  Fail(ErrorCode::kInvalidArgument,
       "mask rule 'radial': {} frames of {} tokens in blocks of {} are too many pairs of blocks "
       "({:g}); use fewer frames or larger blocks (block=)",
       model.grid.frames,
       frame_tokens,
       block,
       pairs);
}

class RadialRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "radial"; }
  [[nodiscard]] std::string summary() const override {
    return "Radial Attention: a band that narrows with the distance of frames";
  }

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
    RequireFewPairs(context.model, radial.block);
    return SharedMask(context.model.heads, [context, radial] {
      const BlockMask mask = RadialMask(context.model.grid, context.model.text_tokens, radial);
      return RefineMask(mask, radial.block, context.block, context.model.tokens());
    });
  }
};

}  // namespace

const MaskRuleType& RadialRuleType() {
  static const RadialRule rule;
  return rule;
}

}  // namespace dbsp::planner
