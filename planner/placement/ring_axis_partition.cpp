// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/ring_axis_partition.h"

#include <algorithm>
#include <limits>

namespace dbsp::planner {
namespace {

constexpr float kUnusable = std::numeric_limits<float>::max();
/// Gains below this fraction of a score are rounding errors.
constexpr float kRounding = 1e-6F;
/// Partners count as whole groups of this many in the scans that a search may use. The results
/// depend on this number, and not on the width of vectors.
constexpr std::size_t kCountedTogether = 8;

std::size_t RoundUp(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

RingAxisPartition::RingAxisPartition(std::span<const std::int64_t> weight,
                                     std::span<const int> owner,
                                     std::span<const int> home,
                                     int ring,
                                     int extra,
                                     double price)
    : ring_(static_cast<std::size_t>(ring)),
      price_(price),
      owner_(owner.begin(), owner.end()),
      home_(home.begin(), home.end()),
      slot_(owner.size()),
      count_(ring_, 0),
      cell_(ring_ * ring_, 0),
      mean_(ring_, 0),
      others_(ring_),
      p_without_(ring_),
      q_with_(ring_) {
  const std::size_t items = owner_.size();
  for (const int part : owner_) ++count_[part];
  const auto slack = static_cast<std::size_t>(extra);
  most_ = std::max((items + ring_ - 1) / ring_ + slack, *std::ranges::max_element(count_));
  fewest_ =
      std::min(items / ring_ - std::min(items / ring_, slack), *std::ranges::min_element(count_));
  capacity_ = RoundUp(most_, kScanLanes);
  pitch_ = capacity_ * ring_;
  weight_.assign(pitch_ * ring_, 0);
  slot_home_.assign(pitch_, -1);
  item_.assign(pitch_, kNone);
  score_.assign(capacity_, 0);
  std::ranges::fill(count_, 0);
  std::vector<std::int64_t> cells(ring_ * ring_, 0);
  std::vector<std::int64_t> other_axis(ring_, 0);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < items; ++i) {
    const auto part = static_cast<std::size_t>(owner_[i]);
    const std::size_t slot = part * capacity_ + count_[part]++;
    slot_[i] = slot;
    item_[slot] = i;
    slot_home_[slot] = home_[i];
    away_ += owner_[i] != home_[i] ? 1 : 0;
    for (std::size_t k = 0; k < ring_; ++k) {
      const std::int64_t w = weight[i * ring_ + k];
      weight_[k * pitch_ + slot] = static_cast<float>(w);
      cells[part * ring_ + (k >= part ? k - part : k + ring_ - part)] += w;
      other_axis[k] += w;
      total += w;
    }
  }
  bound_ = static_cast<double>(*std::ranges::max_element(other_axis));
  const std::int64_t base = total / static_cast<std::int64_t>(ring_ * ring_);
  base_ = static_cast<double>(base) * static_cast<double>(ring_);
  for (std::size_t c = 0; c < cell_.size(); ++c) cell_[c] = static_cast<float>(cells[c] - base);
  barrier_ = BarrierNow();
  best_ = cost();
}

double RingAxisPartition::cost() const {
  return base_ + static_cast<double>(barrier_) + price_ * static_cast<double>(away_);
}

float RingAxisPartition::BarrierNow() const {
  float sum = 0;
  for (std::size_t t = 0; t < ring_; ++t) {
    float most = cell_[t];
    for (std::size_t i = 1; i < ring_; ++i) most = std::max(most, cell_[i * ring_ + t]);
    sum += most;
  }
  return sum;
}

void RingAxisPartition::UpdateMeans() {
  for (std::size_t t = 0; t < ring_; ++t) {
    float sum = 0;
    for (std::size_t i = 0; i < ring_; ++i) sum += cell_[i * ring_ + t];
    mean_[t] = sum / static_cast<float>(ring_);
  }
}

RingAxisPartition::Exchange RingAxisPartition::RandomExchange(Prng& prng) const {
  Exchange exchange;
  exchange.a = prng.Below(owner_.size());
  exchange.p = static_cast<std::size_t>(owner_[exchange.a]);
  exchange.q = prng.Below(ring_ - 1);
  exchange.q += exchange.q >= exchange.p ? 1 : 0;
  return exchange;
}

bool RingAxisPartition::BestExchange(Objective objective, Exchange& exchange, float& score) {
  const std::size_t p = exchange.p;
  const std::size_t q = exchange.q;
  const std::size_t slot = slot_[exchange.a];
  const bool squares = objective == Objective::kSquares;
  std::size_t in_p = p;
  std::size_t in_q = q;
  for (std::size_t t = 0; t < ring_; ++t) {
    const float center = squares ? mean_[t] : 0;
    p_without_[t] = cell_[p * ring_ + t] - center - weight_[in_p * pitch_ + slot];
    q_with_[t] = cell_[q * ring_ + t] - center + weight_[in_q * pitch_ + slot];
    in_p = in_p + 1 == ring_ ? 0 : in_p + 1;
    in_q = in_q + 1 == ring_ ? 0 : in_q + 1;
  }
  if (!squares) {
    std::ranges::fill(others_, -kUnusable);
    for (std::size_t i = 0; i < ring_; ++i) {
      if (i == p || i == q) continue;
      for (std::size_t t = 0; t < ring_; ++t) {
        others_[t] = std::max(others_[t], cell_[i * ring_ + t]);
      }
    }
  }
  score = kUnusable;
  const auto price = static_cast<float>(squares ? 0.0 : price_);
  if (const std::size_t held = count_[q]; held > 0) {
    const std::size_t first = q * capacity_;
    const std::size_t padded = RoundUp(held, kScanLanes);
    const SwapScan scan{ring_,
                        p_without_.data(),
                        q_with_.data(),
                        weight_.data() + first,
                        slot_home_.data() + first,
                        pitch_,
                        p,
                        q,
                        padded,
                        price};
    squares ? ScanSquares(scan, score_.data()) : ScanBarrier(scan, others_.data(), score_.data());
    std::fill(score_.begin() + static_cast<std::ptrdiff_t>(held),
              score_.begin() + static_cast<std::ptrdiff_t>(padded),
              kUnusable);
    const std::size_t b = LeastScore(score_.data(), padded);
    score = score_[b];
    exchange.b = item_[first + b];
    scanned_ += static_cast<std::int64_t>(RoundUp(held, kCountedTogether));
  }
  if (count_[p] > fewest_ && count_[q] < most_) {
    float alone = 0;
    for (std::size_t t = 0; t < ring_; ++t) {
      alone += squares ? p_without_[t] * p_without_[t] + q_with_[t] * q_with_[t]
                       : std::max({others_[t], p_without_[t], q_with_[t]});
    }
    if (alone < score) {
      score = alone;
      exchange.b = kNone;
    }
  }
  if (score == kUnusable) return false;
  const int home = home_[exchange.a];
  if (home == static_cast<int>(p)) score += price;
  if (home == static_cast<int>(q)) score -= price;
  return true;
}

float RingAxisPartition::ScoreNow(Objective objective, std::size_t p, std::size_t q) const {
  if (objective == Objective::kBarrier) return barrier_;
  float score = 0;
  for (std::size_t t = 0; t < ring_; ++t) {
    const float a = cell_[p * ring_ + t] - mean_[t];
    const float b = cell_[q * ring_ + t] - mean_[t];
    score += a * a + b * b;
  }
  return score;
}

void RingAxisPartition::MinimizeSquares(const Limits& limits, Prng& prng) {
  UpdateMeans();
  const std::int64_t last = scanned_ + limits.scans;
  for (int idle = 0; idle < limits.patience && scanned_ < last && best_ > limits.enough;) {
    Exchange exchange = RandomExchange(prng);
    float score = 0;
    ++scanned_;
    if (!BestExchange(Objective::kSquares, exchange, score) ||
        score >= ScoreNow(Objective::kSquares, exchange.p, exchange.q) * (1 - kRounding)) {
      ++idle;
      continue;
    }
    idle = 0;
    Record(exchange);
    UpdateMeans();
  }
}

void RingAxisPartition::MinimizeBarrier(const Limits& limits, Prng& prng) {
  const std::int64_t last = scanned_ + limits.scans;
  for (int idle = 0; idle < limits.patience && scanned_ < last && best_ > limits.enough;) {
    Exchange exchange = RandomExchange(prng);
    float score = 0;
    ++scanned_;
    const bool found = BestExchange(Objective::kBarrier, exchange, score);
    idle = found && score < barrier_ ? 0 : idle + 1;
    if (found && score <= barrier_) Record(exchange);
  }
}

void RingAxisPartition::RestoreHomes() {
  for (std::size_t a = 0; a < owner_.size(); ++a) {
    if (owner_[a] == home_[a]) continue;
    Exchange exchange{
        a, kNone, static_cast<std::size_t>(owner_[a]), static_cast<std::size_t>(home_[a])};
    float score = 0;
    if (BestExchange(Objective::kBarrier, exchange, score) && score < barrier_) Record(exchange);
  }
}

void RingAxisPartition::Record(const Exchange& exchange) {
  Apply(exchange);
  since_best_.push_back(exchange);
  if (cost() < best_) {
    best_ = cost();
    since_best_.clear();
  }
}

std::vector<int> RingAxisPartition::BestOwner() const {
  std::vector<int> owner = owner_;
  for (std::size_t n = since_best_.size(); n-- > 0;) {
    const Exchange& done = since_best_[n];
    owner[done.a] = static_cast<int>(done.p);
    if (done.b != kNone) owner[done.b] = static_cast<int>(done.q);
  }
  return owner;
}

void RingAxisPartition::Place(std::size_t item, std::size_t part, int sign) {
  const std::size_t slot = slot_[item];
  for (std::size_t t = 0; t < ring_; ++t) {
    const float w = weight_[(part + t) % ring_ * pitch_ + slot];
    cell_[part * ring_ + t] += sign > 0 ? w : -w;
  }
  away_ += home_[item] == static_cast<int>(part) ? 0 : sign;
  if (sign > 0) owner_[item] = static_cast<int>(part);
}

void RingAxisPartition::Apply(const Exchange& exchange) {
  const auto [a, b, p, q] = exchange;
  Place(a, p, -1);
  Place(a, q, 1);
  if (b == kNone) {
    MoveSlot(a, p, q);
  } else {
    Place(b, q, -1);
    Place(b, p, 1);
    SwapSlots(slot_[a], slot_[b]);
  }
  barrier_ = BarrierNow();
}

void RingAxisPartition::SwapSlots(std::size_t a, std::size_t b) {
  for (std::size_t k = 0; k < ring_; ++k) {
    std::swap(weight_[k * pitch_ + a], weight_[k * pitch_ + b]);
  }
  std::swap(slot_home_[a], slot_home_[b]);
  std::swap(item_[a], item_[b]);
  if (item_[a] != kNone) slot_[item_[a]] = a;
  if (item_[b] != kNone) slot_[item_[b]] = b;
}

void RingAxisPartition::MoveSlot(std::size_t a, std::size_t p, std::size_t q) {
  SwapSlots(slot_[a], p * capacity_ + --count_[p]);
  SwapSlots(slot_[a], q * capacity_ + count_[q]++);
}

}  // namespace dbsp::planner
