// SPDX-License-Identifier: Apache-2.0
// The transfers that collective calls are made of, on one rank, in order. Every transport runs
// these lists: threads copy what they say, NCCL sends and receives it in one group. So what is
// tested on the CPU (counts, offsets, order) is what a cluster runs. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::runtime {

/// One step of an exchange on one rank. Counts and offsets are in elements; a count of 0 is nothing
/// to do, and both ends know that.
struct Transfer {
  int send_to = 0;
  std::int64_t send_offset = 0;
  std::int64_t send_count = 0;
  int receive_from = 0;
  std::int64_t recv_offset = 0;
  std::int64_t recv_count = 0;
  bool operator==(const Transfer&) const = default;
};

/// Step s sends to rank - s and receives from rank + s (modulo size), s = 0 to size - 1: in every
/// step each rank sends to one and receives from one, so no rank is sent to by all at once, and
/// step s of the sender is step s of its receiver. Step 0 is the rank's own part.
/// requires  counts and offsets of one element per rank, checked by RequireCounts()
[[nodiscard]] std::vector<Transfer> AllToAllSteps(int rank,
                                                  std::span<const std::int64_t> send_counts,
                                                  std::span<const std::int64_t> send_offsets,
                                                  std::span<const std::int64_t> recv_counts,
                                                  std::span<const std::int64_t> recv_offsets);

/// The same steps, with all of `send` to every rank.
[[nodiscard]] std::vector<Transfer> AllGatherSteps(int rank,
                                                   std::int64_t send_count,
                                                   std::span<const std::int64_t> counts,
                                                   std::span<const std::int64_t> offsets);

/// Equal parts, one behind the other, on all ranks: what a library's own all-gather can do.
[[nodiscard]] bool IsEven(std::span<const std::int64_t> counts,
                          std::span<const std::int64_t> offsets);

/// errors  Error{kInvalidArgument} naming the call and the rank unless there is one count and one
///         offset per rank and no count is negative
void RequireCounts(const char* call,
                   int rank,
                   int size,
                   std::span<const std::int64_t> counts,
                   std::span<const std::int64_t> offsets);

/// errors  Error{kInvalidArgument} unless both ranks are 0..size-1 and no count is negative
void RequireHop(int rank, int size, const Transfer& hop);

}  // namespace dbsp::runtime
