// SPDX-License-Identifier: Apache-2.0
// `dbsp-workload list`: presets and mask rules.
#include <fmt/format.h>

#include "core/cli.h"
#include "planner/workload/presets.h"
#include "planner/workload/rules/rule.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

std::string PresetLine(const std::string& name) {
  const ModelShape model = ModelPreset(name);
  return fmt::format("  {:<24} {} layers, {} heads x {}, {} tokens, {} steps, {} {}: {}\n",
                     name,
                     model.layers,
                     model.heads,
                     model.head_dim,
                     model.tokens(),
                     model.steps,
                     model.passes,
                     model.passes == 1 ? "pass" : "passes",
                     PresetNote(name));
}

/// Options with their defaults; required ones have "...".
std::string OptionsOf(const MaskRuleType& rule, const ModelShape& model) {
  std::string text;
  for (const OptionSpec& option : rule.Specs(model)) {
    text += (text.empty() ? "" : ", ") + option.name;
    const std::string value = option.fallback.value_or("...");
    if (!value.empty()) text += "=" + value;
  }
  return text;
}

}  // namespace

void PrintWorkloadList() {
  std::string text = "Model presets (--model):\n";
  for (const std::string& name : ModelPresets()) text += PresetLine(name);
  text += "\nMask rules (--mask RULE:option=value,...), with defaults where the model has none:\n";
  for (const MaskRuleType* rule : AllRules()) {
    const std::string options = OptionsOf(*rule, {});
    text += fmt::format(
        "  {:<8} {}{}\n", rule->name(), rule->summary(), options.empty() ? "" : "; " + options);
  }
  WriteStdout(text);
}

}  // namespace dbsp::planner
