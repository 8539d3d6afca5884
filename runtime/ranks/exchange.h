// SPDX-License-Identifier: Apache-2.0
// Point-to-point transfers that make up a collective call, as one rank's ordered list. Every
// transport runs these lists: the CPU transport copies between threads, NCCL sends and receives in
// one group. Tests of counts, offsets and order on the CPU therefore hold for NCCL too. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::runtime {

/// One step of an exchange on one rank. Counts and offsets are in bytes. A count of 0 is skipped
/// on both sides.
struct Transfer {
  int send_to = 0;
  std::int64_t send_offset = 0;
  std::int64_t send_count = 0;
  int receive_from = 0;
  std::int64_t recv_offset = 0;
  std::int64_t recv_count = 0;
  bool operator==(const Transfer&) const = default;
};

/// Step s sends to rank - s and receives from rank + s (modulo size), for s from 0 to size - 1. In
/// every step each rank sends to one rank and receives from one rank, so that no rank receives from
/// all others at once. Step s of a sender is step s of its receiver. Step 0 is the rank's own part.
/// requires  one count and one offset per rank, checked by RequireParts()
[[nodiscard]] std::vector<Transfer> AllToAllSteps(int rank,
                                                  std::span<const std::int64_t> send_counts,
                                                  std::span<const std::int64_t> send_offsets,
                                                  std::span<const std::int64_t> recv_counts,
                                                  std::span<const std::int64_t> recv_offsets);

/// The same steps; every rank receives all of `send`.
[[nodiscard]] std::vector<Transfer> AllGatherSteps(int rank,
                                                   std::int64_t send_count,
                                                   std::span<const std::int64_t> counts,
                                                   std::span<const std::int64_t> offsets);

/// True when all counts are equal and the parts are contiguous in the order of ranks, as
/// ncclAllGather requires.
[[nodiscard]] bool IsEven(std::span<const std::int64_t> counts,
                          std::span<const std::int64_t> offsets);

/// errors  Error{kInvalidArgument} naming the call and the rank unless there is one count and one
///         offset per rank, no count is negative and every part lies in a buffer of `bytes` bytes
void RequireParts(const char* call,
                  int rank,
                  int size,
                  std::span<const std::int64_t> counts,
                  std::span<const std::int64_t> offsets,
                  std::size_t bytes);

/// errors  Error{kInvalidArgument} unless a reduce-scatter's buffers have the sizes that
///         Communicator::ReduceScatter() requires
void RequireSums(int rank, int size, std::size_t sent, std::size_t received);

/// The exchange of StartSendRecv() on `rank`.
/// errors  Error{kInvalidArgument} unless both ranks are 0..size-1
[[nodiscard]] Transfer HopOf(int rank,
                             int size,
                             std::span<const std::byte> send,
                             int dst,
                             std::span<std::byte> recv,
                             int src);

}  // namespace dbsp::runtime
