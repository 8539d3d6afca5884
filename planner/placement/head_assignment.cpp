// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace dbsp::planner {
namespace {

/// Costs of whole heads are multiples of 1 / kGrid.
constexpr double kGrid = 1 << 30;

}  // namespace

ReceiveVolumeModel::ReceiveVolumeModel(std::span<const std::int64_t> totals,
                                       int ranks,
                                       double columns,
                                       std::span<const double> needs)
    : total_(totals.begin(), totals.end()),
      needs_(needs.begin(), needs.end()),
      ranks_(ranks),
      per_column_(1.0 / columns),
      home_(1.0 / ranks),
      away_(1 - home_) {
  for (std::size_t h = 0; h < total_.size(); ++h) {
    per_load_.push_back(total_[h] > 0 ? 1 / total_[h] : 0);
    const double cost = Part(total_[h], static_cast<int>(h));
    whole_.push_back(static_cast<double>(static_cast<std::int64_t>(cost * kGrid)) / kGrid);
  }
}

double ReceiveVolumeModel::Part(double load, int head) const {
  const auto h = static_cast<std::size_t>(head);
  const bool whole = load >= total_[h];
  const double share = load * per_load_[h];
  const double random = load * per_column_;  // blocks a column
  double columns = away_ * std::min(1.0, 2 * random / (2 + random));
  if (!needs_.empty()) {
    const double* needs = needs_.data() + h * static_cast<std::size_t>(ranks_ + 1);
    const double homes = share * ranks_;
    const int n = whole ? ranks_ - 1 : std::max(1, static_cast<int>(homes));
    const double more = needs[n + 1] - needs[n];
    const double run = whole ? needs[ranks_] : needs[n] + std::max(0.0, homes - n) * more;
    columns = whole ? run : std::min(columns, run);
  }
  if (whole) return 2 * columns + away_ - home_;
  // Q of the rows beyond its own; O of those of its own that it computes does not come back
  return 2 * columns + (share >= home_ ? share - 2 * home_ : -share);
}

double ReceiveVolumeModel::AtHome(int head) const {
  const double columns = needs_[static_cast<std::size_t>(head * (ranks_ + 1)) + 1];
  return static_cast<double>(static_cast<std::int64_t>((2 * columns - home_) * kGrid)) / kGrid;
}

double ReceiveVolumeModel::LeastSplit(const std::vector<bool>& at_home) const {
  double mean = Idle();
  double placed = 0;
  double more = std::numeric_limits<double>::max();  // that two halves cost than the whole
  for (int head = 0; head < static_cast<int>(heads()); ++head) {
    if (!at_home.empty() && at_home[head]) {
      mean += AtHome(head);
      continue;
    }
    placed += home_;
    mean += Whole(head) * home_;
    more = std::min(more, 2 * Part(0.5 * Total(head), head) - Whole(head));
  }
  return mean + more * (1 - (placed - std::floor(placed)));
}

HeadAssignment::HeadAssignment(const ReceiveVolumeModel& model,
                               std::span<const int> owner,
                               const HeadFillOptions& options)
    : model_(model),
      ranks_(static_cast<std::size_t>(model.ranks())),
      limit_(options.limit),
      falling_(model.heads()),
      owner_(owner.begin(), owner.end()),
      fillers_(model.heads() + 1),
      order_(ranks_),
      place_(ranks_),
      load_(ranks_, 0),
      cost_(ranks_, 0),
      at_(ranks_ + 1),
      next_at_(ranks_ + 1),
      received_(ranks_, 0),
      next_received_(ranks_, 0) {
  std::iota(order_.begin(), order_.end(), 0);
  std::iota(place_.begin(), place_.end(), std::size_t{0});
  std::iota(falling_.begin(), falling_.end(), 0);
  std::ranges::stable_sort(falling_, [&](int a, int b) { return model.Total(a) > model.Total(b); });
  double heads_load = 0;
  for (int head = 0; head < static_cast<int>(options.at_home.size()); ++head) {
    if (!options.at_home[head]) continue;
    std::erase(falling_, head);
    owner_[head] = kAtHome;
    for (double& cost : cost_) cost += model.AtHome(head);
  }
  for (std::size_t p = 0; p < options.home_load.size(); ++p) {
    load_[p] = options.home_load[p];
    heads_load += load_[p];
  }
  for (const int head : falling_) {
    int& rank = owner_[head];
    if (load_[rank] + model.Total(head) <= limit_) {
      Count(head, rank, 1);
    } else {
      rank = kFiller;
      fillers_[filling_++] = head;
    }
  }
  for (const int head : falling_) heads_load += model.Total(head);
  at_[0].slack = limit_ * static_cast<double>(ranks_) - heads_load;
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
      std::ranges::partition_point(falling_, [&](int head) { return model_.Total(head) > room; });
  while (at != falling_.end() && OwnerOf(*at) == rank) ++at;
  return at == falling_.end() ? kFiller : *at;
}

bool HeadAssignment::HasRoom(int head, int gone, int rank) const {
  if (rank == kFiller) return true;
  const double leaves = gone < 0 ? 0 : model_.Total(gone);
  return load_[rank] - leaves + model_.Total(head) <= limit_;
}

std::size_t HeadAssignment::PlaceOfFiller(int head) const {
  return static_cast<std::size_t>(std::ranges::find(fillers_, head) - fillers_.begin());
}

std::size_t HeadAssignment::FirstOf(std::size_t n) const {
  std::size_t place = 0;
  while (place + 1 < ranks_ && at_[place + 1].filler < n) ++place;
  return place;
}

bool HeadAssignment::SwapHeads(int a, int b) {
  const int first = OwnerOf(a);
  const int second = OwnerOf(b);
  if (first == second || !HasRoom(b, a, first) || !HasRoom(a, b, second)) return false;
  for (const int head : {a, b}) {
    const int rank = OwnerOf(head);
    Dirty(rank == kFiller ? FirstOf(PlaceOfFiller(head)) : PlaceOf(rank));
  }
  Exchange(a, b);
  move_ = {Kind::kHeads, static_cast<std::size_t>(a), static_cast<std::size_t>(b), 0, 0};
  return true;
}

void HeadAssignment::Exchange(int a, int b) {
  int& first = owner_[a];
  int& second = owner_[b];
  if (first == kFiller) fillers_[PlaceOfFiller(a)] = b;
  if (second == kFiller) fillers_[PlaceOfFiller(b)] = a;
  Count(a, first, -1);
  Count(b, second, -1);
  std::swap(first, second);
  Count(a, first, 1);
  Count(b, second, 1);
}

void HeadAssignment::ExchangeRanks(std::size_t a, std::size_t b) {
  std::swap(order_[a], order_[b]);
  std::swap(place_[order_[a]], place_[order_[b]]);
}

bool HeadAssignment::SwapRanks(std::size_t a, std::size_t b) {
  if (a == b) return false;
  ExchangeRanks(a, b);
  Dirty(std::min(a, b));
  move_ = {Kind::kRanks, a, b, 0, 0};
  return true;
}

bool HeadAssignment::SwapFillers(std::size_t a, std::size_t b) {
  if (a == b) return false;
  std::swap(fillers_[a], fillers_[b]);
  Dirty(FirstOf(std::min(a, b)));
  move_ = {Kind::kFillers, a, b, 0, 0};
  return true;
}

bool HeadAssignment::Assign(int head, int rank, std::size_t n) {
  const int from = OwnerOf(head);
  if (from == rank || !HasRoom(head, -1, rank)) return false;
  move_ = {Kind::kGive, static_cast<std::size_t>(head), 0, from, 0};
  if (from == kFiller) move_.n = PlaceOfFiller(head);
  Dirty(from == kFiller ? FirstOf(move_.n) : PlaceOf(from));
  Dirty(rank == kFiller ? FirstOf(n) : PlaceOf(rank));
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
double HeadAssignment::FillRank(int rank, At& at, const Part& part) const {
  const auto p = static_cast<std::size_t>(rank);
  double received = model_.Idle() + cost_[p];
  double room = limit_ - load_[p];
  // A rank is left below the limit where the others' room allows it: it then has a part fewer.
  while (room > at.slack && at.filler < filling_) {
    const int head = fillers_[at.filler];
    const double left = model_.Total(head) - at.done;
    const double load = std::min(left, room);
    received += part(head, load);
    room -= load;
    at.done += load;
    if (left > load) continue;
    ++at.filler;
    at.done = 0;
  }
  at.slack -= room;
  return received;
}

double HeadAssignment::Evaluate(double most) {
  next_ = {};
  for (std::size_t place = 0; place < dirty_; ++place) next_.Add(received_[place], order_[place]);
  At at = at_[dirty_];
  const auto price = [this](int head, double load) { return model_.Part(load, head); };
  for (std::size_t place = dirty_; place < ranks_ && next_.busiest <= most; ++place) {
    next_received_[place] = FillRank(order_[place], at, price);
    next_at_[place + 1] = at;
    next_.Add(next_received_[place], order_[place]);
  }
  return next_.busiest;
}

void HeadAssignment::Commit() {
  for (std::size_t place = dirty_; place < ranks_; ++place) {
    received_[place] = next_received_[place];
    at_[place + 1] = next_at_[place + 1];
  }
  now_ = next_;
  dirty_ = ranks_;
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
    case Kind::kGive:
      Put(static_cast<int>(move_.a), move_.rank, move_.n);
      break;
  }
  move_ = {};
  dirty_ = ranks_;
}

std::vector<double> HeadAssignment::Received() const {
  std::vector<double> received(ranks_);
  for (std::size_t place = 0; place < ranks_; ++place) {
    received[order_[place]] = received_[place];
  }
  return received;
}

HeadFill HeadAssignment::Finish() const {
  HeadFill fill{owner_, {}, now_.busiest};
  std::vector<HeadShare> parts;
  At at = at_[0];
  for (const int rank : order_) {
    (void)FillRank(rank, at, [&](int head, double load) {
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
