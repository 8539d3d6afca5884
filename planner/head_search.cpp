// SPDX-License-Identifier: Apache-2.0
#include "planner/head_search.h"

#include <algorithm>
#include <numeric>

#include "planner/head_balance.h"
#include "planner/rules/prng.h"

namespace dbsp::planner {
namespace {

/// Parts larger than this exchange single heads only: pairs of pairs grow with the fourth power.
constexpr std::size_t kPairsUpTo = 24;
/// Trials of one kick.
constexpr int kKickSwaps = 3;

/// None, one or two heads of a part.
struct Bundle {
  std::int64_t weight = 0;
  int heads = 0;
  std::size_t first = 0;
  std::size_t second = 0;
};

class Descent {
 public:
  Descent(std::span<const std::int64_t> weights, int parts, int most)
      : weights_(weights), parts_(static_cast<std::size_t>(parts)), most_(most) {}

  void Start(const std::vector<int>& owner) {
    owner_ = owner;
    load_.assign(parts_, 0);
    members_.assign(parts_, {});
    for (std::size_t h = 0; h < owner.size(); ++h) Put(h, static_cast<std::size_t>(owner[h]));
  }
  /// Exchanges between the heaviest part and any other until none lowers the heavier of the two.
  void Run() {
    while (true) {
      const auto heavy = static_cast<std::size_t>(std::ranges::max_element(load_) - load_.begin());
      Exchange best{{}, {}, heavy, load_[heavy]};
      for (std::size_t other = 0; other < parts_; ++other) {
        if (other != heavy) Better(heavy, other, best);
      }
      if (best.other == heavy) return;
      Apply(heavy, best);
    }
  }
  void Kick(Prng& prng) {
    for (int n = 0; n < kKickSwaps; ++n) {
      const std::size_t a = prng.Below(owner_.size());
      const std::size_t b = prng.Below(owner_.size());
      std::swap(owner_[a], owner_[b]);
    }
    Start(std::vector<int>(owner_));
  }
  [[nodiscard]] std::int64_t Heaviest() const { return *std::ranges::max_element(load_); }
  [[nodiscard]] const std::vector<int>& owner() const { return owner_; }

 private:
  struct Exchange {
    Bundle gone;
    Bundle come;
    std::size_t other;
    std::int64_t heavier;  ///< of the two parts afterwards
  };

  void Put(std::size_t head, std::size_t part) {
    owner_[head] = static_cast<int>(part);
    load_[part] += weights_[head];
    members_[part].push_back(head);
  }
  [[nodiscard]] std::vector<Bundle> BundlesOf(std::size_t part) const {
    const auto& heads = members_[part];
    std::vector<Bundle> out{{}};
    for (std::size_t a = 0; a < heads.size(); ++a) {
      out.push_back({weights_[heads[a]], 1, heads[a], 0});
      if (heads.size() > kPairsUpTo) continue;
      for (std::size_t b = a + 1; b < heads.size(); ++b) {
        out.push_back({weights_[heads[a]] + weights_[heads[b]], 2, heads[a], heads[b]});
      }
    }
    return out;
  }
  void Better(std::size_t heavy, std::size_t other, Exchange& best) const {
    const auto held = static_cast<int>(members_[heavy].size());
    const auto other_held = static_cast<int>(members_[other].size());
    const std::vector<Bundle> offers = BundlesOf(other);
    for (const Bundle& gone : BundlesOf(heavy)) {
      for (const Bundle& come : offers) {
        const int more = gone.heads - come.heads;
        if (other_held + more > most_ || held - more > most_) continue;
        const std::int64_t moved = gone.weight - come.weight;
        const std::int64_t heavier = std::max(load_[heavy] - moved, load_[other] + moved);
        if (heavier < best.heavier) best = {gone, come, other, heavier};
      }
    }
  }
  void Apply(std::size_t heavy, const Exchange& exchange) {
    const auto move = [&](const Bundle& bundle, std::size_t to) {
      if (bundle.heads > 0) owner_[bundle.first] = static_cast<int>(to);
      if (bundle.heads > 1) owner_[bundle.second] = static_cast<int>(to);
    };
    move(exchange.gone, exchange.other);
    move(exchange.come, heavy);
    Start(std::vector<int>(owner_));
  }

  std::span<const std::int64_t> weights_;
  std::size_t parts_;
  int most_;
  std::vector<int> owner_;
  std::vector<std::int64_t> load_;
  std::vector<std::vector<std::size_t>> members_;
};

std::vector<int> Search(std::span<const std::int64_t> weights,
                        int parts,
                        int most,
                        const std::vector<int>& start,
                        const HeadSearchOptions& options,
                        double enough) {
  Descent descent(weights, parts, most);
  descent.Start(start);
  descent.Run();
  std::vector<int> best = descent.owner();
  std::int64_t heaviest = descent.Heaviest();
  Prng prng{0x6865616473, weights.size(), static_cast<std::uint64_t>(parts)};
  for (int kick = 0; kick<options.kicks&& static_cast<double>(heaviest)> enough; ++kick) {
    descent.Start(best);
    descent.Kick(prng);
    descent.Run();
    if (descent.Heaviest() < heaviest) {
      heaviest = descent.Heaviest();
      best = descent.owner();
    }
  }
  return best;
}

}  // namespace

std::vector<int> SearchHeadOwners(std::span<const std::int64_t> weights,
                                  int parts,
                                  const HeadSearchOptions& options) {
  const std::vector<int> greedy = GreedyOwners(weights, parts);
  if (parts == 1 || weights.empty()) return greedy;
  const std::int64_t total = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
  const double mean = static_cast<double>(total) / parts;
  const double enough = options.good_enough * mean;
  const int even = (static_cast<int>(weights.size()) + parts - 1) / parts;
  std::vector<int> best = Search(weights, parts, even, greedy, options, enough);
  const double rho = MaxOverMean(weights, best, parts);
  if (options.extra_heads <= 0 || rho <= options.good_enough) return best;
  const std::vector<int> uneven =
      Search(weights, parts, even + options.extra_heads, best, options, enough);
  return MaxOverMean(weights, uneven, parts) < rho - options.uneven_gain ? uneven : best;
}

}  // namespace dbsp::planner
