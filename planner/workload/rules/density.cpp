// SPDX-License-Identifier: Apache-2.0
// Measured densities per (step, layer, head). Block positions come from a seed.
#include "core/error.h"
#include "core/file.h"
#include "planner/workload/rules/bytes.h"
#include "planner/workload/rules/density_table.h"
#include "planner/workload/rules/rules.h"
#include "planner/workload/rules/synthetic.h"

namespace dbsp::planner {
namespace {

constexpr double kMaxTotal = 4294967295.0;

class DensityMasks : public RuleMasks {
 public:
  DensityMasks(const RuleContext& context, const RuleOptions& options, const std::string& blob)
      : shape_(context.shape()),
        layers_(context.model.layers),
        pattern_(ParsePattern(options.Text("pattern"))),
        seed_(static_cast<std::uint64_t>(options.Int("seed"))) {
    const std::string rule = "density";
    BlobReader reader(rule, blob);
    const std::uint64_t blocks = static_cast<std::uint64_t>(shape_.q_blocks()) *
                                 static_cast<std::uint64_t>(shape_.k_blocks());
    const std::int64_t cells =
        static_cast<std::int64_t>(context.model.steps) * layers_ * shape_.heads;
    for (std::int64_t i = 0; i < cells; ++i) {
      counts_.push_back(reader.TakeBelow<std::uint32_t>(blocks + 1));
    }
    reader.ExpectEnd();
  }

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
  std::vector<std::int64_t> ActiveBlocks(int step, int layer) override {
    const auto begin =
        counts_.begin() + (static_cast<std::int64_t>(step) * layers_ + layer) * shape_.heads;
    return {begin, begin + shape_.heads};
  }

 private:
  AttentionShape shape_;
  std::int64_t layers_;
  Pattern pattern_;
  std::uint64_t seed_;
  DensityCounts counts_;
};

class DensityRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "density"; }
  [[nodiscard]] bool PositionsAreReal() const override { return false; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"file", OptionKind::kText, 0, 0, std::nullopt, {}},
            {"pass", OptionKind::kInt, 0, 1, "0", {}},
            {"pattern", OptionKind::kText, 0, 0, "band", {"random", "band"}},
            {"seed", OptionKind::kInt, 0, kMaxSeed, "0", {}},
            {"total", OptionKind::kInt, 0, kMaxTotal, "0", {}}};
  }

  void Resolve(const RuleContext& context, MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const std::filesystem::path path = options.Text("file");
    const std::int64_t total = options.Int("total");
    DensityCounts counts;
    const bool lines = path.extension() == ".jsonl";
    if (lines || path.extension() == ".csv") {
      if (total != 0) {
        Fail(ErrorCode::kInvalidArgument,
             "mask rule 'density': a {} holds fractions; no total=",
             path.extension().string());
      }
      const std::string text = ReadFile(path, kMaxTextBytes);
      counts = lines ? DensityFromJsonLines(
                           text, path.string(), options.Int("pass"), context.model, context.shape())
                     : DensityFromCsv(text, path.string(), context.model, context.shape());
    } else {
      counts = DensityFromArray(path, total, context.model, context.shape());
    }
    for (const std::uint32_t count : counts) AppendNumber(rule.blob, count);
    // The workload file holds the counts; the name only tells their origin.
    rule.options["file"] = path.filename().string();
  }

  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    return std::make_unique<DensityMasks>(
        context, RuleOptions(name(), Specs(context.model), rule.options), rule.blob);
  }
};

}  // namespace

const MaskRuleType& DensityRuleType() {
  static const DensityRule rule;
  return rule;
}

}  // namespace dbsp::planner
