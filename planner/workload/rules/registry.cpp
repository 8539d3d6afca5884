// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "core/suggest.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {

const std::vector<const MaskRuleType*>& AllRules() {
  static const std::vector<const MaskRuleType*> rules{
      &DenseRuleType(),
      &RadialRuleType(),
      &StaRuleType(),
      &Svg1RuleType(),
      &VsaRuleType(),
      &RandomRuleType(),
      &ArrayRuleType(),
      &DensityRuleType(),
      &FineRuleType(),
  };
  return rules;
}

const MaskRuleType& FindRule(const std::string& name) {
  std::vector<std::string> known;
  for (const MaskRuleType* rule : AllRules()) {
    if (rule->name() == name) return *rule;
    known.push_back(rule->name());
  }
  throw Error(ErrorCode::kInvalidArgument, UnknownName("mask rule", name, known));
}

}  // namespace dbsp::planner
