// SPDX-License-Identifier: Apache-2.0
#include "tuner/cell_scores.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "core/error.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/moved_bytes.h"
#include "planner/timeline/peak_bytes.h"
#include "planner/timeline/timeline.h"
#include "tuner/kernel_selection.h"

namespace dbsp::tuner {
namespace {

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

}  // namespace

CandidateScorer::CandidateScorer(const AttentionShape& shape,
                                 const planner::Costs& costs,
                                 std::vector<Candidate>& candidates,
                                 const SearchOptions& options)
    : shape_(shape),
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
    if (std::ranges::find(layouts_, distribution.layout) == layouts_.end()) {
      layouts_.push_back(distribution.layout);
    }
  }
}

void CandidateScorer::Exclude(std::size_t candidate, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!excluded_[candidate].exchange(true)) candidates_[candidate].excluded = reason;
}

/// Phases: masks in the order of every layout; partitions of all candidates, and the bytes that
/// every placement has to move; scores of the candidates whose work differs.
class CandidateScorer::Job : public PhasedJob {
 public:
  Job(CandidateScorer& scorer, LayerMasks given, Take take)
      : scorer_(scorer),
        given_(std::move(given)),
        take_(std::move(take)),
        layers_(scorer.layouts_.size()),
        must_move_(scorer.homes_.size()),
        partitions_(scorer.candidates_.size()),
        scores_(scorer.candidates_.size()),
        failures_(scorer.candidates_.size()) {}

  std::optional<int> Begin(int phase) override {
    switch (phase) {
      case 0:
        return static_cast<int>(layers_.size());
      case 1:
        return static_cast<int>(must_move_.size() + partitions_.size());
      case 2:
        FindEqualWork();
        return static_cast<int>(distinct_.size());
      default:
        CopyEqualScores();
        take_(std::move(scores_));
        return std::nullopt;
    }
  }

  void Run(int phase, int task) override {
    const auto index = static_cast<std::size_t>(task);
    if (phase == 0) {
      const TokenLayout& layout = scorer_.options_.layouts.at(scorer_.layouts_[index]);
      layers_[index] = std::make_unique<const OrderedLayer>(scorer_.shape_, given_, layout);
    } else if (phase == 1 && index < must_move_.size()) {
      must_move_[index] = planner::MustMoveBytes(
          scorer_.shape_, LayerOf(index).masks, scorer_.homes_[index].home, scorer_.options_.dtype);
    } else {
      const std::size_t candidate = phase == 1 ? index - must_move_.size() : distinct_[index];
      if (phase == 1 && scorer_.excluded_[candidate]) return;
      try {
        phase == 1 ? Place(candidate) : ScoreOne(candidate);
      } catch (const Error& error) {
        failures_[candidate] = error.what();
        scorer_.Exclude(candidate, error.what());
      }
    }
  }

 private:
  /// The masks of distribution `home` (index into homes_).
  [[nodiscard]] const OrderedLayer& LayerOf(std::size_t home) const {
    const auto at = std::ranges::find(scorer_.layouts_, scorer_.homes_[home].distribution.layout);
    return *layers_[static_cast<std::size_t>(at - scorer_.layouts_.begin())];
  }

  void Place(std::size_t candidate) {
    const OrderedLayer& layer = LayerOf(scorer_.home_of_[candidate]);
    const auto start = std::chrono::steady_clock::now();
    partitions_[candidate] = PartitionOf(scorer_.shape_,
                                         layer.masks,
                                         scorer_.candidates_[candidate].strategy,
                                         scorer_.costs_,
                                         scorer_.options_,
                                         &layer.counts);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    scores_[candidate].plan_us = time.count();
  }

  /// Finds the first candidate with the work of every candidate.
  void FindEqualWork() {
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      if (scorer_.excluded_[i]) continue;
      const auto equal = std::ranges::find_if(distinct_, [&](std::size_t j) {
        return SameOperations(scorer_.candidates_[j].strategy, scorer_.candidates_[i].strategy) &&
               partitions_[j] == partitions_[i];
      });
      const bool fresh = equal == distinct_.end();
      scores_[i].same_as = static_cast<int>(fresh ? i : *equal);
      if (fresh) distinct_.push_back(i);
    }
  }

  void ScoreOne(std::size_t candidate) {
    const std::size_t at = scorer_.home_of_[candidate];
    const OrderedLayer& layer = LayerOf(at);
    const SearchOptions& options = scorer_.options_;
    auto work = planner::BuildLayerVolumes(scorer_.shape_,
                                           layer.masks,
                                           partitions_[candidate],
                                           scorer_.candidates_[candidate].strategy,
                                           scorer_.homes_[at].home,
                                           options.dtype,
                                           must_move_[at],
                                           &layer.counts);
    if (const std::int64_t cap = options.partition.memory_per_rank; cap > 0) {
      const Status memory = planner::CheckMemory(work, cap);
      if (!memory.ok()) Fail(ErrorCode::kNotFound, "--memory-per-rank: {}", memory.message());
    }
    const int kernel = options.kernels.empty()
                           ? 0
                           : ChooseKernelFor(scorer_.candidates_[candidate].strategy,
                                             work,
                                             options.kernels,
                                             options.kernels_without_lse,
                                             scorer_.costs_);
    Score score =
        ScoreOf(planner::PredictTotals(work, scorer_.shape_, options.dtype, scorer_.costs_),
                planner::BarrierLoadOf(work));
    score.kernel = kernel;
    score.same_as = static_cast<int>(candidate);
    score.plan_us = scores_[candidate].plan_us;
    scores_[candidate] = score;
  }

  void CopyEqualScores() {
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      const auto same = static_cast<std::size_t>(scores_[i].same_as);
      if (scores_[i].same_as < 0 || same == i) continue;
      if (!failures_[same].empty()) {  // equal work fails for the same reason
        scorer_.Exclude(i, failures_[same]);
        continue;
      }
      const double plan_us = scores_[i].plan_us;
      scores_[i] = scores_[same];
      scores_[i].plan_us = plan_us;
    }
  }

  CandidateScorer& scorer_;
  const LayerMasks given_;
  const Take take_;
  std::vector<std::unique_ptr<const OrderedLayer>> layers_;  ///< [index into layouts_]
  std::vector<std::int64_t> must_move_;  ///< [index into homes_] bytes
  std::vector<Partition> partitions_;  ///< [candidate]
  std::vector<Score> scores_;  ///< [candidate]
  std::vector<std::string> failures_;  ///< [candidate] why it cannot run here, or empty
  std::vector<std::size_t> distinct_;  ///< candidates whose work differs
};

std::unique_ptr<PhasedJob> CandidateScorer::MakeJob(LayerMasks given, Take take) {
  return std::make_unique<Job>(*this, std::move(given), std::move(take));
}

}  // namespace dbsp::tuner
