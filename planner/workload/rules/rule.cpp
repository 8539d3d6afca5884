// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/rule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::planner {
namespace {

[[noreturn]] void WrongOption(const std::string& rule,
                              const OptionSpec& spec,
                              const std::string& expected,
                              const std::string& found) {
  Fail(ErrorCode::kInvalidArgument,
       "mask rule '{}': option {}: expected {}, found '{}'",
       rule,
       spec.name,
       expected,
       found);
}

template <typename T>
std::optional<T> ParseAll(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

std::string CanonicalOption(const std::string& rule,
                            const OptionSpec& spec,
                            const std::string& text) {
  if (spec.kind == OptionKind::kInt) {
    const auto value = ParseAll<std::int64_t>(text);
    const bool inside = value && static_cast<double>(*value) >= spec.low &&
                        static_cast<double>(*value) <= spec.high;
    if (!inside) {
      WrongOption(rule, spec, fmt::format("an integer from {} to {}", spec.low, spec.high), text);
    }
    return fmt::format("{}", *value);
  }
  if (spec.kind == OptionKind::kNumber) {
    const auto value = ParseAll<double>(text);
    if (!value || !std::isfinite(*value) || *value < spec.low || *value > spec.high) {
      WrongOption(rule, spec, fmt::format("a number from {} to {}", spec.low, spec.high), text);
    }
    return fmt::format("{}", *value);
  }
  if (spec.kind == OptionKind::kSwitch) {
    if (text == "1" || text == "true" || text == "yes" || text == "on") return "1";
    if (text == "0" || text == "false" || text == "no" || text == "off") return "0";
    WrongOption(rule, spec, "1 or 0", text);
  }
  if (!spec.choices.empty() &&
      std::find(spec.choices.begin(), spec.choices.end(), text) == spec.choices.end()) {
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("mask rule '{}': {}", rule, UnknownName(spec.name, text, spec.choices)));
  }
  return text;
}

class SharedMaskImpl : public RuleMasks {
 public:
  SharedMaskImpl(int heads, std::function<BlockMask()> make)
      : heads_(heads), make_(std::move(make)) {}
  LayerMasks Make(int /*step*/, int /*layer*/) override {
    return {std::vector<BlockMaskPtr>(heads_, Mask())};
  }
  [[nodiscard]] std::string Key(int /*step*/, int /*layer*/) const override { return "all"; }
  std::vector<std::int64_t> ActiveBlocks(int /*step*/, int /*layer*/) override {
    const BlockMaskPtr mask = Mask();
    return std::vector<std::int64_t>(heads_, active_blocks_);
  }

 private:
  BlockMaskPtr Mask() {
    std::call_once(once_, [this] {
      mask_ = std::make_shared<const BlockMask>(make_());
      active_blocks_ = mask_->Count();
    });
    return mask_;
  }

  int heads_;
  std::function<BlockMask()> make_;
  std::once_flag once_;
  BlockMaskPtr mask_;
  std::int64_t active_blocks_ = 0;
};

}  // namespace

RuleOptions::RuleOptions(const std::string& rule,
                         const std::vector<OptionSpec>& specs,
                         const std::map<std::string, std::string>& given) {
  std::vector<std::string> known;
  for (const OptionSpec& spec : specs) known.push_back(spec.name);
  for (const auto& [name, value] : given) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (known.empty()) {
      Fail(ErrorCode::kInvalidArgument, "mask rule '{}' takes no option '{}'", rule, name);
    }
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("mask rule '{}': {}", rule, UnknownName("option", name, known)));
  }
  for (const OptionSpec& spec : specs) {
    const auto found = given.find(spec.name);
    if (found == given.end() && !spec.fallback) {
      Fail(
          ErrorCode::kInvalidArgument, "mask rule '{}': option {}= must be given", rule, spec.name);
    }
    const std::string& value = found == given.end() ? *spec.fallback : found->second;
    text_[spec.name] = CanonicalOption(rule, spec, value);
  }
}

std::int64_t RuleOptions::Int(const std::string& name) const {
  return ParseAll<std::int64_t>(text_.at(name)).value();
}

double RuleOptions::Number(const std::string& name) const {
  return ParseAll<double>(text_.at(name)).value();
}

std::vector<std::int64_t> RuleMasks::ActiveBlocks(int step, int layer) {
  std::vector<std::int64_t> counts;
  const LayerMasks masks = Make(step, layer);
  for (std::size_t h = 0; h < masks.head.size(); ++h) {
    const bool same = h > 0 && masks.head[h] == masks.head[h - 1];
    counts.push_back(same ? counts.back() : masks.head[h]->Count());
  }
  return counts;
}

FineMasks RuleMasks::MakeFine(int /*step*/, int /*layer*/) {
  Fail(ErrorCode::kInternal, "this mask rule has no lists of keys");
}

LayerMasks RuleMasks::MakeMarginal(int /*step*/, int /*layer*/) {
  Fail(ErrorCode::kInternal, "this mask rule has no classes of SLA");
}

FineCounts RuleMasks::CountFine(int step, int layer) {
  FineCounts counts;
  const FineMasks fine = MakeFine(step, layer);
  for (const BlockMaskPtr& mask : fine.bits.head) counts.Add(*mask, fine.queries);
  return counts;
}

bool MaskRuleType::PassesDiffer(const ModelShape& /*model*/, const MaskRule& /*rule*/) const {
  return false;
}

WarmUp MaskRuleType::DefaultWarmUp(const ModelShape& /*model*/,
                                   const std::map<std::string, std::string>& /*given*/) const {
  return {};
}

BlockSize MaskRuleType::DefaultBlock(const ModelShape& /*model*/,
                                     const std::map<std::string, std::string>& /*given*/) const {
  return {};
}

void MaskRuleType::Resolve(const RuleContext& /*context*/, MaskRule& /*rule*/) const {}

std::string ModelFamily(const ModelShape& model) {
  // Longer names first: a prefix decides.
  constexpr std::array<const char*, 7> kFamilies{
      "wan2.1", "wan2.2", "hunyuanvideo", "cogvideox1.5", "cogvideox", "mochi", "flux"};
  for (const char* family : kFamilies) {
    if (model.name.starts_with(family)) return family;
  }
  return "";
}

std::unique_ptr<RuleMasks> SharedMask(int heads, std::function<BlockMask()> make) {
  return std::make_unique<SharedMaskImpl>(heads, std::move(make));
}

void RequireBlockDivides(const std::string& rule, int from, BlockSize to) {
  if (from % to.q == 0 && from % to.k == 0) return;
  Fail(
      ErrorCode::kInvalidArgument,
      "mask rule '{}' is made of blocks of {} tokens: expected a workload block whose sides divide "
      "{}, found {}x{}; --block {}x{} fits",
      rule,
      from,
      from,
      to.q,
      to.k,
      from,
      from);
}

BlockMask RefineMask(const BlockMask& mask, int from, BlockSize to, std::int64_t tokens) {
  if (to.q == from && to.k == from) return mask;
  const AttentionShape shape{1, 1, tokens, to};
  BlockMask fine(shape.q_blocks(), shape.k_blocks());
  const int wide = from / to.k;
  const int tall = from / to.q;
  for (int i = 0; i < fine.rows(); ++i) {
    const int coarse = i / tall;
    if (i % tall != 0) {  // rows of one coarse row are equal
      std::copy(fine.row(i - 1).begin(), fine.row(i - 1).end(), fine.mutable_row(i).begin());
      continue;
    }
    for (int j = 0; j < mask.cols(); ++j) {
      if (mask.Get(coarse, j)) fine.SetRange(i, j * wide, std::min((j + 1) * wide, fine.cols()));
    }
  }
  return fine;
}

}  // namespace dbsp::planner
