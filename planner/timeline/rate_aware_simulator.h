// SPDX-License-Identifier: Apache-2.0
// Times of the segments of a layer in which attention and traffic slow each other down. Rates
// change while segments run, so the end of a segment is known only once all earlier events are.
// Users first declare all segments with the events that each waits for. Finish() then simulates
// them in the order of time. Internal to planner/; callers use timeline.h.
#pragma once

#include <cstdint>
#include <vector>

#include "core/strategy.h"
#include "planner/timeline/layer_durations.h"

namespace dbsp::planner {

/// An exchange or hop advances at rate 1 / slowdown.exchange while a rank at one of its ends
/// computes attention. Attention of a rank advances at rate 1 / slowdown.attention while its link
/// carries traffic; of several kinds of traffic the largest slowdown counts. Other segments run at
/// rate 1.
/// threads  one
class RateAwareSimulator {
 public:
  /// An event whose time is not known yet: the end of a declared segment, or the latest of several.
  using EventId = int;
  static constexpr EventId kStart = -1;

  /// Reserves room for the segments of a layer with `rounds` exchange rounds and `steps` ring
  /// steps.
  RateAwareSimulator(int ranks, std::size_t rounds, std::size_t steps);

  [[nodiscard]] EventId Max(EventId a, EventId b);
  /// Declares a segment. Its start and duration fields are not read.
  EventId Run(const Segment& segment, double duration, EventId start);
  /// Declares an exchange. Exchanges of one component between two NextRound() calls end together.
  EventId Exchange(const Segment& segment,
                   double duration,
                   EventId start,
                   const OverlapSlowdown& slowdown,
                   int component);
  /// Declares traffic on the links of segment.rank and `sender`.
  EventId Hop(const Segment& segment,
              double duration,
              EventId start,
              const OverlapSlowdown& slowdown,
              int sender);
  void NextRound();

  /// Simulates the declared segments; call once. The makespan is the latest of the given events.
  [[nodiscard]] Timeline Finish(const std::vector<EventId>& device,
                                const std::vector<EventId>& link);

 private:
  static constexpr int kNone = -1;
  enum class Kind : std::uint8_t { kJoin, kOther, kAttention, kTraffic };
  struct Task {
    Kind kind = Kind::kJoin;
    int rank = 0;
    double left = 0;  ///< nanoseconds of work at full rate
    double start = 0;
    double since = 0;  ///< time at which `left` and `factor` were last updated
    double factor = 1;
    double end = 0;
    int waits = 0;  ///< events that it still waits for
    bool running = false;
    int slowdown = kNone;  ///< of traffic: index in slowdowns_
    int attending = 0;  ///< of traffic: ranks at its ends that compute attention
    int followers = kNone;  ///< list of tasks that wait for it
    int ranks = kNone;  ///< of traffic: list of ranks whose links it uses
  };
  /// Lists are chains of entries in one array: a layer has thousands of short lists.
  struct Entry {
    int value = 0;
    int next = kNone;
  };
  struct Declared {
    Segment segment;
    int task = 0;
  };
  struct End {
    double at = 0;
    int task = 0;
    /// Reversed order, because heaps of the standard library have the largest element first. Equal
    /// times are ordered by declaration.
    bool operator<(const End& other) const {
      return at != other.at ? at > other.at : task > other.task;
    }
  };

  int Add(Kind kind, int rank, double work);
  int AddTraffic(int rank, double work, const OverlapSlowdown& slowdown);
  void Append(int& list, int value);
  template <typename Visit>
  void ForEach(int list, const Visit& visit) const {
    for (int at = list; at != kNone; at = entries_[at].next) {
      visit(entries_[at].value);
    }
  }
  void After(int task, EventId start);
  void Declare(const Segment& segment, double duration, int task);
  void RunAll();
  void Begin(int task, double now);
  void Complete(int task, double now);
  void SetFactor(int task, double factor, double now);
  void UpdateRates(int rank, double now);

  std::vector<Task> tasks_;
  std::vector<Entry> entries_;
  std::vector<OverlapSlowdown> slowdowns_;
  std::vector<Declared> declared_;
  std::vector<int> of_component_;  ///< [component] task of this round's exchange
  std::vector<int> attention_;  ///< [rank] running attention task
  std::vector<std::vector<int>> traffic_;  ///< [rank] traffic tasks on its link
  std::vector<End> ends_;  ///< heap; entries whose task has a new end are skipped
  std::vector<std::pair<int, double>> completed_;
};

}  // namespace dbsp::planner
