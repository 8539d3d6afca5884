// SPDX-License-Identifier: Apache-2.0
// What a mask rule is: its options with their defaults for a model, and its masks.
//
// A rule is one .cpp file; planner/workload/rules/registry.cpp lists them. A rule knows nothing of
// dense warm-up steps and layers: those become assignments of the workload
// (planner/workload/mask_flag.cpp).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/workload.h"

namespace dbsp::planner {

/// Seeds fit a double exactly, as option ranges are doubles.
inline constexpr double kMaxSeed = 9007199254740991.0;

enum class OptionKind : std::uint8_t { kInt, kNumber, kText };

/// One option of a rule. Numbers outside [low, high] and non-finite ones are refused.
struct OptionSpec {
  std::string name;
  OptionKind kind = OptionKind::kText;
  double low = 0;
  double high = 0;
  std::optional<std::string> fallback;  ///< canonical default; std::nullopt = must be given
  std::vector<std::string> choices;  ///< of a text option; empty = any text
};

/// Canonical options of one rule, with typed access.
class RuleOptions {
 public:
  /// Checks `given` against `specs`, fills defaults in and makes every number canonical (the
  /// shortest text that reads back as the same value).
  /// errors  Error{kInvalidArgument} naming `rule`, the option, its range or the nearest known one
  RuleOptions(const std::string& rule,
              const std::vector<OptionSpec>& specs,
              const std::map<std::string, std::string>& given);
  [[nodiscard]] const std::map<std::string, std::string>& text() const { return text_; }
  [[nodiscard]] std::int64_t Int(const std::string& name) const;
  [[nodiscard]] double Number(const std::string& name) const;
  [[nodiscard]] const std::string& Text(const std::string& name) const { return text_.at(name); }

 private:
  std::map<std::string, std::string> text_;
};

/// Masks of the cells where one rule holds.
class RuleMasks {
 public:
  virtual ~RuleMasks() = default;
  /// Masks of all heads. threads safe concurrently
  [[nodiscard]] virtual LayerMasks Make(int step, int layer) = 0;
  /// Equal keys = equal masks within this object; "" when only the masks can tell.
  [[nodiscard]] virtual std::string Key(int step, int layer) const = 0;
  /// Active blocks of each head, the same as counting Make(step, layer); cheap where the rule knows
  /// the count beforehand.
  [[nodiscard]] virtual std::vector<std::int64_t> Kept(int step, int layer);
};

/// Where a rule's options come from, for files it refers to.
struct RuleContext {
  ModelShape model;
  BlockSize block;
  std::filesystem::path directory;  ///< stored file references are relative to it
  [[nodiscard]] AttentionShape shape() const {
    return {model.heads, model.head_dim, model.tokens(), block};
  }
};

/// Dense warm-up a method prescribes, in steps and layers.
struct WarmUp {
  int steps = 0;
  int layers = 0;
};

class MaskRuleType {
 public:
  virtual ~MaskRuleType() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// Options stored in the file, with the defaults for `model`.
  [[nodiscard]] virtual std::vector<OptionSpec> Specs(const ModelShape& model) const = 0;
  /// The method's own dense warm-up; `given` are the options of the flag.
  [[nodiscard]] virtual WarmUp DefaultWarmUp(const ModelShape& model,
                                             const std::map<std::string, std::string>& given) const;
  /// The block size to use when the user names none.
  [[nodiscard]] virtual BlockSize DefaultBlock(
      const ModelShape& model, const std::map<std::string, std::string>& given) const;
  /// Whether block positions follow from the method, not from a seed.
  [[nodiscard]] virtual bool PositionsAreReal() const { return true; }
  /// Reads what the flag's options refer to and stores it in `rule`. Nothing for most rules.
  virtual void Resolve(const RuleContext& context, MaskRule& rule) const;
  /// errors  Error{kInvalidArgument} when the shape does not suit the rule,
  ///         Error{kCorruptInput} when the blob is not what this rule writes
  [[nodiscard]] virtual std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                        const MaskRule& rule) const = 0;
};

/// Every rule, in the order they are documented. owns  the program; never freed
[[nodiscard]] const std::vector<const MaskRuleType*>& AllRules();
/// errors  Error{kInvalidArgument} naming the nearest known rule
[[nodiscard]] const MaskRuleType& FindRule(const std::string& name);

/// "wan2.1", "wan2.2", "hunyuanvideo", ... from the model's name: methods have settings per family;
/// "" when no method has any.
[[nodiscard]] std::string ModelFamily(const ModelShape& model);

/// One mask for every head and cell, made when first asked for. `make` runs at most once.
[[nodiscard]] std::unique_ptr<RuleMasks> SharedMask(int heads, std::function<BlockMask()> make);

/// `mask` in blocks of `from` x `from` tokens, said in blocks of to.q x to.k over `tokens` tokens.
/// requires to.q and to.k divide `from`; mask covers ceil(tokens / from) blocks each way
[[nodiscard]] BlockMask RefineMask(const BlockMask& mask,
                                   int from,
                                   BlockSize to,
                                   std::int64_t tokens);

/// errors  Error{kInvalidArgument} when to.q or to.k does not divide `from`, naming what does
void RequireBlockDivides(const std::string& rule, int from, BlockSize to);

}  // namespace dbsp::planner
