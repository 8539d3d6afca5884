// SPDX-License-Identifier: Apache-2.0
// The rules of planner/timeline/timeline.h as a list: the events that each segment of a layer waits
// for.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

#include "planner/timeline/timeline.h"

namespace dbsp::planner {

/// Calls `change` for every table of durations.
inline void ForEachTable(LayerDurations& durations,
                         const std::function<void(std::vector<std::vector<double>>&)>& change) {
  for (auto* grid : {&durations.pack,
                     &durations.exchange,
                     &durations.unpack,
                     &durations.attention,
                     &durations.merge,
                     &durations.hop}) {
    change(*grid);
  }
}

/// Durations of the shape of `work` from `value`.
inline LayerDurations Shaped(const LayerVolumes& work, const std::function<double()>& value) {
  LayerDurations out;
  const auto ranks = static_cast<std::size_t>(work.ranks);
  const auto steps = static_cast<std::size_t>(work.steps);
  out.pack.assign(work.rounds.size(), std::vector<double>(ranks, 0.0));
  out.exchange = out.unpack = out.pack;
  out.attention.assign(steps, std::vector<double>(ranks, 0.0));
  out.merge = out.attention;
  out.hop.assign(steps - 1, std::vector<double>(ranks, 0.0));
  ForEachTable(out, [&](auto& grid) {
    for (auto& row : grid) {
      for (double& entry : row) entry = value();
    }
  });
  for (double& entry : out.merge.front()) entry = 0;
  for (std::size_t round = 0; round < work.rounds.size(); ++round) {
    std::map<int, double> shared;  // equal inside a component
    for (std::size_t r = 0; r < ranks; ++r) {
      out.exchange[round][r] =
          shared.try_emplace(work.component[round][r], out.exchange[round][r]).first->second;
    }
  }
  for (auto& hop : out.hop) {
    for (std::size_t r = 0; r < ranks; ++r) {
      if (work.ring_next[r] < 0) hop[r] = 0;
    }
  }
  return out;
}

/// An event ends no earlier than every predecessor's end plus its own duration.
class LayerEvents {
 public:
  /// (kind, index, rank); kinds are p(ack), e(x)change, u(npack), a(ttention), m(erge), h(op)
  using Id = std::tuple<char, int, int>;
  struct Event {
    double duration = 0;
    double end = 0;
    std::vector<Id> after;
  };

  LayerEvents(const LayerVolumes& work, const LayerDurations& durations)
      : work_(work), d_(durations) {
    if (work.chunks > 1) {
      for (int r = 0; r < work_.ranks; ++r) DeclareChunks(r);
      return;
    }
    const int rounds = static_cast<int>(work_.rounds.size());
    for (int r = 0; r < work_.ranks; ++r) {
      for (int round = 0; round < rounds; ++round) DeclareRound(round, r);
      for (int t = 0; t < work_.steps; ++t) DeclareStep(t, r);
    }
  }

  [[nodiscard]] std::map<Id, Event>& events() { return events_; }

  /// Ranks whose links an exchange or hop uses.
  [[nodiscard]] std::vector<int> RanksOf(const Id& id) const {
    const auto [kind, index, rank] = id;
    if (kind == 'h') return {rank, work_.ring_next[rank]};
    std::vector<int> ranks;
    for (int other = 0; other < work_.ranks; ++other) {
      if (Component(index, other) == Component(index, rank)) ranks.push_back(other);
    }
    return ranks;
  }

 private:
  void Add(char kind, int index, int rank, double duration, std::vector<Id> after) {
    Event event;
    event.duration = duration;
    for (const Id& id : after) {
      if (std::get<1>(id) >= 0) event.after.push_back(id);
    }
    events_[{kind, index, rank}] = std::move(event);
  }
  static double At(const std::vector<std::vector<double>>& grid, int i, int r) {
    return grid[i][r];
  }

  [[nodiscard]] int Component(int round, int rank) const { return work_.component[round][rank]; }

  /// Device and link each follow the program order: pack the next chunk, send it, unpack this one,
  /// compute attention, merge, pack O, send it; at the end unpack O at home.
  void DeclareChunks(int r) {
    const int n = work_.chunks;
    std::vector<Id> device{{'p', 0, r}};
    std::vector<int> link{0};
    for (int c = 0; c < n; ++c) {
      if (c + 1 < n) {
        device.push_back({'p', c + 1, r});
        link.push_back(c + 1);
      }
      for (const char kind : {'u', 'a', 'm'}) device.push_back({kind, c, r});
      device.push_back({'p', n + c, r});
      link.push_back(n + c);
    }
    for (int c = 0; c < n; ++c) device.push_back({'u', n + c, r});
    for (std::size_t i = 0; i < device.size(); ++i) {
      const auto [kind, index, rank] = device[i];
      const auto& grid = kind == 'p'   ? d_.pack
                         : kind == 'u' ? d_.unpack
                         : kind == 'a' ? d_.attention
                                       : d_.merge;
      std::vector<Id> after;
      if (i > 0) after.push_back(device[i - 1]);
      if (kind == 'u') after.push_back({'x', index, r});
      Add(kind, index, r, At(grid, index, r), after);
    }
    for (std::size_t i = 0; i < link.size(); ++i) {
      std::vector<Id> after;
      for (int other = 0; other < work_.ranks; ++other) {
        if (Component(link[i], other) != Component(link[i], r)) continue;
        after.push_back({'p', link[i], other});
        if (i > 0) after.push_back({'x', link[i - 1], other});
      }
      Add('x', link[i], r, At(d_.exchange, link[i], r), after);
    }
  }

  void DeclareRound(int round, int r) {
    const int last = work_.steps - 1;
    std::vector<Id> free{{'u', round - 1, r}};
    if (round == work_.rounds_before) free = {{'m', last, r}};
    Add('p', round, r, At(d_.pack, round, r), free);
    std::vector<Id> ready;
    for (int other = 0; other < work_.ranks; ++other) {
      const auto& component = work_.component[round];
      if (component[other] != component[r]) {
        continue;
      }
      ready.push_back({'p', round, other});
      if (round < work_.rounds_before || work_.ring_next[other] < 0) {
        continue;
      }
      ready.push_back({'h', last - 1, other});
      ready.push_back({'h', last - 1, Prev(other)});
    }
    Add('x', round, r, At(d_.exchange, round, r), ready);
    Add('u', round, r, At(d_.unpack, round, r), {{'x', round, r}});
  }

  void DeclareStep(int t, int r) {
    const int before = work_.rounds_before - 1;
    const int next = work_.ring_next[r];
    std::vector<Id> ready{{'u', before, r}, {'m', t - 1, r}};
    if (next >= 0) ready.push_back({'h', t - 1, r});
    Add('a', t, r, At(d_.attention, t, r), ready);
    Add('m', t, r, At(d_.merge, t, r), {{'a', t, r}});
    if (next < 0 || t + 1 == work_.steps) return;
    Add('h',
        t,
        r,
        At(d_.hop, t, r),
        {{'u', before, r},
         {'u', before, next},
         {'h', t - 1, r},
         {'h', t - 1, next},  // the sender has the K/V and its link has received
         {'h', t - 1, Prev(r)},  // the link of this rank has sent
         {'a', t - 1, r}});
  }

  int Prev(int rank) const {
    for (int r = 0; r < work_.ranks; ++r) {
      if (work_.ring_next[r] == rank) return r;
    }
    return -1;
  }

  const LayerVolumes& work_;
  const LayerDurations& d_;
  std::map<Id, Event> events_;
};

}  // namespace dbsp::planner
