// SPDX-License-Identifier: Apache-2.0
// Every block is active.
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

class DenseRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "dense"; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {};
  }
  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& /*rule*/) const override {
    const AttentionShape shape = context.shape();
    return SharedMask(shape.heads,
                      [shape] { return BlockMask::Full(shape.q_blocks(), shape.k_blocks()); });
  }
};

}  // namespace

const MaskRuleType& DenseRuleType() {
  static const DenseRule rule;
  return rule;
}

}  // namespace dbsp::planner
