// SPDX-License-Identifier: Apache-2.0
// The one notation of a strategy in tables, messages, files and reports. docs/glossary.md explains
// it. Nothing parses a name: files store the members of Strategy beside it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan.h"

namespace dbsp {

/// Exchange of a family's strategy unless another one is chosen: `needed` for placed, `ring` where
/// rows are divided, otherwise `alltoall`. A strategy's name does not repeat it.
[[nodiscard]] Exchange UsualExchange(Family family, int ring_degree);

/// "balanced C2 U4xR1, 2 chunks, layout strided:8": family, CFG degree above 1, Ulysses and ring
/// degree, an exchange that is not UsualExchange(), chunks above 1, and a token layout that is not
/// the given one. Family ulysses has no ring degree and family ring no Ulysses degree: "ulysses
/// U8", "ring R8". The kernel is not part of the name. requires `layout` is the name of the
/// strategy's token layout; it is not used where that is 0
[[nodiscard]] std::string NameOf(const Strategy& strategy, std::string_view layout);
/// The same for a strategy of the plan.
[[nodiscard]] std::string NameOf(const Strategy& strategy, const Plan& plan);

/// Distinct strategies when partitions are ignored. A plan may have hundreds of strategies that
/// differ in their partitions only.
struct StrategyTable {
  std::vector<Strategy> distinct;  ///< with partition set to 0
  std::vector<int> of;  ///< [Plan::strategies] index into distinct
};
[[nodiscard]] StrategyTable MakeStrategyTable(const Plan& plan);

/// [distinct] names; ", kernel NAME" is added where strategies differ in their kernels only.
[[nodiscard]] std::vector<std::string> NamesOf(const StrategyTable& table, const Plan& plan);

struct StrategyUse {
  std::string name;
  std::int64_t cells = 0;
};
/// Strategies that cells of the plan have, those of most cells first.
[[nodiscard]] std::vector<StrategyUse> StrategiesInUse(const Plan& plan);

}  // namespace dbsp
