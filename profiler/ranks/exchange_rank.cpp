// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_rank.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::profiler {
namespace {

const std::vector<std::string> kOps{"alltoall", "hop", "allgather", "reducescatter", "needed"};

bool TakesAllRanks(const std::string& op) { return op == "allgather" || op == "reducescatter"; }

/// Appends the prefix sums of `counts` to `offsets`. Returns the total.
std::int64_t Offsets(const std::vector<std::int64_t>& counts, std::vector<std::int64_t>& offsets) {
  std::int64_t total = 0;
  for (const std::int64_t count : counts) {
    offsets.push_back(total);
    total += count;
  }
  return total;
}

std::vector<std::int64_t> InBytes(std::vector<std::int64_t> floats) {
  for (std::int64_t& count : floats) count *= static_cast<std::int64_t>(sizeof(float));
  return floats;
}

std::size_t Count(std::int64_t count) { return static_cast<std::size_t>(count); }

/// Unnormalised share of a needed-only exchange at ring distance `d` of `n` members.
double NeededShare(int d, int n) {
  const int distance = std::min(d, n - d);
  return distance >= 1 && distance <= std::max(1, n / 4) ? 1.0 / distance : 0.0;
}

}  // namespace

ExchangeRank::ExchangeRank(const ExchangeConfig& config, int rank, int size, int stride)
    : config_(config),
      rank_(rank),
      size_(size),
      first_(TakesAllRanks(config.op)
                 ? 0
                 : rank / (config.ranks * stride) * (config.ranks * stride) + rank % stride),
      member_((rank - first_) / stride) {
  if (std::find(kOps.begin(), kOps.end(), config.op) == kOps.end()) {
    throw Error(ErrorCode::kInvalidArgument, UnknownName("exchange", config.op, kOps));
  }
  const std::int64_t floats = config.bytes_per_rank / static_cast<std::int64_t>(sizeof(float));
  if (TakesAllRanks(config.op)) {
    part_ = floats / std::max(size - 1, 1);
    send_counts_.assign(size, part_);
    recv_counts_ = send_counts_;
  } else if (config.op == "hop") {
    part_ = first_ + (config.ranks - 1) * stride < size ? floats : 0;
    send_counts_.assign(1, part_);
    recv_counts_ = send_counts_;
  } else {
    for (int r = 0; r < size; ++r) {
      send_counts_.push_back(CountBetween(member_, r - first_));
      recv_counts_.push_back(CountBetween(r - first_, member_));
    }
  }
  const int members = std::min(config.ranks, (size - first_ + stride - 1) / stride);
  previous_ = first_ + (member_ + members - 1) % members * stride;
  next_ = first_ + (member_ + 1) % members * stride;
  send_floats_ = std::max<std::int64_t>(1, Offsets(send_counts_, send_offsets_));
  recv_floats_ = std::max<std::int64_t>(1, Offsets(recv_counts_, recv_offsets_));
  send_parts_ = {InBytes(send_counts_), InBytes(send_offsets_)};
  recv_parts_ = {InBytes(recv_counts_), InBytes(recv_offsets_)};
}

std::int64_t ExchangeRank::CountBetween(int from, int to) const {
  const int n = config_.ranks;
  const auto inside = [n](int member) { return member >= 0 && member < n; };
  if (from == to || !inside(from) || !inside(to)) return 0;
  const double heaviest = static_cast<double>(config_.bytes_per_rank) / sizeof(float);
  if (config_.op == "needed") {
    double shares = 0;
    for (int d = 1; d < n; ++d) shares += NeededShare(d, n);
    return static_cast<std::int64_t>(heaviest * NeededShare((to - from + n) % n, n) / shares);
  }
  // The equal amount of the other members, for which heaviest / mean is the unevenness.
  const double mean = heaviest / config_.unevenness;
  const double others = std::max(0.0, (mean * n - heaviest) / (n - 1));
  return static_cast<std::int64_t>((from == 0 ? heaviest : others) / (n - 1));
}

void ExchangeRank::Run(runtime::Communicator& communicator, const float* send, float* recv) const {
  const Buffers buffers = BuffersOf(send, recv);
  if (config_.op == "hop") {
    communicator.StartSendRecv(buffers.send, previous_, buffers.recv, next_);
    communicator.WaitSendRecv();
  } else if (config_.op == "allgather") {
    communicator.AllGatherV(buffers.send, buffers.recv, recv_parts_.bytes, recv_parts_.offsets);
  } else if (config_.op == "reducescatter") {
    communicator.ReduceScatter({send, Count(send_counts_.size()) * Count(part_)},
                               {recv, Count(part_)});
  } else {
    communicator.AllToAllV(buffers.send,
                           send_parts_.bytes,
                           send_parts_.offsets,
                           buffers.recv,
                           recv_parts_.bytes,
                           recv_parts_.offsets);
  }
}

void ExchangeRank::Enqueue(runtime::NcclCommunicator& communicator,
                           const float* send,
                           float* recv) const {
  const Buffers buffers = BuffersOf(send, recv);
  if (config_.op == "hop") {
    communicator.EnqueueSendRecv(buffers.send, previous_, buffers.recv, next_);
  } else if (config_.op == "allgather") {
    communicator.EnqueueAllGatherV(
        buffers.send, buffers.recv, recv_parts_.bytes, recv_parts_.offsets);
  } else if (config_.op == "reducescatter") {
    communicator.EnqueueReduceScatter({send, Count(send_counts_.size()) * Count(part_)},
                                      {recv, Count(part_)});
  } else {
    communicator.EnqueueAllToAllV(buffers.send,
                                  send_parts_.bytes,
                                  send_parts_.offsets,
                                  buffers.recv,
                                  recv_parts_.bytes,
                                  recv_parts_.offsets);
  }
}

ExchangeRank::Buffers ExchangeRank::BuffersOf(const float* send, float* recv) const {
  const bool hop_or_gather = config_.op == "hop" || config_.op == "allgather";
  const std::int64_t sent = hop_or_gather ? part_ : send_floats_;
  const std::int64_t received = config_.op == "hop" ? part_ : recv_floats_;
  return {std::as_bytes(std::span(send, Count(sent))),
          std::as_writable_bytes(std::span(recv, Count(received)))};
}

int NodesOf(std::span<const int> node, int ranks, int stride) {
  const int size = static_cast<int>(node.size());
  std::size_t most = 1;
  for (int block = 0; block + ranks * stride <= size; block += ranks * stride) {
    for (int first = block; first < block + stride; ++first) {
      std::set<int> nodes;
      for (int i = 0; i < ranks; ++i) nodes.insert(node[first + i * stride]);
      most = std::max(most, nodes.size());
    }
  }
  return static_cast<int>(most);
}

int StrideOf(std::span<const int> node, const ExchangeConfig& config) {
  const int size = static_cast<int>(node.size());
  if (config.op != "hop" || size % config.ranks != 0) return 1;
  if (NodesOf(node, config.ranks, 1) == config.nodes) return 1;
  const int stride = size / config.ranks;
  return NodesOf(node, config.ranks, stride) == config.nodes ? stride : 1;
}

int RanksTakingPart(const ExchangeConfig& config, int ranks) {
  const int groups = TakesAllRanks(config.op) ? 1 : std::max(1, ranks / std::max(config.ranks, 1));
  return groups * config.ranks;
}

Bandwidth BandwidthOf(const ExchangeConfig& config, double median_ns) {
  const double bus = static_cast<double>(config.bytes_per_rank) / median_ns;
  if (config.op == "hop" || config.op == "needed" || config.ranks < 2) return {bus, bus};
  return {bus * config.ranks / (config.ranks - 1), bus};
}

std::int64_t BytesPerRank(const std::string& op, int ranks, std::int64_t size_bytes) {
  if (op == "hop" || op == "needed") return size_bytes;
  return size_bytes / ranks * (ranks - 1);
}

std::vector<std::int64_t> SweepSizes(std::int64_t begin, std::int64_t end, double factor) {
  if (begin <= 0 || end < begin || !(factor > 1)) {
    Fail(ErrorCode::kInvalidArgument,
         "sizes from {} to {} by {}: expected 0 < begin <= end and a factor above 1",
         begin,
         end,
         factor);
  }
  constexpr double kMostSteps = 1000;
  const double steps =
      std::log(static_cast<double>(end) / static_cast<double>(begin)) / std::log1p(factor - 1);
  if (steps > kMostSteps) {
    Fail(ErrorCode::kInvalidArgument,
         "sizes from {} to {} by {}: more than {} steps; give a larger factor (-f)",
         begin,
         end,
         factor,
         kMostSteps);
  }
  std::vector<std::int64_t> sizes;
  for (double size = static_cast<double>(begin); size <= static_cast<double>(end); size *= factor) {
    const auto whole = static_cast<std::int64_t>(std::llround(size));
    if (sizes.empty() || whole > sizes.back()) sizes.push_back(whole);
  }
  return sizes;
}

std::int64_t ParseBytes(const std::string& text, const std::string& flag) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  int shift = 0;
  if (stop + 1 == end) {
    shift = *stop == 'K' ? 10 : *stop == 'M' ? 20 : *stop == 'G' ? 30 : -1;
  } else if (stop != end) {
    shift = -1;
  }
  if (error != std::errc() || shift < 0 || value <= 0 || value > (std::int64_t{1} << 40 >> shift)) {
    Fail(ErrorCode::kInvalidArgument,
         "{} '{}': expected a number of bytes up to 1024G, such as 32768, 32K, 8M or 1G",
         flag,
         text);
  }
  return value << shift;
}

}  // namespace dbsp::profiler
