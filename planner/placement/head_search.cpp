// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_search.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
#include <tuple>

#include "planner/placement/head_balance.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::planner {
namespace {

/// Parts with more heads than this exchange single heads only, because the number of pairs is
/// quadratic.
constexpr std::size_t kPairsUpTo = 24;
/// Random swaps of one restart.
constexpr int kSwapsPerHeadKick = 3;
/// Consecutive restarts without gain after which the search ends: heads of few different weights
/// reach their best early.
constexpr int kIdleKicks = 10;

/// None, one or two heads of a part.
struct Bundle {
  std::int64_t weight = 0;
  int heads = 0;
  std::size_t first = 0;
  std::size_t second = 0;
};

/// Bundles that a part can give away, by number of heads, each list in ascending weight.
struct Offers {
  std::array<std::vector<Bundle>, 3> of;
  bool made = false;  ///< true if the lists are up to date
};

class Descent {
 public:
  Descent(std::span<const std::int64_t> weights, int parts, int most)
      : weights_(weights), parts_(static_cast<std::size_t>(parts)), most_(most) {}

  void Start(const std::vector<int>& owner) {
    owner_ = owner;
    load_.assign(parts_, 0);
    members_.assign(parts_, {});
    offers_.resize(parts_);
    for (Offers& offers : offers_) offers.made = false;
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
    for (int n = 0; n < kSwapsPerHeadKick; ++n) {
      const std::size_t a = prng.Below(owner_.size());
      const std::size_t b = prng.Below(owner_.size());
      const auto part = static_cast<std::size_t>(owner_[a]);
      const auto other = static_cast<std::size_t>(owner_[b]);
      if (part == other) continue;
      Take(a, part);
      Take(b, other);
      Put(a, other);
      Put(b, part);
    }
  }
  [[nodiscard]] std::int64_t Heaviest() const { return *std::ranges::max_element(load_); }
  [[nodiscard]] const std::vector<int>& owner() const { return owner_; }

 private:
  struct Exchange {
    Bundle gone;
    Bundle come;
    std::size_t other;
    std::int64_t heavier;  ///< heavier of the two parts after the exchange
  };

  void Put(std::size_t head, std::size_t part) {
    owner_[head] = static_cast<int>(part);
    load_[part] += weights_[head];
    members_[part].push_back(head);
    offers_[part].made = false;
  }
  void Take(std::size_t head, std::size_t part) {
    load_[part] -= weights_[head];
    std::erase(members_[part], head);
    offers_[part].made = false;
  }
  const Offers& OffersOf(std::size_t part) {
    Offers& offers = offers_[part];
    if (offers.made) return offers;
    auto& [none, one, two] = offers.of;
    none.assign(1, {});
    one.clear();
    two.clear();
    const auto& heads = members_[part];
    for (std::size_t a = 0; a < heads.size(); ++a) {
      one.push_back({weights_[heads[a]], 1, heads[a], 0});
      if (heads.size() > kPairsUpTo) continue;
      for (std::size_t b = a + 1; b < heads.size(); ++b) {
        two.push_back({weights_[heads[a]] + weights_[heads[b]], 2, heads[a], heads[b]});
      }
    }
    // The sort is not stable, so head numbers order equal weights.
    const auto lighter = [](const Bundle& a, const Bundle& b) {
      return std::tie(a.weight, a.first, a.second) < std::tie(b.weight, b.first, b.second);
    };
    std::ranges::sort(one, lighter);
    std::ranges::sort(two, lighter);
    offers.made = true;
    return offers;
  }
  /// Updates `best` with the best exchange between `heavy` and `other`. The heavier part is
  /// lightest if half the difference of the loads moves, so both sorted lists are walked once, side
  /// by side.
  void Better(std::size_t heavy, std::size_t other, Exchange& best) {
    const auto held = static_cast<int>(members_[heavy].size());
    const auto other_held = static_cast<int>(members_[other].size());
    const std::int64_t half = (load_[heavy] - load_[other]) / 2;
    const Offers& theirs = OffersOf(other);
    for (const std::vector<Bundle>& gone : OffersOf(heavy).of) {
      for (const std::vector<Bundle>& come : theirs.of) {
        if (gone.empty() || come.empty()) continue;
        const int more = gone.front().heads - come.front().heads;
        if (other_held + more > most_ || held - more > most_) continue;
        std::size_t c = 0;
        for (const Bundle& give : gone) {
          const auto off = [&](std::size_t at) {
            return std::abs(give.weight - come[at].weight - half);
          };
          while (c + 1 < come.size() && off(c + 1) <= off(c)) ++c;
          const std::int64_t moved = give.weight - come[c].weight;
          const std::int64_t heavier = std::max(load_[heavy] - moved, load_[other] + moved);
          if (heavier < best.heavier) best = {give, come[c], other, heavier};
        }
      }
    }
  }
  void Apply(std::size_t heavy, const Exchange& exchange) {
    const auto move = [&](const Bundle& bundle, std::size_t from, std::size_t to) {
      for (int n = 0; n < bundle.heads; ++n) {
        const std::size_t head = n == 0 ? bundle.first : bundle.second;
        Take(head, from);
        Put(head, to);
      }
    };
    move(exchange.gone, heavy, exchange.other);
    move(exchange.come, exchange.other, heavy);
  }

  std::span<const std::int64_t> weights_;
  std::size_t parts_;
  int most_;
  std::vector<int> owner_;
  std::vector<std::int64_t> load_;
  std::vector<std::vector<std::size_t>> members_;
  std::vector<Offers> offers_;  ///< [part]
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
  int idle = 0;
  for (int kick = 0; kick < options.kicks && idle < kIdleKicks; ++kick, ++idle) {
    if (static_cast<double>(heaviest) <= enough) break;
    descent.Start(best);
    descent.Kick(prng);
    descent.Run();
    if (descent.Heaviest() < heaviest) {
      heaviest = descent.Heaviest();
      best = descent.owner();
      idle = -1;
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
