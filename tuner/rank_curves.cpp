// SPDX-License-Identifier: Apache-2.0
#include "tuner/rank_curves.h"

#include <fmt/format.h>

#include <utility>

namespace dbsp::tuner {
namespace {

/// Hosts that `ranks` ranks shall be on, of those that were measured; 0 when they were not.
int NodesFor(int ranks,
             const std::map<int, std::vector<CurvePoint>>& by_nodes,
             int ranks_per_node) {
  if (ranks_per_node == 0) return by_nodes.begin()->first;
  const int nodes = (ranks + ranks_per_node - 1) / ranks_per_node;
  return by_nodes.contains(nodes) ? nodes : 0;
}

}  // namespace

void AddPoint(std::vector<CurvePoint>& points, std::int64_t size, const UsableTrial& trial) {
  if (size > 0) points.push_back({static_cast<double>(size), trial.ns, trial.spread});
}

void FillRankCurves(const TrialSelection& selection,
                    const std::string& op,
                    int ranks_per_node,
                    RankCurves& curves,
                    std::vector<std::string>& remarks) {
  std::map<int, std::map<int, std::vector<CurvePoint>>> points;  // by ranks and hosts
  for (const UsableTrial& trial : selection.trials) {
    const auto* config = std::get_if<ExchangeConfig>(&trial.trial->config);
    if (config == nullptr || config->op != op || config->ranks < 2) continue;
    if (config->bytes_per_rank <= 0) continue;
    AddPoint(points[config->ranks][config->nodes], config->bytes_per_rank, trial);
  }
  curves.op = op;
  for (auto& [ranks, by_nodes] : points) {
    const int nodes = NodesFor(ranks, by_nodes, ranks_per_node);
    for (auto& [measured, list] : by_nodes) {
      if (measured == nodes) {
        curves.by_ranks.emplace(ranks, Curve(std::move(list)));
        curves.nodes.emplace(ranks, nodes);
      } else {
        remarks.push_back(fmt::format(
            "{} between {} ranks on {} hosts was left out; --ranks-per-node {} takes it",
            op,
            ranks,
            measured,
            (ranks + measured - 1) / measured));
      }
    }
  }
}

std::vector<int> RankCounts(const RankCurves& curves) {
  std::vector<int> counts;
  for (const auto& [ranks, curve] : curves.by_ranks) counts.push_back(ranks);
  return counts;
}

std::string Describe(const RankCurves& curves) {
  if (curves.by_ranks.empty()) return fmt::format("{}: not measured", curves.op);
  std::string text = fmt::format("{}:", curves.op);
  for (const auto& [ranks, curve] : curves.by_ranks) {
    const int nodes = curves.nodes.at(ranks);
    text += fmt::format(" {} ranks{} {} sizes up to {:.1f} MB at {:.2f} GB/s;",
                        ranks,
                        nodes == 1 ? "" : fmt::format(" on {} hosts", nodes),
                        curve.points().size(),
                        curve.points().back().size / 1e6,
                        curve.best_rate());
  }
  text.pop_back();
  return text;
}

}  // namespace dbsp::tuner
