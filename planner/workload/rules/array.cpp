// SPDX-License-Identifier: Apache-2.0
// Masks from an array file, read one (step, layer) at a time. The file stays where it is. The
// workload holds its path and the hash of its content.
#include <limits>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/mask_array.h"
#include "planner/workload/rules/fine_cells.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

/// An option that may be left out, read as a number of `spec`.
std::optional<RuleOptions> Given(const RuleOptions& options, const OptionSpec& spec) {
  std::map<std::string, std::string> given;
  given[spec.name] = options.Text(spec.name);
  if (given[spec.name].empty()) return std::nullopt;
  return RuleOptions("array", {spec}, given);
}

std::optional<std::int64_t> PassOption(const RuleOptions& options) {
  const auto given = Given(options, {"pass", OptionKind::kInt, 0, 1 << 20, std::nullopt, {}});
  if (!given) return std::nullopt;
  return given->Int("pass");
}

/// The value of a table, by its word. "" means the first one.
template <typename Value, std::size_t kCount>
Value Choice(const RuleOptions& options,
             const char* option,
             const std::pair<const char*, Value> (&choices)[kCount]) {
  const std::string& text = options.Text(option);
  std::string known;
  for (const auto& [word, value] : choices) {
    if (text == word) return value;
    if (*word != 0) known += (known.empty() ? "" : " or ") + std::string(word);
  }
  Fail(ErrorCode::kInvalidArgument,
       "mask rule 'array': option {}: expected {}, found '{}'",
       option,
       known,
       text);
}

TableCode TableOption(const RuleOptions& options) {
  return Choice<TableCode>(
      options,
      "lut",
      {{"", TableCode::kByName}, {"delta", TableCode::kDelta}, {"ordinal", TableCode::kOrdinal}});
}

/// Queries per list of single keys, 0 for a block mask.
int QueriesOption(const RuleOptions& options) {
  const std::string& text = options.Text("queries");
  return text.empty() ? 0 : ParseQueries("array", text);
}

MaskArrayOptions ArrayOptions(const RuleOptions& options, SlaClass sla = SlaClass::kCritical) {
  MaskArrayOptions array;
  if (options.On("sla")) array.values.sla = sla;
  array.single_keys = QueriesOption(options) > 0;
  array.name = options.Text("name");
  if (!options.Text("axes").empty()) array.axes.letters = options.Text("axes");
  if (options.Int("batch") > 0) array.axes.batch = options.Int("batch");
  array.axes.pass = PassOption(options);
  constexpr double kMost = std::numeric_limits<double>::max();
  const auto threshold =
      Given(options, {"threshold", OptionKind::kNumber, -kMost, kMost, std::nullopt, {}});
  if (threshold) array.values.threshold = threshold->Number("threshold");
  array.table = TableOption(options);
  array.packed = Choice<BitOrder>(
      options,
      "packed",
      {{"", BitOrder::kNone}, {"little", BitOrder::kLittle}, {"big", BitOrder::kBig}});
  array.values.additive = options.On("additive");
  array.values.inverted = options.On("inverted");
  if (array.values.threshold && array.values.additive) {
    Fail(ErrorCode::kInvalidArgument,
         "mask rule 'array': options threshold and additive exclude each other");
  }
  if (options.On("sla") && (array.values.threshold || array.values.additive ||
                            array.values.inverted || array.single_keys)) {
    Fail(ErrorCode::kInvalidArgument,
         "mask rule 'array': option sla excludes threshold, additive, inverted and queries");
  }
  return array;
}

MaskArrayFile OpenArray(const RuleContext& context,
                        const std::filesystem::path& path,
                        const RuleOptions& options,
                        SlaClass sla = SlaClass::kCritical) {
  AttentionShape shape = context.shape();
  const ModelShape& model = context.model;
  if (const int queries = QueriesOption(options); queries > 0) {
    RequireFineLimit("array", shape.tokens, queries);
    shape.block = {queries, 1};
  }
  MaskArrayFile file(path,
                     ArrayOptions(options, sla),
                     {model.steps,
                      model.layers,
                      model.passes,
                      shape.heads,
                      shape.q_blocks(),
                      shape.k_blocks(),
                      shape.tokens,
                      shape.block});
  const auto require = [&](const char* option, std::int64_t index, char axis) {
    if (index < file.axes().Size(axis)) return;
    Fail(ErrorCode::kInvalidArgument,
         "mask rule 'array': option {}: expected less than {}, the size of axis {} of {}, found {}",
         option,
         file.axes().Size(axis),
         axis,
         path.string(),
         index);
  };
  require("batch", options.Int("batch"), 'B');
  require("pass", PassOption(options).value_or(0), 'P');
  return file;
}

class ArrayMasks : public RuleMasks {
 public:
  ArrayMasks(const RuleContext& context,
             const RuleOptions& options,
             MaskArrayFile file,
             std::optional<MaskArrayFile> marginal)
      : steps_(context.model.steps),
        queries_(QueriesOption(options)),
        block_(context.block),
        batch_(options.Int("batch")),
        chosen_(PassOption(options)),
        pass_(chosen_),
        file_(std::move(file)),
        marginal_(std::move(marginal)) {
    if (!pass_ && context.pass) pass_ = *context.pass;
  }

  LayerMasks Make(int step, int layer) override {
    LayerMasks masks = Read(file_, step, layer);
    if (queries_ == 0) return masks;
    return BlocksOfFine({queries_, std::move(masks)}, block_);
  }
  std::vector<std::int64_t> ActiveBlocks(int step, int layer) override {
    if (queries_ == 0) return RuleMasks::ActiveBlocks(step, layer);
    return Cell(step, layer)->active_blocks;
  }
  [[nodiscard]] int FineQueries() const override { return queries_; }
  FineMasks MakeFine(int step, int layer) override { return {queries_, Read(file_, step, layer)}; }
  [[nodiscard]] bool HasMarginal() const override { return marginal_.has_value(); }
  LayerMasks MakeMarginal(int step, int layer) override {
    return Read(marginal_.value(), step, layer);
  }
  FineCounts CountFine(int step, int layer) override { return Cell(step, layer)->fine; }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return fmt::format("{},{}", TimeOf(step), file_.axes().Size('L') == 1 ? 0 : layer);
  }
  [[nodiscard]] std::vector<std::string> Describe() const override {
    std::vector<std::string> lines = file_.Describe();
    if (queries_ > 0) lines.push_back(DerivedNote(queries_, block_));
    if (marginal_) {
      lines.emplace_back(
          "classes of SLA: critical blocks are the block mask, which plans use; linear attention "
          "over the marginal blocks and its projection are not planned");
    }
    const std::int64_t batches = file_.axes().Size('B');
    if (batches > 1) {
      lines.push_back(
          fmt::format("batch {} is read, the masks of {} others are not", batch_, batches - 1));
    }
    const std::int64_t passes = file_.axes().Size('P');
    if (passes > 1 && chosen_) {
      lines.push_back(fmt::format("the masks of pass {} are read for all passes", *chosen_));
    } else if (passes > 1) {
      lines.emplace_back("each pass has masks of its own");
    }
    return lines;
  }

 private:
  [[nodiscard]] std::int64_t TimeOf(int step) const {
    return TimeOfStep(step, steps_, file_.axes().Size('T'));
  }
  [[nodiscard]] LayerMasks Read(const MaskArrayFile& file, int step, int layer) const {
    if (!pass_ && file_.axes().Size('P') > 1) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'array': the guidance passes have masks of their own (axes {}), and a plan "
           "has one strategy for all passes: make one workload per pass, with --passes 1 and the "
           "option pass=0, then pass=1, and plan each",
           file_.axes().letters);
    }
    return file.Read({TimeOf(step), layer, pass_.value_or(0), batch_});
  }
  std::shared_ptr<const FineCell> Cell(int step, int layer) {
    return cells_.Get(Key(step, layer), [&] {
      FineCell cell;
      cell.Add(MakeFine(step, layer), block_);
      return cell;
    });
  }

  int steps_;
  int queries_;
  BlockSize block_;
  std::int64_t batch_;
  std::optional<std::int64_t> chosen_;  ///< option pass
  std::optional<std::int64_t> pass_;
  MaskArrayFile file_;
  std::optional<MaskArrayFile> marginal_;  ///< the same file, of which the marginal blocks are read
  FineCells cells_;
};

class ArrayRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "array"; }
  [[nodiscard]] std::string summary() const override {
    return "masks of a file: .npy, .npz, .pt, .safetensors, or a folder of them";
  }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"additive", OptionKind::kSwitch, 0, 0, "0", {}},
            {"axes", OptionKind::kText, 0, 0, "", {}},
            {"batch", OptionKind::kInt, 0, 1 << 20, "0", {}},
            {"block", OptionKind::kText, 0, 0, "", {}},
            {"file", OptionKind::kText, 0, 0, std::nullopt, {}},
            {"hash", OptionKind::kText, 0, 0, "", {}},
            {"inverted", OptionKind::kSwitch, 0, 0, "0", {}},
            {"lut", OptionKind::kText, 0, 0, "", {}},
            {"name", OptionKind::kText, 0, 0, "", {}},
            {"packed", OptionKind::kText, 0, 0, "", {}},
            {"pass", OptionKind::kText, 0, 0, "", {}},
            {"queries", OptionKind::kText, 0, 0, "", {}},
            {"sla", OptionKind::kSwitch, 0, 0, "0", {}},
            {"threshold", OptionKind::kText, 0, 0, "", {}}};
  }

  [[nodiscard]] BlockSize DefaultBlock(
      const ModelShape& /*model*/, const std::map<std::string, std::string>& given) const override {
    const auto found = given.find("block");
    return found == given.end() ? BlockSize{} : ParseBlock(found->second);
  }

  [[nodiscard]] bool PassesDiffer(const ModelShape& model, const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(model), rule.options);
    return model.passes > 1 && options.Text("pass").empty() &&
           options.Text("axes").find('P') != std::string::npos;
  }

  /// Names the axes, so that later readers of the workload need not find them again, and reads
  /// every mask once, so that a file with other values is refused here.
  void Resolve(const RuleContext& context, MaskRule& rule) const override {
    const std::filesystem::path path = rule.options["file"];
    RequireBlock(rule.options["block"], context.block);
    const std::string given = rule.options["hash"];
    const RuleOptions options(name(), Specs(context.model), rule.options);
    static_cast<void>(ArrayOptions(options));  // words that are none, before the file is read
    const std::string hash = HashFile(path);
    if (!given.empty() && given != hash) RefuseHash(path, given, hash);
    const MaskArrayFile file = OpenArray(context, path, options);
    file.CheckAll();
    rule.options["axes"] = file.axes().letters;
    const bool assumed = rule.options["lut"].empty() && file.table() != TableCode::kByName;
    if (file.table() == TableCode::kDelta) rule.options["lut"] = "delta";
    if (file.table() == TableCode::kOrdinal) rule.options["lut"] = "ordinal";
    if (assumed) {
      context.Note(
          fmt::format("the table is read with lut={}: the other reading gives no mask, or "
                      "the same one",
                      rule.options["lut"]));
    }
    const bool one_pass =
        file.axes().letters.find('P') != std::string::npos && file.axes().Size('P') == 1;
    if (one_pass) rule.options["pass"] = std::to_string(0);  // all passes share it
    // Left out where not used, so that earlier versions read the workload.
    if (rule.options["queries"].empty()) rule.options.erase("queries");
    if (rule.options["sla"] == "0") rule.options.erase("sla");
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
    std::optional<MaskArrayFile> marginal;
    if (options.On("sla")) marginal = OpenArray(context, path, options, SlaClass::kMarginal);
    return std::make_unique<ArrayMasks>(
        context, options, OpenArray(context, path, options), std::move(marginal));
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
