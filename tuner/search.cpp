// SPDX-License-Identifier: Apache-2.0
#include "tuner/search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/phased_jobs.h"
#include "tuner/cell_scores.h"

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

/// State of one search, shared by its threads.
class Searcher {
 public:
  Searcher(planner::MaskSource& masks,
           CandidateScorer& scorer,
           const SearchOptions& options,
           std::size_t cells)
      : masks_(masks), scorer_(scorer), options_(options), entry_of_cell_(cells, 0) {}

  /// Finds the class of a cell. Returns the job that scores all candidates on it when the class is
  /// new.
  std::unique_ptr<PhasedJob> Visit(std::size_t index, int step, int layer) {
    const std::string key = masks_.KeyAt(step, layer);
    int entry = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto found = key.empty() ? entry_of_key_.end() : entry_of_key_.find(key);
      if (found != entry_of_key_.end()) {
        entry_of_cell_[index] = found->second;
        CountCell();
        return nullptr;
      }
      entry = static_cast<int>(class_of_entry_.size());
      class_of_entry_.push_back(-1);
      entry_of_cell_[index] = entry;
      if (!key.empty()) entry_of_key_[key] = entry;
    }
    LayerMasks masks = masks_.At(step, layer);
    const std::string content = ContentKey(masks);
    const std::lock_guard lock(mutex_);
    const auto [found, fresh] =
        class_of_content_.try_emplace(content, static_cast<int>(scores_.size()));
    class_of_entry_[entry] = found->second;
    if (!fresh) {
      CountCell();
      return nullptr;
    }
    const std::size_t cls = scores_.size();
    scores_.emplace_back();
    return scorer_.MakeJob(std::move(masks), [this, cls](std::vector<Score> scores) {
      const std::lock_guard done(mutex_);
      scores_[cls] = std::move(scores);
      CountCell();
    });
  }

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
  /// requires mutex_ held
  void CountCell() {
    ++done_;
    if (options_.on_cell) options_.on_cell(done_);
  }

  planner::MaskSource& masks_;
  CandidateScorer& scorer_;
  const SearchOptions& options_;
  std::mutex mutex_;
  std::int64_t done_ = 0;
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
  CandidateScorer scorer(result.shape, costs, candidates, options);
  Searcher searcher(masks, scorer, options, result.cells.size());
  RunJobs(static_cast<int>(result.cells.size()), options.threads, [&](int i) {
    return searcher.Visit(static_cast<std::size_t>(i), result.cells[i].step, result.cells[i].layer);
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
