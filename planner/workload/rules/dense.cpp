// SPDX-License-Identifier: Apache-2.0
// Every block is active.
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

class DenseMasks : public RuleMasks {
 public:
  explicit DenseMasks(const AttentionShape& shape)
      : count_(static_cast<std::int64_t>(shape.q_blocks()) * shape.k_blocks()),
        heads_(shape.heads),
        mask_(SharedMask(shape.heads,
                         [shape] { return BlockMask::Full(shape.q_blocks(), shape.k_blocks()); })) {
  }
  LayerMasks Make(int step, int layer) override { return mask_->Make(step, layer); }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return mask_->Key(step, layer);
  }
  std::vector<std::int64_t> ActiveBlocks(int /*step*/, int /*layer*/) override {
    return std::vector<std::int64_t>(heads_, count_);
  }

 private:
  std::int64_t count_;
  int heads_;
  std::unique_ptr<RuleMasks> mask_;
};

class DenseRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "dense"; }
  [[nodiscard]] std::string summary() const override { return "every block is active"; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {};
  }
  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& /*rule*/) const override {
    return std::make_unique<DenseMasks>(context.shape());
  }
};

}  // namespace

const MaskRuleType& DenseRuleType() {
  static const DenseRule rule;
  return rule;
}

}  // namespace dbsp::planner
