// SPDX-License-Identifier: Apache-2.0
// Measured densities per (step, layer, head). Block positions come from a seed.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/suggest.h"
#include "planner/workload/rules/bytes.h"
#include "planner/workload/rules/density_table.h"
#include "planner/workload/rules/rules.h"
#include "planner/workload/rules/synthetic.h"

namespace dbsp::planner {
namespace {

constexpr double kMaxTotal = 4294967295.0;

std::string LowerSuffix(const std::filesystem::path& path) {
  std::string suffix = path.extension().string();
  for (char& c : suffix) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return suffix;
}

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
  [[nodiscard]] std::string summary() const override {
    return "blocks at made-up positions, as many as a table of measured densities says";
  }
  [[nodiscard]] bool PositionsAreReal() const override { return false; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"file", OptionKind::kText, 0, 0, std::nullopt, {}},
            {"first_layers", OptionKind::kNumber, 0, 1, "0", {}},
            {"first_times", OptionKind::kNumber, 0, 1, "0", {}},
            {"pass", OptionKind::kInt, 0, 1, "0", {}},
            {"pattern", OptionKind::kText, 0, 0, "band", {"random", "band"}},
            {"seed", OptionKind::kInt, 0, kMaxSeed, "0", {}},
            {"total", OptionKind::kInt, 0, kMaxTotal, "0", {}}};
  }

  // Sparse-VideoGen's fractions --first_times_fp and --first_layers_fp, which it rounds down.
  [[nodiscard]] WarmUp DefaultWarmUp(
      const ModelShape& model, const std::map<std::string, std::string>& given) const override {
    const auto whole = [&](const char* fraction, const char* number, int count) {
      const auto found = given.find(fraction);
      if (found == given.end()) return 0;
      if (given.contains(number)) {
        Fail(ErrorCode::kInvalidArgument,
             "mask rule 'density': expected either {}= or {}=, found both",
             number,
             fraction);
      }
      const OptionSpec spec{fraction, OptionKind::kNumber, 0, 1, std::nullopt, {}};
      const RuleOptions options(name(), {spec}, {*found});
      return static_cast<int>(std::floor(options.Number(fraction) * count));
    };
    return {whole("first_times", "dense_steps", model.steps),
            whole("first_layers", "dense_layers", model.layers)};
  }

  void Resolve(const RuleContext& context, MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const std::filesystem::path path = options.Text("file");
    const std::int64_t total = options.Int("total");
    const std::string kind = LowerSuffix(path);
    const std::vector<std::string> known{
        ".csv", ".jsonl", ".npy", ".npz", ".pt", ".pth", ".safetensors"};
    if (std::find(known.begin(), known.end(), kind) == known.end()) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("mask rule 'density': {}: {}",
                              path.string(),
                              UnknownName("suffix of a file of densities", kind, known)));
    }
    const bool lines = kind == ".jsonl";
    if ((lines || kind == ".csv") && total != 0) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'density': a {} holds fractions; no total=",
           kind);
    }
    if (!lines && options.Int("pass") != 0) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'density': pass= chooses a pass of a .jsonl; {} has one",
           path.string());
    }
    DensityCounts counts;
    if (lines) {
      counts = DensityFromJsonLines(
          ReadFile(path, kMaxTextBytes), path.string(), options.Int("pass"), context);
    } else if (kind == ".csv") {
      counts = DensityFromCsv(ReadFile(path, kMaxTextBytes), path.string(), context);
    } else {
      counts = DensityFromArray(path, total, context);
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
