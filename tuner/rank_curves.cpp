// SPDX-License-Identifier: Apache-2.0
#include "tuner/rank_curves.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <utility>

namespace dbsp::tuner {
namespace {

int FewestHosts(int ranks, int ranks_per_node) {
  return (ranks + ranks_per_node - 1) / ranks_per_node;
}

std::string OnHosts(int hosts) {
  return hosts == 1 ? std::string() : fmt::format(" on {} hosts", hosts);
}

}  // namespace

void RankSet::Add(int ranks) const {
  const auto word = static_cast<std::size_t>(ranks / kBits);
  if (ranks < 0 || word >= words_.size()) return;
  const std::uint64_t bit = std::uint64_t{1} << (ranks % kBits);
  if ((words_[word].load(std::memory_order_relaxed) & bit) == 0) words_[word].fetch_or(bit);
}

std::vector<int> RankSet::Sorted() const {
  std::vector<int> counts;
  for (int ranks = 0; ranks < static_cast<int>(words_.size()) * kBits; ++ranks) {
    if (words_[ranks / kBits].load() >> (ranks % kBits) & 1) counts.push_back(ranks);
  }
  return counts;
}

std::string ProfileCommand::For(const std::vector<int>& counts,
                                const std::set<int>& measured,
                                const std::string& suffix) const {
  std::set<int> runs;
  for (const int count : counts) runs.insert(measured.contains(count) ? ranks : count);
  if (!without_ranks || runs.empty()) return text + suffix;
  if (runs.size() == 1)
    return fmt::format("{} --ranks {}{}", *without_ranks, *runs.begin(), suffix);
  return fmt::format(
      "for n in {}; do {} --ranks $n{}; done", fmt::join(runs, " "), *without_ranks, suffix);
}

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
  curves.ranks_per_node = ranks_per_node;
  for (auto& [ranks, by_nodes] : points) {
    for (auto& [hosts, list] : by_nodes) {
      const bool taken = ranks_per_node == 0 ? hosts == by_nodes.begin()->first
                                             : hosts >= FewestHosts(ranks, ranks_per_node);
      if (taken) {
        curves.by_hosts[hosts].emplace(ranks, Curve(std::move(list)));
        curves.fewest.emplace(ranks, hosts);
      } else {
        remarks.push_back(fmt::format(
            "{} between {} ranks on {} hosts was left out; --ranks-per-node {} includes it",
            op,
            ranks,
            hosts,
            FewestHosts(ranks, hosts)));
      }
    }
  }
}

int HostsOf(std::span<const int> ranks, int ranks_per_node) {
  std::set<int> hosts;
  for (const int rank : ranks) hosts.insert(rank / ranks_per_node);
  return static_cast<int>(hosts.size());
}

int RankCurves::Hosts(std::span<const int> ranks) const {
  if (ranks_per_node > 0) return HostsOf(ranks, ranks_per_node);
  if (fewest.empty()) return 1;
  const auto above = fewest.lower_bound(static_cast<int>(ranks.size()));
  return above == fewest.end() ? fewest.rbegin()->second : above->second;
}

std::string Measured(const RankCurves& curves) {
  std::string text;
  for (const auto& [hosts, by_ranks] : curves.by_hosts) {
    for (const auto& [ranks, curve] : by_ranks) {
      text += fmt::format("{}{}{}", text.empty() ? "" : ", ", ranks, OnHosts(hosts));
    }
  }
  return text.empty() ? "none" : text;
}

std::string Describe(const RankCurves& curves) {
  if (curves.by_hosts.empty()) return fmt::format("{}: not measured", curves.op);
  std::string text = fmt::format("{}:", curves.op);
  for (const auto& [hosts, by_ranks] : curves.by_hosts) {
    for (const auto& [ranks, curve] : by_ranks) {
      text += fmt::format(" {} ranks{} {} sizes up to {:.1f} MB at {:.2f} GB/s;",
                          ranks,
                          OnHosts(hosts),
                          curve.points().size(),
                          curve.points().back().size / 1e6,
                          curve.best_rate());
    }
  }
  text.pop_back();
  return text;
}

}  // namespace dbsp::tuner
