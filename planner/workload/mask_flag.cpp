// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_flag.h"

#include <algorithm>

#include "core/error.h"
#include "core/suggest.h"
#include "core/workload_cells.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/rules/rule.h"

namespace dbsp::planner {
namespace {

struct ParsedFlag {
  const MaskRuleType* type = nullptr;
  std::map<std::string, std::string> options;
};

/// Whether `name` is a switch, which a flag may name without a value.
bool IsSwitch(const MaskRuleType& type, const ModelShape& model, const std::string& name) {
  return std::ranges::any_of(type.Specs(model), [&](const OptionSpec& spec) {
    return spec.kind == OptionKind::kSwitch && spec.name == name;
  });
}

ParsedFlag ParseFlag(const std::string& flag, const ModelShape& model) {
  ParsedFlag parsed;
  const std::size_t colon = flag.find(':');
  parsed.type = &FindRule(flag.substr(0, colon));
  std::string rest = colon == std::string::npos ? "" : flag.substr(colon + 1);
  if (colon != std::string::npos && rest.empty()) {
    Fail(ErrorCode::kInvalidArgument, "mask '{}': expected options after ':', found nothing", flag);
  }
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string item = rest.substr(0, comma);
    if (IsSwitch(*parsed.type, model, item)) item += "=1";
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    const std::size_t equals = item.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == item.size()) {
      Fail(ErrorCode::kInvalidArgument, "mask '{}': expected option=value, found '{}'", flag, item);
    }
    if (!parsed.options.emplace(item.substr(0, equals), item.substr(equals + 1)).second) {
      Fail(ErrorCode::kInvalidArgument,
           "mask '{}': option {} is given twice",
           flag,
           item.substr(0, equals));
    }
  }
  return parsed;
}

/// Removes dense_steps and dense_layers from `options` and returns them. Options that are not given
/// have the method's values. Numbers above those of the model mean all steps or layers.
WarmUp TakeWarmUp(const ModelShape& model, ParsedFlag& parsed, std::vector<std::string>& notes) {
  const WarmUp method = parsed.type->DefaultWarmUp(model, parsed.options);
  constexpr double kMax = 1 << 20;
  const std::vector<OptionSpec> specs{
      {"dense_layers", OptionKind::kInt, 0, kMax, std::to_string(method.layers), {}},
      {"dense_steps", OptionKind::kInt, 0, kMax, std::to_string(method.steps), {}}};
  std::map<std::string, std::string> given;
  for (const OptionSpec& spec : specs) {
    auto node = parsed.options.extract(spec.name);
    if (!node.empty()) given.insert(std::move(node));
  }
  const RuleOptions options(parsed.type->name(), specs, given);
  const auto take = [&](const char* option, const char* unit, int most) {
    const std::int64_t count = options.Int(option);
    if (count > most) {
      notes.push_back(fmt::format("{}: {}={}{} is more than the {} {} of the model; all are dense",
                                  parsed.type->name(),
                                  option,
                                  count,
                                  given.contains(option) ? "" : ", the method's own number,",
                                  most,
                                  unit));
    }
    return static_cast<int>(std::min<std::int64_t>(count, most));
  };
  return {take("dense_steps", "steps", model.steps), take("dense_layers", "layers", model.layers)};
}

/// Refuses options that are neither the rule's own nor dense_steps or dense_layers.
void RefuseUnknownOptions(const ModelShape& model, const ParsedFlag& parsed) {
  std::vector<std::string> known{"dense_layers", "dense_steps"};
  for (const OptionSpec& spec : parsed.type->Specs(model)) known.push_back(spec.name);
  for (const auto& [name, value] : parsed.options) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("mask rule '{}': {}", parsed.type->name(), UnknownName("option", name, known)));
  }
}

/// errors  Error{kInvalidArgument} for a shape beyond the limits of workloads
void RequireSizes(const Workload& workload) {
  if (const Status size = CheckSize(workload.model); !size.ok()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}; --steps, --layers, --heads, --grid and --tokens set the sizes",
         size.message());
  }
  RequireBlockLimit(workload);
}

/// Gives the model the grid on which the method computes.
void PadGrid(const MaskRuleType& type, Workload& workload, std::vector<std::string>& notes) {
  const Grid grid = workload.model.grid;
  const Grid padded = type.ComputedGrid(grid);
  if (padded == grid) return;
  workload.model.grid = padded;
  RequireSizes(workload);
  notes.push_back(
      fmt::format("{}: the grid {}x{}x{} is padded to whole tiles, {}x{}x{}: {} of {} video tokens "
                  "are padding, which the method computes and this workload counts",
                  type.name(),
                  grid.frames,
                  grid.height,
                  grid.width,
                  padded.frames,
                  padded.height,
                  padded.width,
                  padded.tokens() - grid.tokens(),
                  padded.tokens()));
}

}  // namespace

BlockSize DefaultBlock(const std::string& flag, const ModelShape& model) {
  ParsedFlag parsed = ParseFlag(flag, model);
  RefuseUnknownOptions(model, parsed);
  std::vector<std::string> notes;
  TakeWarmUp(model, parsed, notes);
  return parsed.type->DefaultBlock(model, parsed.options);
}

std::vector<std::string> ApplyMaskFlag(const std::string& flag, Workload& workload) {
  std::vector<std::string> notes;
  ParsedFlag parsed = ParseFlag(flag, workload.model);
  RefuseUnknownOptions(workload.model, parsed);
  RequireSizes(workload);
  PadGrid(*parsed.type, workload, notes);
  const ModelShape& model = workload.model;
  const WarmUp warm_up = TakeWarmUp(model, parsed, notes);
  RuleContext context{model, workload.block, workload.directory};
  context.dense = warm_up;
  context.notes = &notes;
  MaskRule rule;
  rule.rule = parsed.type->name();
  rule.options = RuleOptions(rule.rule, parsed.type->Specs(model), parsed.options).text();
  parsed.type->Resolve(context, rule);
  static_cast<void>(parsed.type->Open(context, rule));  // refuses shapes that do not suit the rule

  std::vector<MaskRule> rules{rule};
  std::vector<MaskAssignment> assignments{{0, 0, model.steps, 0, model.layers}};
  const int dense = rule.rule == "dense" ? 0 : 1;
  if (warm_up.steps > 0) assignments.push_back({dense, 0, warm_up.steps, 0, model.layers});
  if (warm_up.layers > 0) assignments.push_back({dense, 0, model.steps, 0, warm_up.layers});
  if (dense == 1 && assignments.size() > 1) rules.push_back({"dense", {}, ""});
  workload.rules = std::move(rules);
  workload.assignments = std::move(assignments);
  return notes;
}

}  // namespace dbsp::planner
