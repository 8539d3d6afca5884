// SPDX-License-Identifier: Apache-2.0
// Interface of mask rules: their options with defaults for a model, and their masks.
//
// A rule is one .cpp file; planner/workload/rules/registry.cpp lists the rules. A rule does not
// know dense warm-up steps and layers: planner/workload/mask_flag.cpp turns those into assignments
// of the workload.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/block_mask.h"
#include "core/fine_mask.h"
#include "core/workload.h"

namespace dbsp::planner {

/// Largest seed. A double holds it exactly, and option ranges are doubles.
inline constexpr double kMaxSeed = 9007199254740991.0;

/// A switch is "1" or "0". In a flag its name alone means "1".
enum class OptionKind : std::uint8_t { kInt, kNumber, kText, kSwitch };

/// One option of a rule. Numbers that are not finite or outside [low, high] are refused.
struct OptionSpec {
  std::string name;
  OptionKind kind = OptionKind::kText;
  double low = 0;
  double high = 0;
  std::optional<std::string>
      fallback;  ///< canonical default; std::nullopt if the option is required
  std::vector<std::string> choices;  ///< allowed texts of a text option; empty = any text
};

/// Canonical options of one rule, with typed access.
class RuleOptions {
 public:
  /// Checks `given` against `specs`, adds defaults and makes every number canonical: the shortest
  /// text that reads back as the same value.
  /// errors  Error{kInvalidArgument} with `rule`, the option, and its range or the nearest known
  ///         option
  RuleOptions(const std::string& rule,
              const std::vector<OptionSpec>& specs,
              const std::map<std::string, std::string>& given);
  [[nodiscard]] const std::map<std::string, std::string>& text() const { return text_; }
  [[nodiscard]] std::int64_t Int(const std::string& name) const;
  [[nodiscard]] double Number(const std::string& name) const;
  [[nodiscard]] const std::string& Text(const std::string& name) const { return text_.at(name); }
  [[nodiscard]] bool On(const std::string& name) const { return text_.at(name) == "1"; }

 private:
  std::map<std::string, std::string> text_;
};

/// Masks of the cells of one rule.
class RuleMasks {
 public:
  virtual ~RuleMasks() = default;
  /// Masks of all heads. threads safe concurrently
  [[nodiscard]] virtual LayerMasks Make(int step, int layer) = 0;
  /// Equal keys mean equal masks within this object. "" if only the masks can tell.
  [[nodiscard]] virtual std::string Key(int step, int layer) const = 0;
  /// Active blocks of each head: the counts of Make(step, layer). Cheap if the rule knows them
  /// beforehand.
  [[nodiscard]] virtual std::vector<std::int64_t> ActiveBlocks(int step, int layer);
  /// Queries per list of single keys, 64 or 128; 0 if the rule has block masks only.
  [[nodiscard]] virtual int FineQueries() const { return 0; }
  /// Lists of single keys of all heads, as bits. Make() derives the block masks from them.
  /// requires FineQueries() > 0
  [[nodiscard]] virtual FineMasks MakeFine(int step, int layer);
  /// Counts of MakeFine(step, layer). A rule may make and count one head at a time.
  /// requires FineQueries() > 0
  [[nodiscard]] virtual FineCounts CountFine(int step, int layer);
  /// Whether the cells have classes of SLA. Make() then gives the critical blocks.
  [[nodiscard]] virtual bool HasMarginal() const { return false; }
  /// The marginal blocks of all heads; blocks that are neither are negligible. requires
  /// HasMarginal()
  [[nodiscard]] virtual LayerMasks MakeMarginal(int step, int layer);
  /// What the rule read and what it assumed, one sentence per line: the array with its type, values
  /// and axes, for example. May read the whole file. Empty if the options say everything.
  [[nodiscard]] virtual std::vector<std::string> Describe() const { return {}; }
};

/// Dense warm-up that a method prescribes, in steps and layers.
struct WarmUp {
  int steps = 0;
  int layers = 0;
};

/// Model, block size and folder of the workload that a rule belongs to.
struct RuleContext {
  ModelShape model;
  BlockSize block;
  std::filesystem::path directory;  ///< stored file references are relative to it
  /// First steps and layers that are dense, whatever the rule says. A file may lack their cells.
  WarmUp dense = {};
  /// Sentences on what Resolve() assumed and left out are added here. May be null.
  std::vector<std::string>* notes = nullptr;
  /// Guidance pass whose masks are opened. Without it, masks that differ between passes are opened
  /// but not made.
  std::optional<int> pass = std::nullopt;
  [[nodiscard]] AttentionShape shape() const {
    return {model.heads, model.head_dim, model.tokens(), block};
  }
  void Note(std::string sentence) const {
    if (notes != nullptr) notes->push_back(std::move(sentence));
  }
};

class MaskRuleType {
 public:
  virtual ~MaskRuleType() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// What the rule's masks are, on one line, for `dbsp-workload list`.
  [[nodiscard]] virtual std::string summary() const { return {}; }
  /// Options that the workload file stores, with the defaults for `model`.
  [[nodiscard]] virtual std::vector<OptionSpec> Specs(const ModelShape& model) const = 0;
  /// Dense warm-up of the method. `given` holds the options of the flag.
  [[nodiscard]] virtual WarmUp DefaultWarmUp(const ModelShape& model,
                                             const std::map<std::string, std::string>& given) const;
  /// Block size to use if the user gives none.
  [[nodiscard]] virtual BlockSize DefaultBlock(
      const ModelShape& model, const std::map<std::string, std::string>& given) const;
  /// Grid on which the method computes. Methods that pad a grid to whole tiles return a larger one.
  [[nodiscard]] virtual Grid ComputedGrid(const Grid& grid) const { return grid; }
  /// True if block positions follow from the method, false if they come from a seed.
  [[nodiscard]] virtual bool PositionsAreReal() const { return true; }
  /// True if each guidance pass of the model has masks of its own.
  [[nodiscard]] virtual bool PassesDiffer(const ModelShape& model, const MaskRule& rule) const;
  /// Reads the files that the flag's options name and stores their content in `rule`. Most rules
  /// have none.
  virtual void Resolve(const RuleContext& context, MaskRule& rule) const;
  /// errors  Error{kInvalidArgument} if the shape does not suit the rule; Error{kCorruptInput} if
  ///         the blob is not one that this rule writes
  [[nodiscard]] virtual std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                        const MaskRule& rule) const = 0;
};

/// All rules in the order of their documentation. They live as long as the program.
[[nodiscard]] const std::vector<const MaskRuleType*>& AllRules();
/// errors  Error{kInvalidArgument} with the nearest known rule
[[nodiscard]] const MaskRuleType& FindRule(const std::string& name);

/// Family of a model by its name: "wan2.1", "wan2.2", "hunyuanvideo", ... Methods have settings per
/// family. "" if no method has settings for the model.
[[nodiscard]] std::string ModelFamily(const ModelShape& model);

/// One mask for every head and cell, made on first use. `make` runs at most once.
[[nodiscard]] std::unique_ptr<RuleMasks> SharedMask(int heads, std::function<BlockMask()> make);

/// Converts a mask in blocks of `from` x `from` tokens to blocks of to.q x to.k over `tokens`
/// tokens.
/// requires to.q and to.k divide `from`; mask covers ceil(tokens / from) blocks in each direction
[[nodiscard]] BlockMask RefineMask(const BlockMask& mask,
                                   int from,
                                   BlockSize to,
                                   std::int64_t tokens);

/// errors  Error{kInvalidArgument} if to.q or to.k does not divide `from`, with sizes that do
void RequireBlockDivides(const std::string& rule, int from, BlockSize to);

}  // namespace dbsp::planner
