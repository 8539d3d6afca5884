// SPDX-License-Identifier: Apache-2.0
// Masks out of an array file, read one (step, layer) at a time. The file stays where it is: the
// workload holds its path and its content's hash.
#include <mutex>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/mask_array.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

class ArrayMasks : public RuleMasks {
 public:
  ArrayMasks(const RuleContext& context, MaskArrayFile file, std::int64_t batch)
      : steps_(context.model.steps), batch_(batch), file_(std::move(file)) {}

  LayerMasks Make(int step, int layer) override {
    return file_.Read(TimeOf(step), LayerOf(layer), batch_);
  }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return fmt::format("{},{}", TimeOf(step), LayerOf(layer));
  }

 private:
  [[nodiscard]] std::int64_t TimeOf(int step) const {
    return TimeOfStep(step, steps_, file_.dims().times);
  }
  [[nodiscard]] std::int64_t LayerOf(int layer) const {
    return file_.dims().layers == 1 ? 0 : layer;
  }

  int steps_;
  std::int64_t batch_;
  MaskArrayFile file_;
};

class ArrayRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "array"; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"batch", OptionKind::kInt, 0, 1 << 20, "0", {}},
            {"block", OptionKind::kText, 0, 0, "", {}},
            {"file", OptionKind::kText, 0, 0, std::nullopt, {}},
            {"hash", OptionKind::kText, 0, 0, "", {}},
            {"name", OptionKind::kText, 0, 0, "", {}}};
  }

  [[nodiscard]] BlockSize DefaultBlock(
      const ModelShape& /*model*/, const std::map<std::string, std::string>& given) const override {
    const auto found = given.find("block");
    return found == given.end() ? BlockSize{} : ParseBlock(found->second);
  }

  void Resolve(const RuleContext& context, MaskRule& rule) const override {
    const std::filesystem::path path = rule.options["file"];
    RequireBlock(rule.options["block"], context.block);
    const std::string given = rule.options["hash"];
    const std::string hash = HashFile(path);
    if (!given.empty() && given != hash) RefuseHash(path, given, hash);
    rule.options["hash"] = hash;
    rule.options["block"] = fmt::format("{}x{}", context.block.q, context.block.k);
    std::error_code unrelated;
    const std::filesystem::path from =
        std::filesystem::absolute(context.directory.empty() ? "." : context.directory);
    const auto relative =
        std::filesystem::relative(std::filesystem::absolute(path), from, unrelated);
    rule.options["file"] =
        (unrelated || relative.empty() ? std::filesystem::absolute(path) : relative)
            .generic_string();
  }

  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const std::filesystem::path path = context.directory / options.Text("file");
    RequireBlock(options.Text("block"), context.block);
    const std::string hash = HashFile(path);
    if (hash != options.Text("hash")) RefuseHash(path, options.Text("hash"), hash);
    const AttentionShape shape = context.shape();
    MaskArrayFile file(path, options.Text("name"), shape.heads, shape.q_blocks(), shape.k_blocks());
    const MaskArrayDims& dims = file.dims();
    if (dims.layers != 1 && dims.layers != context.model.layers) {
      Fail(ErrorCode::kMismatch,
           "{}: holds masks of {} layers, the model '{}' has {}",
           path.string(),
           dims.layers,
           context.model.name,
           context.model.layers);
    }
    const std::int64_t batch = options.Int("batch");
    if (batch >= dims.batches) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'array': option batch: expected less than {}, found {}",
           dims.batches,
           batch);
    }
    return std::make_unique<ArrayMasks>(context, std::move(file), batch);
  }

 private:
  static BlockSize ParseBlock(const std::string& text) {
    BlockSize block;
    int used = 0;
    const bool good = std::sscanf(text.c_str(), "%6dx%6d%n", &block.q, &block.k, &used) == 2 &&
                      static_cast<std::size_t>(used) == text.size() && block.q >= 1 && block.k >= 1;
    if (!good) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'array': option block: expected QxK in tokens, found '{}'",
           text);
    }
    return block;
  }

  static void RequireBlock(const std::string& text, BlockSize block) {
    if (text.empty() || ParseBlock(text) == block) return;
    Fail(ErrorCode::kMismatch,
         "mask rule 'array': blocks of {} in the file, {}x{} in the workload; --block must agree",
         text,
         block.q,
         block.k);
  }

  [[noreturn]] static void RefuseHash(const std::filesystem::path& path,
                                      const std::string& expected,
                                      const std::string& found) {
    Fail(ErrorCode::kMismatch,
         "{}: changed since the workload was made: expected content hash {}, found {}",
         path.string(),
         expected,
         found);
  }
};

}  // namespace

const MaskRuleType& ArrayRuleType() {
  static const ArrayRule rule;
  return rule;
}

}  // namespace dbsp::planner
