// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_assignment.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace dbsp::planner {

HeadAssignment::HeadAssignment(const ReceiveVolumeModel& model,
                               std::span<const int> owner,
                               const HeadFillOptions& options)
    : model_(model),
      ranks_(static_cast<std::size_t>(model.ranks())),
      limit_(options.limit),
      by_load_(model.heads()),
      owner_(owner.begin(), owner.end()),
      fillers_(model.heads() + 1),
      order_(ranks_),
      position_(ranks_),
      load_(ranks_, 0),
      cost_(ranks_, 0),
      state_(ranks_ + 1),
      next_state_(ranks_ + 1),
      received_(ranks_, 0),
      next_received_(ranks_, 0) {
  std::iota(order_.begin(), order_.end(), 0);
  std::iota(position_.begin(), position_.end(), std::size_t{0});
  std::iota(by_load_.begin(), by_load_.end(), 0);
  std::ranges::stable_sort(by_load_, [&](int a, int b) { return model.Total(a) > model.Total(b); });
  double heads_load = 0;
  for (int head = 0; head < static_cast<int>(options.at_home.size()); ++head) {
    if (!options.at_home[head]) continue;
    std::erase(by_load_, head);
    owner_[head] = kAtHome;
    for (double& cost : cost_) cost += model.AtHome(head);
  }
  for (std::size_t p = 0; p < options.home_load.size(); ++p) {
    load_[p] = options.home_load[p];
    heads_load += load_[p];
  }
  for (const int head : by_load_) {
    int& rank = owner_[head];
    if (load_[rank] + model.Total(head) <= limit_) {
      Count(head, rank, 1);
    } else {
      rank = kFiller;
      fillers_[filling_++] = head;
    }
  }
  for (const int head : by_load_) heads_load += model.Total(head);
  state_[0].slack = limit_ * static_cast<double>(ranks_) - heads_load;
  (void)Evaluate(std::numeric_limits<double>::max());
  Commit();
}

void HeadAssignment::Count(int head, int rank, double sign) {
  if (rank == kFiller) return;
  const auto p = static_cast<std::size_t>(rank);
  load_[p] += sign * model_.Total(head);
  cost_[p] += sign * model_.Whole(head);
}

int HeadAssignment::Fitting(int rank, int gone) const {
  double room = limit_ - load_[rank];
  if (gone != kFiller) room += model_.Total(gone);
  auto at =
      std::ranges::partition_point(by_load_, [&](int head) { return model_.Total(head) > room; });
  while (at != by_load_.end() && OwnerOf(*at) == rank) ++at;
  return at == by_load_.end() ? kFiller : *at;
}

bool HeadAssignment::HasRoom(int head, int gone, int rank) const {
  if (rank == kFiller) return true;
  const double leaves = gone < 0 ? 0 : model_.Total(gone);
  return load_[rank] - leaves + model_.Total(head) <= limit_;
}

std::size_t HeadAssignment::FillerIndex(int head) const {
  return static_cast<std::size_t>(std::ranges::find(fillers_, head) - fillers_.begin());
}

std::size_t HeadAssignment::FirstPosition(std::size_t n) const {
  std::size_t position = 0;
  while (position + 1 < ranks_ && state_[position + 1].filler < n) ++position;
  return position;
}

bool HeadAssignment::SwapHeads(int a, int b) {
  const int first = OwnerOf(a);
  const int second = OwnerOf(b);
  if (first == second || !HasRoom(b, a, first) || !HasRoom(a, b, second)) return false;
  for (const int head : {a, b}) {
    const int rank = OwnerOf(head);
    MarkChanged(rank == kFiller ? FirstPosition(FillerIndex(head)) : PositionOf(rank));
  }
  Exchange(a, b);
  move_ = {Kind::kHeads, static_cast<std::size_t>(a), static_cast<std::size_t>(b), 0, 0};
  return true;
}

void HeadAssignment::Exchange(int a, int b) {
  int& first = owner_[a];
  int& second = owner_[b];
  if (first == kFiller) fillers_[FillerIndex(a)] = b;
  if (second == kFiller) fillers_[FillerIndex(b)] = a;
  Count(a, first, -1);
  Count(b, second, -1);
  std::swap(first, second);
  Count(a, first, 1);
  Count(b, second, 1);
}

void HeadAssignment::ExchangeRanks(std::size_t a, std::size_t b) {
  std::swap(order_[a], order_[b]);
  std::swap(position_[order_[a]], position_[order_[b]]);
}

bool HeadAssignment::SwapRanks(std::size_t a, std::size_t b) {
  if (a == b) return false;
  ExchangeRanks(a, b);
  MarkChanged(std::min(a, b));
  move_ = {Kind::kRanks, a, b, 0, 0};
  return true;
}

bool HeadAssignment::SwapFillers(std::size_t a, std::size_t b) {
  if (a == b) return false;
  std::swap(fillers_[a], fillers_[b]);
  MarkChanged(FirstPosition(std::min(a, b)));
  move_ = {Kind::kFillers, a, b, 0, 0};
  return true;
}

bool HeadAssignment::Assign(int head, int rank, std::size_t n) {
  const int from = OwnerOf(head);
  if (from == rank || !HasRoom(head, -1, rank)) return false;
  move_ = {Kind::kAssign, static_cast<std::size_t>(head), 0, from, 0};
  if (from == kFiller) move_.n = FillerIndex(head);
  MarkChanged(from == kFiller ? FirstPosition(move_.n) : PositionOf(from));
  MarkChanged(rank == kFiller ? FirstPosition(n) : PositionOf(rank));
  Put(head, rank, n);
  return true;
}

void HeadAssignment::Put(int head, int rank, std::size_t n) {
  int& owner = owner_[head];
  const auto begin = fillers_.begin();
  const auto end = begin + static_cast<std::ptrdiff_t>(filling_);
  if (owner == kFiller) {
    const auto at = std::find(begin, end, head);
    std::copy(at + 1, end, at);
    --filling_;
  }
  if (rank == kFiller) {
    const auto at = begin + static_cast<std::ptrdiff_t>(n);
    std::copy_backward(at, end, end + 1);
    *at = head;
    ++filling_;
  }
  Count(head, owner, -1);
  Count(head, rank, 1);
  owner = rank;
}

template <typename Part>
double HeadAssignment::FillRank(int rank, FillState& state, const Part& part) const {
  const auto p = static_cast<std::size_t>(rank);
  double received = model_.Idle() + cost_[p];
  double room = limit_ - load_[p];
  // A rank stays below the limit if the other ranks have the room. It then holds one part fewer.
  while (room > state.slack && state.filler < filling_) {
    const int head = fillers_[state.filler];
    const double left = model_.Total(head) - state.done;
    const double load = std::min(left, room);
    received += part(head, load);
    room -= load;
    state.done += load;
    if (left > load) continue;
    ++state.filler;
    state.done = 0;
  }
  state.slack -= room;
  return received;
}

double HeadAssignment::Evaluate(double most) {
  next_ = {};
  for (std::size_t position = 0; position < changed_; ++position)
    next_.Add(received_[position], order_[position]);
  FillState state = state_[changed_];
  const auto price = [this](int head, double load) { return model_.Part(load, head); };
  for (std::size_t position = changed_; position < ranks_ && next_.volume <= most; ++position) {
    next_received_[position] = FillRank(order_[position], state, price);
    next_state_[position + 1] = state;
    next_.Add(next_received_[position], order_[position]);
  }
  return next_.volume;
}

void HeadAssignment::Commit() {
  for (std::size_t position = changed_; position < ranks_; ++position) {
    received_[position] = next_received_[position];
    state_[position + 1] = next_state_[position + 1];
  }
  now_ = next_;
  changed_ = ranks_;
}

void HeadAssignment::Rollback() {
  switch (move_.kind) {
    case Kind::kNone:
      break;
    case Kind::kHeads:
      Exchange(static_cast<int>(move_.a), static_cast<int>(move_.b));
      break;
    case Kind::kRanks:
      ExchangeRanks(move_.a, move_.b);
      break;
    case Kind::kFillers:
      std::swap(fillers_[move_.a], fillers_[move_.b]);
      break;
    case Kind::kAssign:
      Put(static_cast<int>(move_.a), move_.rank, move_.n);
      break;
  }
  move_ = {};
  changed_ = ranks_;
}

std::vector<double> HeadAssignment::Received() const {
  std::vector<double> received(ranks_);
  for (std::size_t position = 0; position < ranks_; ++position) {
    received[order_[position]] = received_[position];
  }
  return received;
}

HeadFill HeadAssignment::Finish() const {
  HeadFill fill{owner_, {}, now_.volume};
  std::vector<HeadShare> parts;
  FillState state = state_[0];
  for (const int rank : order_) {
    (void)FillRank(rank, state, [&](int head, double load) {
      parts.push_back({head, rank, static_cast<std::int64_t>(load)});
      return 0.0;
    });
  }
  std::ranges::replace(fill.owner, kAtHome, 0);
  for (std::size_t n = 0; n < filling_; ++n) {
    const int head = fillers_[n];
    const HeadShare* most = nullptr;
    for (const HeadShare& part : parts) {
      if (part.head == head && (most == nullptr || part.load > most->load)) most = &part;
    }
    fill.owner[head] = most == nullptr ? 0 : most->rank;
    for (const HeadShare& part : parts) {
      if (part.head == head && &part != most) fill.shares.push_back(part);
    }
  }
  return fill;
}

}  // namespace dbsp::planner
