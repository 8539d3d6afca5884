// SPDX-License-Identifier: Apache-2.0
#include "tuner/search.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/parallel_for.h"
#include "planner/placement/move_price.h"
#include "planner/placement/placed.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/moved_bytes.h"
#include "planner/timeline/peak_bytes.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/token_layout.h"
#include "tuner/checked_costs.h"
#include "tuner/kernel_selection.h"

namespace dbsp::tuner {
namespace {

/// A text that is equal for two layers exactly when the masks of all heads are equal.
std::string ContentKey(const LayerMasks& masks) {
  std::map<const BlockMask*, std::string> hashes;
  std::string key;
  for (const BlockMaskPtr& mask : masks.head) {
    std::string& hash = hashes[mask.get()];
    if (hash.empty()) {
      const auto words = mask->words();
      hash =
          fmt::format("{}x{}:{}",
                      mask->rows(),
                      mask->cols(),
                      HashBytes({reinterpret_cast<const char*>(words.data()), words.size_bytes()}));
    }
    key += hash + ";";
  }
  return key;
}

Score ScoreOf(const Prediction& prediction, const planner::BarrierLoad& load) {
  Score score;
  score.total_ns = prediction.total_ns;
  score.low_ns = prediction.low_ns;
  score.high_ns = prediction.high_ns;
  score.compute_ns = prediction.compute_ns;
  score.exchange_ns = prediction.exchange_ns;
  score.lower_bound_ns = prediction.lower_bound_ns;
  score.bytes_per_rank = prediction.bytes_per_rank;
  score.moved_fraction = prediction.moved_fraction;
  score.rho_barrier = prediction.rho_barrier;
  score.load = load;
  return score;
}

/// True when two strategies run the same operations on equal partitions of the same ranks. Families
/// differ in their partitions only, with one exception: dbsp with split heads and split blocks
/// exchanges blocks in an additional round (planner/timeline/routes.h).
bool SameOperations(const Strategy& a, const Strategy& b) {
  const bool additional_round = a.ulysses_degree > 1 && a.ring_degree > 1 &&
                                (a.family == Family::kDbsp) != (b.family == Family::kDbsp);
  // The order of the tokens does not change the work or the bytes of unsplit heads.
  const bool order = a.layout == b.layout || a.exchange == Exchange::kAllToAll;
  return !additional_round && order && a.ulysses_degree == b.ulysses_degree &&
         a.ring_degree == b.ring_degree && a.exchange == b.exchange && a.chunks == b.chunks;
}

/// Smallest gain, as a part of the predicted time, for which a partition balances the cost of rows
/// together with that of blocks. For smaller gains it balances active blocks only, because
/// contracts and the imbalance ratio count active blocks.
constexpr double kMinRowGain = 0.01;

/// Imbalance of the ranks' loads when an active row counts as `row_price` blocks: the largest load
/// over the mean, minus 1. 0 without a row price.
double ImbalanceWithRows(const LayerMasks& masks, const Partition& partition, double row_price) {
  if (row_price <= 0) return 0;
  const std::vector<std::int64_t> load =
      planner::RankLoads(planner::RowLoadsOf(masks, row_price), partition);
  const auto sum = static_cast<double>(std::accumulate(load.begin(), load.end(), std::int64_t{0}));
  const auto most = static_cast<double>(*std::ranges::max_element(load));
  return sum > 0 ? most * partition.ranks / sum - 1 : 0;
}

/// Ranks of a pass group that own the tokens.
HomeLayout HomeOf(const AttentionShape& shape,
                  const Strategy& strategy,
                  const SearchOptions& options) {
  return MakeHomeLayout(shape, PassRanks(options.ranks, strategy.cfg_degree));
}

/// State of one search, shared by its threads.
class Searcher {
 public:
  Searcher(const Workload& workload,
           planner::MaskSource& masks,
           const planner::Costs& costs,
           std::vector<Candidate>& candidates,
           const SearchOptions& options)
      : shape_(workload.shape()),
        masks_(masks),
        costs_(costs),
        candidates_(candidates),
        options_(options),
        excluded_(candidates.size()) {
    for (const Candidate& candidate : candidates) {
      const TokenDistribution distribution = DistributionOf(candidate.strategy);
      const auto same = std::ranges::find(homes_, distribution, &DistributionHome::distribution);
      home_of_.push_back(static_cast<std::size_t>(same - homes_.begin()));
      if (same != homes_.end()) continue;
      homes_.push_back({distribution, HomeOf(shape_, candidate.strategy, options)});
    }
  }

  /// Finds the class of a cell. Scores all candidates on it when the class is new.
  void Visit(std::size_t index, int step, int layer) {
    const std::string key = masks_.KeyAt(step, layer);
    int entry = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto found = key.empty() ? entry_of_key_.end() : entry_of_key_.find(key);
      if (found != entry_of_key_.end()) {
        entry_of_cell_[index] = found->second;
        return;
      }
      entry = static_cast<int>(class_of_entry_.size());
      class_of_entry_.push_back(-1);
      entry_of_cell_[index] = entry;
      if (!key.empty()) entry_of_key_[key] = entry;
    }
    const LayerMasks masks = masks_.At(step, layer);
    const std::string content = ContentKey(masks);
    int cls = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto [found, fresh] =
          class_of_content_.try_emplace(content, static_cast<int>(scores_.size()));
      class_of_entry_[entry] = found->second;
      if (!fresh) return;
      cls = found->second;
      scores_.emplace_back();
    }
    std::vector<Score> scores = ScoreAll(masks);
    const std::lock_guard lock(mutex_);
    scores_[cls] = std::move(scores);
  }

  void Reserve(std::size_t cells) { entry_of_cell_.assign(cells, 0); }

  /// Numbers the classes by their first cells, which does not depend on the order of the threads.
  void Collect(SearchResult& result) {
    std::vector<int> renumbered(scores_.size(), -1);
    for (std::size_t i = 0; i < result.cells.size(); ++i) {
      const auto entry = static_cast<std::size_t>(entry_of_cell_[i]);
      const auto cls = static_cast<std::size_t>(class_of_entry_[entry]);
      SearchCell& cell = result.cells[i];
      if (renumbered[cls] < 0) {
        renumbered[cls] = static_cast<int>(result.classes.size());
        result.classes.push_back({cell.step, cell.layer, 0, std::move(scores_[cls]), {}});
      }
      cell.cls = renumbered[cls];
      ++result.classes[cell.cls].cells;
    }
  }

 private:
  /// A token distribution of some candidate, and the ranks that own the tokens under it.
  struct DistributionHome {
    TokenDistribution distribution;
    HomeLayout home;
  };
  /// Masks of one layer with their rows and columns in the order of one token layout.
  struct PermutedMasks {
    explicit PermutedMasks(LayerMasks permuted) : masks(std::move(permuted)) {}
    const LayerMasks masks;
    planner::MaskSums sums{masks};
  };
  /// Masks of one layer under one token distribution, and the bytes that every placement of them
  /// has to move between ranks.
  struct LayoutContext {
    PermutedMasks* permuted = nullptr;
    std::int64_t must_move = 0;
  };

  /// Returns one context per entry of homes_. Distributions of the same layout share its masks,
  /// which `permuted` owns, by layout.
  std::vector<LayoutContext> MakeContexts(
      const LayerMasks& masks, std::map<int, std::unique_ptr<PermutedMasks>>& permuted) const {
    std::vector<LayoutContext> contexts;
    for (const auto& [distribution, home] : homes_) {
      std::unique_ptr<PermutedMasks>& own = permuted[distribution.layout];
      if (!own) {
        const auto& layout = options_.layouts[distribution.layout];
        own = std::make_unique<PermutedMasks>(planner::Permuted(masks, layout, shape_));
      }
      contexts.push_back(
          {own.get(), planner::MustMoveBytes(shape_, own->masks, home, options_.dtype)});
    }
    return contexts;
  }

  std::vector<Score> ScoreAll(const LayerMasks& given) {
    std::vector<Score> scores(candidates_.size());
    std::vector<Partition> partitions(candidates_.size());
    std::map<int, std::unique_ptr<PermutedMasks>> permuted;
    const std::vector<LayoutContext> contexts = MakeContexts(given, permuted);
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (excluded_[i]) continue;
      try {
        scores[i] = ScoreOne(contexts[home_of_[i]], i, scores, partitions);
      } catch (const Error& error) {
        const std::lock_guard lock(mutex_);
        if (!excluded_[i].exchange(true)) candidates_[i].excluded = error.what();
      }
    }
    return scores;
  }

  Score ScoreOne(const LayoutContext& context,
                 std::size_t i,
                 const std::vector<Score>& scores,
                 std::vector<Partition>& partitions) {
    const LayerMasks& masks = context.permuted->masks;
    const Strategy& strategy = candidates_[i].strategy;
    const HomeLayout& home = homes_[home_of_[i]].home;
    const auto start = std::chrono::steady_clock::now();
    partitions[i] = PartitionOf(shape_, masks, strategy, costs_, options_, &context.permuted->sums);
    const std::chrono::duration<double, std::micro> plan_time =
        std::chrono::steady_clock::now() - start;
    Score score;
    int same_as = static_cast<int>(i);
    for (std::size_t j = 0; j < i && same_as == static_cast<int>(i); ++j) {
      const Strategy& other = candidates_[j].strategy;
      if (excluded_[j] || !SameOperations(other, strategy) || !(partitions[j] == partitions[i])) {
        continue;
      }
      score = scores[j];
      same_as = scores[j].same_as;
    }
    if (same_as == static_cast<int>(i)) {
      auto work = planner::BuildLayerVolumes(
          shape_, masks, partitions[i], strategy, home, options_.dtype, context.must_move);
      if (const std::int64_t cap = options_.partition.memory_per_rank; cap > 0) {
        const Status memory = planner::CheckMemory(work, cap);
        if (!memory.ok()) Fail(ErrorCode::kNotFound, "--memory-per-rank: {}", memory.message());
      }
      const int kernel =
          options_.kernels.empty() ? 0 : ChooseKernel(work, options_.kernels, costs_);
      score = ScoreOf(planner::Predict(work, shape_, options_.dtype, costs_),
                      planner::BarrierLoadOf(work));
      score.kernel = kernel;
    }
    score.same_as = same_as;
    score.plan_us = plan_time.count();
    return score;
  }

  const AttentionShape shape_;
  planner::MaskSource& masks_;
  const CheckedCosts costs_;
  std::vector<Candidate>& candidates_;
  const SearchOptions& options_;
  std::vector<DistributionHome> homes_;  ///< distinct distributions, by first candidate
  std::vector<std::size_t> home_of_;  ///< [candidate] index into homes_
  std::vector<std::atomic<bool>> excluded_;  ///< [candidate], set with mutex_ held
  std::mutex mutex_;
  std::map<std::string, int> entry_of_key_;
  std::vector<int> entry_of_cell_;
  std::vector<int> class_of_entry_;
  std::map<std::string, int> class_of_content_;
  std::vector<std::vector<Score>> scores_;  ///< [class in the order found]
};

/// Chooses the token distribution of the plan, its best uniform strategy and the strategy of every
/// class.
void ChooseAll(const std::vector<std::vector<Score>>& scores,
               const std::vector<std::int64_t>& cells,
               SearchResult& result) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<TokenDistribution> tried;
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const TokenDistribution distribution = DistributionOf(result.candidates[i].strategy);
    if (std::ranges::find(tried, distribution) != tried.end()) continue;
    tried.push_back(distribution);
    const std::vector<Candidate> own = WithDistribution(result.candidates, distribution);
    if (std::ranges::none_of(own, [](const Candidate& c) { return c.excluded.empty(); })) continue;
    const int uniform = BestUniform(own, scores, cells);
    std::vector<Choice> choices;
    double sum = 0;
    for (std::size_t c = 0; c < scores.size(); ++c) {
      choices.push_back(Choose(own, scores[c], uniform));
      const Score& chosen = scores[c][choices.back().chosen];
      sum += static_cast<double>(chosen.total_ns) * static_cast<double>(cells[c]);
    }
    sum *= result.WavesOf(i);
    if (sum >= least) continue;
    least = sum;
    result.distribution = distribution;
    result.uniform = uniform;
    for (std::size_t c = 0; c < choices.size(); ++c) result.classes[c].choice = choices[c];
  }
  if (least == std::numeric_limits<double>::infinity()) {
    (void)BestUniform(result.candidates, scores, cells);  // throws the reason of the exclusions
  }
}

}  // namespace

Partition PartitionOf(const AttentionShape& shape,
                      const LayerMasks& masks,
                      const Strategy& strategy,
                      const planner::Costs& costs,
                      const SearchOptions& options,
                      planner::MaskSums* sums) {
  const HomeLayout home = HomeOf(shape, strategy, options);
  planner::PartitionOptions partition = options.partition;
  partition.sums = sums;
  partition.dtype = options.dtype;
  partition.chunks = strategy.chunks;
  if (strategy.family == Family::kBalanced && strategy.ring_degree > 1) {
    partition.move_price =
        planner::MovePrice(shape, masks, strategy, home.ranks(), options.dtype, costs);
  }
  const auto make = [&] {
    Partition made = planner::MakePartition(strategy.family,
                                            shape,
                                            masks,
                                            home.ranks(),
                                            strategy.ulysses_degree,
                                            strategy.ring_degree,
                                            home,
                                            partition);
    if (strategy.exchange != Exchange::kRing) {  // only a ring assigns columns to owners
      for (HeadGroup& group : made.groups) group.col_owner.clear();
    }
    return made;
  };
  Partition made = make();
  if (strategy.family != Family::kBalanced && strategy.family != Family::kPlaced) return made;
  partition.row_price = planner::RowPrice(shape, masks, strategy, home.ranks(), costs);
  if (ImbalanceWithRows(masks, made, partition.row_price) < kMinRowGain) return made;
  Partition weighted;
  try {
    weighted = make();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return made;  // the weighted partition exceeds the memory cap
  }
  const auto total_ns = [&](const Partition& of) {
    const auto work =
        planner::BuildLayerVolumes(shape, masks, of, strategy, home, options.dtype, 0);
    return static_cast<double>(planner::Predict(work, shape, options.dtype, costs).total_ns);
  };
  return total_ns(weighted) < (1 - kMinRowGain) * total_ns(made) ? weighted : made;
}

LayerMasks InLayoutOrder(const AttentionShape& shape,
                         const LayerMasks& masks,
                         const Strategy& strategy,
                         const SearchOptions& options) {
  return planner::Permuted(masks, options.layouts.at(strategy.layout), shape);
}

Prediction PredictOn(const AttentionShape& shape,
                     const LayerMasks& masks,
                     const Partition& partition,
                     const Strategy& strategy,
                     const planner::Costs& costs,
                     const SearchOptions& options) {
  const HomeLayout home = HomeOf(shape, strategy, options);
  const auto work = planner::BuildLayerVolumes(shape,
                                               InLayoutOrder(shape, masks, strategy, options),
                                               partition,
                                               strategy,
                                               home,
                                               options.dtype);
  return planner::Predict(work, shape, options.dtype, CheckedCosts(costs));
}

CellPlan MakeCellPlan(const AttentionShape& shape,
                      const LayerMasks& masks,
                      const Strategy& strategy,
                      const planner::Costs& costs,
                      const SearchOptions& options) {
  const HomeLayout home = HomeOf(shape, strategy, options);
  CellPlan plan;
  const LayerMasks permuted = InLayoutOrder(shape, masks, strategy, options);
  plan.partition = PartitionOf(shape, permuted, strategy, CheckedCosts(costs), options);
  const CheckedCosts checked(costs);
  auto work =
      planner::BuildLayerVolumes(shape, permuted, plan.partition, strategy, home, options.dtype);
  plan.kernel = options.kernels.empty()
                    ? strategy.kernel
                    : options.kernels[ChooseKernel(work, options.kernels, checked)];
  plan.prediction = planner::Predict(work, shape, options.dtype, checked);
  return plan;
}

SearchResult Search(const Workload& workload,
                    planner::MaskSource& masks,
                    const planner::Costs& costs,
                    std::vector<Candidate> candidates,
                    const SearchOptions& options) {
  SearchResult result;
  result.shape = workload.shape();
  result.ranks = options.ranks;
  result.passes = workload.model.passes;
  for (int step = options.steps.begin; step < options.steps.end; ++step) {
    for (int layer = options.layers.begin; layer < options.layers.end; ++layer) {
      result.cells.push_back({step, layer, 0});
    }
  }
  DBSP_CHECK(!result.cells.empty());
  Searcher searcher(workload, masks, costs, candidates, options);
  searcher.Reserve(result.cells.size());
  ParallelFor(static_cast<int>(result.cells.size()), options.threads, [&](int i) {
    searcher.Visit(i, result.cells[i].step, result.cells[i].layer);
  });
  searcher.Collect(result);
  result.candidates = std::move(candidates);
  result.kernels = options.kernels;

  std::vector<std::vector<Score>> scores;
  std::vector<std::int64_t> cells;
  for (const CellClass& cls : result.classes) {
    scores.push_back(cls.scores);
    cells.push_back(cls.cells);
  }
  ChooseAll(scores, cells, result);
  return result;
}

}  // namespace dbsp::tuner
