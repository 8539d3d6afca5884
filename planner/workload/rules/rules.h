// SPDX-License-Identifier: Apache-2.0
// All mask rules. planner/workload/rules/registry.cpp has their order.
#pragma once

#include "planner/workload/rules/rule.h"

namespace dbsp::planner {

[[nodiscard]] const MaskRuleType& ArrayRuleType();
[[nodiscard]] const MaskRuleType& DenseRuleType();
[[nodiscard]] const MaskRuleType& DensityRuleType();
[[nodiscard]] const MaskRuleType& FineRuleType();
[[nodiscard]] const MaskRuleType& RadialRuleType();
[[nodiscard]] const MaskRuleType& RandomRuleType();
[[nodiscard]] const MaskRuleType& StaRuleType();
[[nodiscard]] const MaskRuleType& Svg1RuleType();
[[nodiscard]] const MaskRuleType& VsaRuleType();

}  // namespace dbsp::planner
