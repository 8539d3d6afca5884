// SPDX-License-Identifier: Apache-2.0
#include "core/strategy_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

namespace dbsp {

Exchange UsualExchange(Family family, int ring_degree) {
  if (family == Family::kPlaced) return Exchange::kNeeded;
  return ring_degree == 1 ? Exchange::kAllToAll : Exchange::kRing;
}

std::string NameOf(const Strategy& strategy, std::string_view layout) {
  std::string name = NameOf(strategy.family);
  if (strategy.cfg_degree > 1) name += fmt::format(" C{}", strategy.cfg_degree);
  if (strategy.family == Family::kUlysses && strategy.ring_degree == 1) {
    name += fmt::format(" U{}", strategy.ulysses_degree);
  } else if (strategy.family == Family::kRing && strategy.ulysses_degree == 1) {
    name += fmt::format(" R{}", strategy.ring_degree);
  } else {
    name += fmt::format(" U{}xR{}", strategy.ulysses_degree, strategy.ring_degree);
  }
  if (strategy.exchange != UsualExchange(strategy.family, strategy.ring_degree)) {
    name += fmt::format(" {}", NameOf(strategy.exchange));
  }
  if (strategy.chunks > 1) name += fmt::format(", {} chunks", strategy.chunks);
  if (strategy.layout > 0) name += fmt::format(", layout {}", layout);
  return name;
}

std::string NameOf(const Strategy& strategy, const Plan& plan) {
  const auto layout = static_cast<std::size_t>(strategy.layout);
  return NameOf(strategy, layout < plan.layouts.size() ? plan.layouts[layout].name : "unknown");
}

StrategyTable MakeStrategyTable(const Plan& plan) {
  StrategyTable table;
  for (Strategy strategy : plan.strategies) {
    strategy.partition = 0;
    const auto found = std::ranges::find(table.distinct, strategy);
    table.of.push_back(static_cast<int>(found - table.distinct.begin()));
    if (found == table.distinct.end()) table.distinct.push_back(strategy);
  }
  return table;
}

std::vector<std::string> NamesOf(const StrategyTable& table, const Plan& plan) {
  std::vector<std::string> names;
  std::map<std::string, int> uses;
  for (const Strategy& strategy : table.distinct) {
    names.push_back(NameOf(strategy, plan));
    ++uses[names.back()];
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (uses[names[i]] == 1) continue;
    const std::string& kernel = table.distinct[i].kernel;
    names[i] += fmt::format(", kernel {}", kernel.empty() ? "default" : kernel);
  }
  return names;
}

std::vector<StrategyUse> StrategiesInUse(const Plan& plan) {
  const StrategyTable table = MakeStrategyTable(plan);
  std::vector<StrategyUse> uses;
  for (std::string& name : NamesOf(table, plan)) uses.push_back({std::move(name), 0});
  for (const PlanCell& cell : plan.cells) ++uses[table.of[cell.strategy]].cells;
  std::erase_if(uses, [](const StrategyUse& use) { return use.cells == 0; });
  std::ranges::stable_sort(uses, std::greater(), &StrategyUse::cells);
  return uses;
}

}  // namespace dbsp
