// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/rate_aware_simulator.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace dbsp::planner {

RateAwareSimulator::RateAwareSimulator(int ranks, std::size_t rounds, std::size_t steps)
    : of_component_(static_cast<std::size_t>(ranks), kNone),
      attention_(static_cast<std::size_t>(ranks), kNone),
      traffic_(static_cast<std::size_t>(ranks)) {
  // A round has a pack, an exchange, an unpack and their joins; a step has attention, a merge, a
  // hop and six joins. Growing the arrays would take longer than the simulation.
  const auto most = static_cast<std::size_t>(ranks) * (6 * rounds + 9 * steps);
  tasks_.reserve(most);
  entries_.reserve(2 * most);
  declared_.reserve(static_cast<std::size_t>(ranks) * 3 * (rounds + steps));
}

int RateAwareSimulator::Add(Kind kind, int rank, double work) {
  tasks_.push_back({.kind = kind, .rank = rank, .left = work});
  return static_cast<int>(tasks_.size()) - 1;
}

int RateAwareSimulator::AddTraffic(int rank, double work, const OverlapSlowdown& slowdown) {
  const int task = Add(Kind::kTraffic, rank, work);
  if (slowdowns_.empty() || slowdowns_.back() != slowdown) slowdowns_.push_back(slowdown);
  tasks_.back().slowdown = static_cast<int>(slowdowns_.size()) - 1;
  return task;
}

void RateAwareSimulator::Append(int& list, int value) {
  entries_.push_back({value, list});
  list = static_cast<int>(entries_.size()) - 1;
}

void RateAwareSimulator::After(int task, EventId start) {
  if (start == kStart) return;
  Append(tasks_[start].followers, task);
  ++tasks_[task].waits;
}

void RateAwareSimulator::Declare(const Segment& segment, double duration, int task) {
  // An idle step is no segment.
  if (duration != 0 || segment.bytes != 0) declared_.push_back({segment, task});
}

RateAwareSimulator::EventId RateAwareSimulator::Max(EventId a, EventId b) {
  if (a == b || b == kStart) return a;
  if (a == kStart) return b;
  const int join = Add(Kind::kJoin, 0, 0);
  After(join, a);
  After(join, b);
  return join;
}

RateAwareSimulator::EventId RateAwareSimulator::Run(const Segment& segment,
                                                    double duration,
                                                    EventId start) {
  const bool attention = segment.kind == SegmentKind::kAttention;
  const int task = Add(attention ? Kind::kAttention : Kind::kOther, segment.rank, duration);
  After(task, start);
  Declare(segment, duration, task);
  return task;
}

RateAwareSimulator::EventId RateAwareSimulator::Exchange(const Segment& segment,
                                                         double duration,
                                                         EventId start,
                                                         const OverlapSlowdown& slowdown,
                                                         int component) {
  int& task = of_component_[component];
  if (task < 0) {
    task = AddTraffic(segment.rank, 0, slowdown);
    After(task, start);
  }
  Task& shared = tasks_[task];
  shared.left = std::max(shared.left, duration);
  Append(shared.ranks, segment.rank);
  Declare(segment, duration, task);
  return task;
}

RateAwareSimulator::EventId RateAwareSimulator::Hop(const Segment& segment,
                                                    double duration,
                                                    EventId start,
                                                    const OverlapSlowdown& slowdown,
                                                    int sender) {
  const int task = AddTraffic(segment.rank, duration, slowdown);
  Append(tasks_.back().ranks, segment.rank);
  if (sender != segment.rank) Append(tasks_.back().ranks, sender);
  After(task, start);
  Declare(segment, duration, task);
  return task;
}

void RateAwareSimulator::NextRound() {
  std::fill(of_component_.begin(), of_component_.end(), kNone);
}

void RateAwareSimulator::SetFactor(int index, double factor, double now) {
  Task& task = tasks_[index];
  // A task that was never slowed keeps start + duration to the last bit.
  if (factor == task.factor) return;
  task.left = std::max(0.0, task.left - (now - task.since) / task.factor);
  task.since = now;
  task.factor = factor;
  task.end = now + task.left * factor;
  ends_.push_back({task.end, index});
  std::push_heap(ends_.begin(), ends_.end());
}

/// Updates the rates of the tasks on a rank after its attention or its traffic began or ended.
void RateAwareSimulator::UpdateRates(int rank, double now) {
  const int attention = attention_[rank];
  double most = 1;
  for (const int index : traffic_[rank]) {
    const Task& traffic = tasks_[index];
    const OverlapSlowdown& slowdown = slowdowns_[traffic.slowdown];
    most = std::max(most, slowdown.attention);
    SetFactor(index, traffic.attending > 0 ? slowdown.exchange : 1.0, now);
  }
  if (attention >= 0) SetFactor(attention, most, now);
}

void RateAwareSimulator::Begin(int index, double now) {
  Task& task = tasks_[index];
  task.start = task.since = now;
  task.end = now + task.left;
  if (task.left == 0) {
    completed_.emplace_back(index, now);
    return;
  }
  task.running = true;
  ends_.push_back({task.end, index});
  std::push_heap(ends_.begin(), ends_.end());
  if (task.kind == Kind::kAttention) {
    attention_[task.rank] = index;
    for (const int traffic : traffic_[task.rank]) {
      ++tasks_[traffic].attending;
    }
    UpdateRates(task.rank, now);
  } else if (task.kind == Kind::kTraffic) {
    ForEach(task.ranks, [&](int rank) {
      traffic_[rank].push_back(index);
      task.attending += attention_[rank] >= 0 ? 1 : 0;
    });
    ForEach(task.ranks, [&](int rank) { UpdateRates(rank, now); });
  }
}

void RateAwareSimulator::Complete(int index, double now) {
  Task& task = tasks_[index];
  task.end = now;
  const bool ran = task.running;
  task.running = false;
  if (ran && task.kind == Kind::kAttention) {
    attention_[task.rank] = kNone;
    for (const int traffic : traffic_[task.rank]) {
      --tasks_[traffic].attending;
    }
    UpdateRates(task.rank, now);
  } else if (ran && task.kind == Kind::kTraffic) {
    ForEach(task.ranks, [&](int rank) {
      std::erase(traffic_[rank], index);
      UpdateRates(rank, now);
    });
  }
  ForEach(task.followers, [&](int follower) {
    if (--tasks_[follower].waits == 0) Begin(follower, now);
  });
}

void RateAwareSimulator::RunAll() {
  const auto complete_all = [&] {
    while (!completed_.empty()) {
      const auto [index, at] = completed_.back();
      completed_.pop_back();
      Complete(index, at);
    }
  };
  std::vector<int> first;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i].waits == 0) first.push_back(static_cast<int>(i));
  }
  for (const int index : first) Begin(index, 0);
  complete_all();
  while (!ends_.empty()) {
    std::pop_heap(ends_.begin(), ends_.end());
    const End next = ends_.back();
    ends_.pop_back();
    const Task& task = tasks_[next.task];
    if (!task.running || task.end != next.at) continue;  // ended already, or has a new end
    Complete(next.task, next.at);
    complete_all();
  }
}

Timeline RateAwareSimulator::Finish(const std::vector<EventId>& device,
                                    const std::vector<EventId>& link) {
  RunAll();
  Timeline timeline;
  timeline.segments.reserve(declared_.size());
  for (Declared& declared : declared_) {
    const Task& task = tasks_[declared.task];
    DBSP_CHECK(task.waits == 0);
    declared.segment.start_ns = std::llround(task.start);
    declared.segment.duration_ns = std::llround(task.end) - declared.segment.start_ns;
    timeline.segments.push_back(declared.segment);
  }
  for (const auto* events : {&device, &link}) {
    for (const EventId event : *events) {
      if (event == kStart) continue;
      timeline.makespan_ns =
          std::max<std::int64_t>(timeline.makespan_ns, std::llround(tasks_[event].end));
    }
  }
  return timeline;
}

}  // namespace dbsp::planner
