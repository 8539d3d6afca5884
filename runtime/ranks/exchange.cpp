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

void RequireParts(const char* call,
                  int rank,
                  int size,
                  std::span<const std::int64_t> counts,
                  std::span<const std::int64_t> offsets,
                  std::size_t bytes) {
  const auto ranks = static_cast<std::size_t>(size);
  if (counts.size() != ranks || offsets.size() != ranks ||
      std::ranges::any_of(counts, [](std::int64_t n) { return n < 0; })) {
    Fail(
        ErrorCode::kInvalidArgument,
        "{} on rank {}: {} counts and {} offsets for {} ranks; one of each per rank, none negative",
        call,
        rank,
        counts.size(),
        offsets.size(),
        ranks);
  }
  const auto end = static_cast<std::int64_t>(bytes);
  for (std::size_t r = 0; r < ranks; ++r) {
    if (counts[r] == 0 || (offsets[r] >= 0 && counts[r] <= end && offsets[r] <= end - counts[r])) {
      continue;
    }
    Fail(ErrorCode::kInvalidArgument,
         "{} on rank {}: {} bytes at {} of rank {} are outside the buffer of {} bytes",
         call,
         rank,
         counts[r],
         offsets[r],
         r,
         bytes);
  }
}

void RequireSums(int rank, int size, std::size_t sent, std::size_t received) {
  if (sent == static_cast<std::size_t>(size) * received) return;
  Fail(ErrorCode::kInvalidArgument,
       "ReduceScatter on rank {}: {} values to send and {} to receive between {} ranks; expected "
       "as many parts as ranks",
       rank,
       sent,
       received,
       size);
}

Transfer HopOf(int rank,
               int size,
               std::span<const std::byte> send,
               int dst,
               std::span<std::byte> recv,
               int src) {
  const auto inside = [&](int peer) { return peer >= 0 && peer < size; };
  if (!inside(dst) || !inside(src)) {
    Fail(ErrorCode::kInvalidArgument,
         "StartSendRecv on rank {}: {} bytes to rank {}, {} from rank {}; ranks are 0..{}",
         rank,
         send.size(),
         dst,
         recv.size(),
         src,
         size - 1);
  }
  return {.send_to = dst,
          .send_offset = 0,
          .send_count = static_cast<std::int64_t>(send.size()),
          .receive_from = src,
          .recv_offset = 0,
          .recv_count = static_cast<std::int64_t>(recv.size())};
}

}  // namespace dbsp::runtime
