// SPDX-License-Identifier: Apache-2.0
#include "replay/pass_groups.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "core/error.h"
#include "replay/abortable_barrier.h"

namespace dbsp::replay {
namespace {

/// Observer that receives the plan's rank numbers instead of the group's.
Observer InPlan(const Observer& observer, int first_rank) {
  if (!observer || first_rank == 0) return observer;
  return [&observer, first_rank](int rank, int step) { observer(first_rank + rank, step); };
}

}  // namespace

Cell OfPassGroup(const Cell& cell, int group) {
  Cell own = cell;
  own.key.pass = group;
  return own;
}

PassGroups::PassGroups(std::span<const Cell> cells,
                       const ExecutionTarget& target,
                       bool verify,
                       const VerifyOptions& limits,
                       std::optional<std::int64_t> memory_limit)
    : cells_(cells) {
  for (const Cell& cell : cells) {
    runners_.push_back(MakeRunner(cell, target, verify, limits, memory_limit));
  }
}

std::vector<Timeline> PassGroups::Run(std::span<const Segment> predicted,
                                      const Repeats& repeats,
                                      const Observer& observer) {
  std::vector<std::vector<Timeline>> of_group = RunAll(predicted, repeats, observer);
  std::vector<Timeline> runs(of_group.front().size());
  for (std::size_t g = 0; g < of_group.size(); ++g) {
    DBSP_CHECK(of_group[g].size() == runs.size());
    for (std::size_t run = 0; run < runs.size(); ++run) {
      for (Segment& segment : of_group[g][run].segments) segment.rank += cells_[g].first_rank();
      AddTimeline(std::move(of_group[g][run]), runs[run]);
    }
  }
  return runs;
}

std::vector<std::vector<Timeline>> PassGroups::RunAll(std::span<const Segment> predicted,
                                                      const Repeats& repeats,
                                                      const Observer& observer) {
  const auto groups = static_cast<int>(runners_.size());
  std::vector<std::vector<Timeline>> timelines(runners_.size());
  if (groups == 1) {
    timelines[0] = runners_[0]->Run(predicted, repeats, InPlan(observer, cells_[0].first_rank()));
    return timelines;
  }
  AbortableBarrier barrier(groups);
  Repeats together = repeats;
  together.barrier = &barrier;
  std::vector<std::exception_ptr> failures(runners_.size());
  const auto run = [&](int group) noexcept {
    const auto g = static_cast<std::size_t>(group);
    try {
      timelines[g] =
          runners_[g]->Run(predicted, together, InPlan(observer, cells_[g].first_rank()));
    } catch (const std::exception& error) {
      failures[g] = std::current_exception();
      barrier.Abort(group, error.what());
    } catch (...) {
      failures[g] = std::current_exception();
      barrier.Abort(group, "an exception of unknown type");
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(runners_.size());
  try {
    for (int group = 0; group < groups; ++group) threads.emplace_back(run, group);
  } catch (const std::system_error& error) {
    barrier.Abort(static_cast<int>(threads.size()), error.what());
    for (std::thread& thread : threads) thread.join();
    Fail(ErrorCode::kUnavailable, "cannot start {} threads: {}", groups, error.what());
  }
  for (std::thread& thread : threads) thread.join();
  // The failure of the first group made the others fail. Its error has the cause.
  if (const auto first = barrier.failed()) {
    std::rethrow_exception(failures[*first]);
  }
  return timelines;
}

std::int64_t PassGroups::memory_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& runner : runners_) bytes += runner->memory_bytes();
  return bytes;
}

void AddTimeline(Timeline timeline, Timeline& sum) {
  sum.makespan_ns = std::max(sum.makespan_ns, timeline.makespan_ns);
  std::move(timeline.segments.begin(), timeline.segments.end(), std::back_inserter(sum.segments));
}

void AddVerified(const VerifyResult& result, VerifyResult& sum) {
  if (sum.passed && !result.passed) sum.problem = result.problem;
  sum.passed = sum.passed && result.passed;
  sum.relative_error = std::max(sum.relative_error, result.relative_error);
  sum.max_abs_error = std::max(sum.max_abs_error, result.max_abs_error);
  sum.lse_error = std::max(sum.lse_error, result.lse_error);
  sum.lse_checked = sum.lse_checked && result.lse_checked;
  sum.rows_checked += result.rows_checked;
  sum.rows += result.rows;
  if (result.unsplit_error) {
    sum.unsplit_error = std::max(sum.unsplit_error.value_or(0), *result.unsplit_error);
  }
  if (result.unsplit_lse_error) {
    sum.unsplit_lse_error = std::max(sum.unsplit_lse_error.value_or(0), *result.unsplit_lse_error);
  }
}

}  // namespace dbsp::replay
