// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/exchange.h"

#include <algorithm>

#include "core/error.h"

namespace dbsp::runtime {
namespace {

/// Step `s` of `rank` without its counts.
Transfer Step(int rank, int s, int size) {
  Transfer step;
  step.send_to = (rank - s + size) % size;
  step.receive_from = (rank + s) % size;
  return step;
}

}  // namespace

std::vector<Transfer> AllToAllSteps(int rank,
                                    std::span<const std::int64_t> send_counts,
                                    std::span<const std::int64_t> send_offsets,
                                    std::span<const std::int64_t> recv_counts,
                                    std::span<const std::int64_t> recv_offsets) {
  const auto size = static_cast<int>(send_counts.size());
  std::vector<Transfer> steps;
  for (int s = 0; s < size; ++s) {
    Transfer step = Step(rank, s, size);
    step.send_offset = send_offsets[step.send_to];
    step.send_count = send_counts[step.send_to];
    step.recv_offset = recv_offsets[step.receive_from];
    step.recv_count = recv_counts[step.receive_from];
    steps.push_back(step);
  }
  return steps;
}

std::vector<Transfer> AllGatherSteps(int rank,
                                     std::int64_t send_count,
                                     std::span<const std::int64_t> counts,
                                     std::span<const std::int64_t> offsets) {
  const auto size = static_cast<int>(counts.size());
  std::vector<Transfer> steps;
  for (int s = 0; s < size; ++s) {
    Transfer step = Step(rank, s, size);
    step.send_count = send_count;
    step.recv_offset = offsets[step.receive_from];
    step.recv_count = counts[step.receive_from];
    steps.push_back(step);
  }
  return steps;
}

bool IsEven(std::span<const std::int64_t> counts, std::span<const std::int64_t> offsets) {
  for (std::size_t r = 0; r < counts.size(); ++r) {
    if (counts[r] != counts[0]) return false;
    if (offsets[r] != static_cast<std::int64_t>(r) * counts[0]) return false;
  }
  return true;
}

void RequireCounts(const char* call,
                   int rank,
                   int size,
                   std::span<const std::int64_t> counts,
                   std::span<const std::int64_t> offsets) {
  const auto ranks = static_cast<std::size_t>(size);
  if (counts.size() == ranks && offsets.size() == ranks &&
      std::none_of(counts.begin(), counts.end(), [](std::int64_t n) { return n < 0; })) {
    return;
  }
  Fail(ErrorCode::kInvalidArgument,
       "{} on rank {}: {} counts and {} offsets for {} ranks; one of each per rank, none negative",
       call,
       rank,
       counts.size(),
       offsets.size(),
       ranks);
}

void RequireHop(int rank, int size, const Transfer& hop) {
  const auto inside = [&](int peer) { return peer >= 0 && peer < size; };
  if (inside(hop.send_to) && inside(hop.receive_from) && hop.send_count >= 0 &&
      hop.recv_count >= 0) {
    return;
  }
  Fail(ErrorCode::kInvalidArgument,
       "StartSendRecv on rank {}: {} elements to rank {}, {} from rank {}; ranks are 0..{} and "
       "counts at least 0",
       rank,
       hop.send_count,
       hop.send_to,
       hop.recv_count,
       hop.receive_from,
       size - 1);
}

}  // namespace dbsp::runtime
