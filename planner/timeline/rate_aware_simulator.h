// SPDX-License-Identifier: Apache-2.0
// When the segments of a layer happen where attention and traffic slow each other down. Their rates
// change while they run, so times are known only when everything before them is: segments are
// first declared, each after the moments it waits for, and then played in the order of time.
// Internal to planner/; callers use timeline.h.
#pragma once

#include <cstdint>
#include <vector>

#include "core/strategy.h"
#include "planner/timeline/layer_durations.h"

namespace dbsp::planner {

/// An exchange or hop advances at 1 / slowdown.exchange while any rank that it moves for attends;
/// attention of a rank advances at 1 / slowdown.attention while its link carries traffic (of
/// several at once, the greatest). Nothing else changes a rate.
/// threads  one
class RateAwareSimulator {
 public:
  /// A moment that is not known yet: the end of a declared segment, or the latest of several.
  using EventId = int;
  static constexpr EventId kStart = -1;

  /// rounds, steps  of the layer: room for what will be declared
  RateAwareSimulator(int ranks, std::size_t rounds, std::size_t steps);

  [[nodiscard]] EventId Max(EventId a, EventId b);
  /// Declares a segment; what it says of times is not read.
  EventId Run(const Segment& segment, double duration, EventId start);
  /// Exchanges of one component, declared between two calls of NextRound(), end together.
  EventId Exchange(const Segment& segment,
                   double duration,
                   EventId start,
                   const OverlapSlowdown& slowdown,
                   int component);
  /// Traffic on the links of segment.rank and `sender`.
  EventId Hop(const Segment& segment,
              double duration,
              EventId start,
              const OverlapSlowdown& slowdown,
              int sender);
  void NextRound();

  /// Plays what was declared, once. The latest of the moments is the makespan.
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
    double since = 0;  ///< when `left` and `factor` were last true
    double factor = 1;
    double end = 0;
    int waits = 0;  ///< moments that have not come
    bool running = false;
    int slowdown = kNone;  ///< of traffic
    int attending = 0;  ///< of the ranks that traffic moves for
    int followers = kNone;  ///< tasks that wait for it
    int ranks = kNone;  ///< whose links traffic is on
  };
  /// One list is a chain of entries in a common array: layers have thousands of short ones.
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
    /// Latest first, as heaps of the standard library have it; equal ones in the order declared.
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
  void Play();
  void Begin(int task, double now);
  void Complete(int task, double now);
  void SetFactor(int task, double factor, double now);
  void Reconsider(int rank, double now);

  std::vector<Task> tasks_;
  std::vector<Entry> entries_;
  std::vector<OverlapSlowdown> slowdowns_;
  std::vector<Declared> declared_;
  std::vector<int> of_component_;  ///< task of this round's exchange
  std::vector<int> attention_;  ///< [rank] that runs
  std::vector<std::vector<int>> traffic_;  ///< [rank] on its link
  std::vector<End> ends_;  ///< a heap; entries whose task has moved its end are passed over
  std::vector<std::pair<int, double>> completed_;
};

}  // namespace dbsp::planner
