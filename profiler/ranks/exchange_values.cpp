// SPDX-License-Identifier: Apache-2.0
// Values that encode their sender, receiver and index, so that wrong counts, offsets and orders are
// found.
#include <fmt/format.h>

#include "profiler/ranks/exchange_rank.h"

namespace dbsp::profiler {
namespace {

/// Element `i` that rank `from` sends to rank `to`. Values are below 1021, so that sums over
/// thousands of ranks are exact. The factors are primes, so that neighbours in each argument
/// differ.
float Value(int from, int to, std::int64_t i) {
  return static_cast<float>((31 * std::int64_t{from} + 17 * std::int64_t{to} + i) % 1021);
}

}  // namespace

std::vector<float> ExchangeRank::KnownValues() const {
  std::vector<float> values(send_floats_);
  if (config_.op == "hop" || config_.op == "allgather") {
    const int to = config_.op == "hop" ? previous_ : rank_;  // allgather sends the same part to all
    for (std::int64_t i = 0; i < part_; ++i) values[i] = Value(rank_, to, i);
    return values;
  }
  for (std::size_t to = 0; to < send_counts_.size(); ++to) {
    for (std::int64_t i = 0; i < send_counts_[to]; ++i) {
      values[send_offsets_[to] + i] = Value(rank_, static_cast<int>(to), i);
    }
  }
  return values;
}

std::optional<std::string> ExchangeRank::WrongValue(std::span<const float> recv) const {
  const auto check = [&](int from, int to, std::int64_t offset, std::int64_t i, float expected)
      -> std::optional<std::string> {
    const float found = recv[offset + i];
    if (found == expected) return std::nullopt;
    return fmt::format("{} on rank {}: element {} from rank {} to rank {} is {:g}, expected {:g}",
                       config_.op,
                       rank_,
                       i,
                       from,
                       to,
                       found,
                       expected);
  };
  if (config_.op == "reducescatter") {
    for (std::int64_t i = 0; i < part_; ++i) {
      float sum = 0;
      for (int from = 0; from < size_; ++from) sum += Value(from, rank_, i);
      if (auto wrong = check(rank_, rank_, 0, i, sum)) return wrong;
    }
    return std::nullopt;
  }
  const bool hop = config_.op == "hop";
  for (std::size_t k = 0; k < recv_counts_.size(); ++k) {
    const int from = hop ? next_ : static_cast<int>(k);
    const int to = config_.op == "allgather" ? from : rank_;
    for (std::int64_t i = 0; i < recv_counts_[k]; ++i) {
      if (auto wrong = check(from, to, recv_offsets_[k], i, Value(from, to, i))) return wrong;
    }
  }
  return std::nullopt;
}

}  // namespace dbsp::profiler
