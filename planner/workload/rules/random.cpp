// SPDX-License-Identifier: Apache-2.0
// A given density at seeded positions. Every (step, layer, head) has its own mask.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "planner/workload/rules/rules.h"
#include "planner/workload/rules/synthetic.h"

namespace dbsp::planner {
namespace {

// Separates the stream of a head's density from the streams of its blocks.
constexpr std::uint64_t kDensityStream = 0xD5;

class RandomMasks : public RuleMasks {
 public:
  RandomMasks(const AttentionShape& shape, const RuleOptions& options)
      : shape_(shape),
        density_(options.Number("density")),
        spread_(options.Number("spread")),
        pattern_(ParsePattern(options.Text("pattern"))),
        seed_(static_cast<std::uint64_t>(options.Int("seed"))) {}

  LayerMasks Make(int step, int layer) override {
    return SyntheticLayer(shape_.q_blocks(),
                          shape_.k_blocks(),
                          ActiveBlocks(step, layer),
                          pattern_,
                          seed_,
                          step,
                          layer);
  }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return fmt::format("{},{}", step, layer);
  }
  std::vector<std::int64_t> ActiveBlocks(int /*step*/, int layer) override {
    const double blocks = static_cast<double>(shape_.q_blocks()) * shape_.k_blocks();
    std::vector<std::int64_t> counts;
    for (int h = 0; h < shape_.heads; ++h) {
      Prng prng{
          kDensityStream, seed_, static_cast<std::uint64_t>(layer), static_cast<std::uint64_t>(h)};
      const double density = density_ * (1 + spread_ * (2 * prng.Uniform() - 1));
      counts.push_back(std::llround(std::clamp(density, 0.0, 1.0) * blocks));
    }
    return counts;
  }

 private:
  AttentionShape shape_;
  double density_;
  double spread_;
  Pattern pattern_;
  std::uint64_t seed_;
};

class RandomRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "random"; }
  [[nodiscard]] std::string summary() const override {
    return "blocks at random positions with a given density, which may differ between heads";
  }
  [[nodiscard]] bool PositionsAreReal() const override { return false; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"density", OptionKind::kNumber, 0, 1, std::nullopt, {}},
            {"pattern", OptionKind::kText, 0, 0, "random", {"random", "band"}},
            {"seed", OptionKind::kInt, 0, kMaxSeed, "0", {}},
            {"spread", OptionKind::kNumber, 0, 1, "0", {}}};
  }
  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    return std::make_unique<RandomMasks>(context.shape(),
                                         RuleOptions(name(), Specs(context.model), rule.options));
  }
};

}  // namespace

const MaskRuleType& RandomRuleType() {
  static const RandomRule rule;
  return rule;
}

}  // namespace dbsp::planner
