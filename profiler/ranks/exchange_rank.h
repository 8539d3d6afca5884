// SPDX-License-Identifier: Apache-2.0
// The data that one rank sends and receives in a measured exchange, the same for every transport,
// and bandwidths as nccl-tests defines them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/records.h"
#include "runtime/nccl/nccl_communicator.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::profiler {

/// One rank of an exchange in groups of config.ranks successive ranks. All-gathers and
/// reduce-scatters use all ranks as one group.
///   alltoall       each member sends equal parts to all other members; with an unevenness above 1
///                  the first member sends the most, and all others an equal, smaller amount
///   hop            each member sends to the previous member and receives from the next one
///   allgather      each member sends its part to all
///   reducescatter  each member receives the sum of its part over all members
///   needed         a needed-only exchange, as for a mask with a band around the diagonal: members
///   at
///                  ring distance d <= max(1, ranks / 4) get shares proportional to 1/d, the others
///                  nothing
/// With a stride s above 1, for hops only, a group has every s-th of ranks x s successive ranks, as
/// a ring of U x R ranks has every U-th. Ranks that are in no complete group send nothing.
class ExchangeRank {
 public:
  /// requires  config.ranks >= 1, 0 <= rank < size, stride 1 unless config.op is hop
  /// errors    Error{kInvalidArgument} for an unknown op; the message lists the known ones
  ExchangeRank(const ExchangeConfig& config, int rank, int size, int stride = 1);

  /// Sizes of the buffers for Run(), in floats; at least 1.
  [[nodiscard]] std::int64_t send_floats() const { return send_floats_; }
  [[nodiscard]] std::int64_t recv_floats() const { return recv_floats_; }
  /// Floats to each rank, for alltoall and needed.
  [[nodiscard]] const std::vector<std::int64_t>& send_counts() const { return send_counts_; }

  /// Runs the exchange and waits for it. send  [send_floats()]  recv  [recv_floats()]
  void Run(runtime::Communicator& communicator, const float* send, float* recv) const;
  /// Enqueues the exchange.
  void Enqueue(runtime::NcclCommunicator& communicator, const float* send, float* recv) const;

  /// [send_floats()] values to send in a check: every element encodes its sender, its receiver and
  /// its index.
  [[nodiscard]] std::vector<float> KnownValues() const;
  /// Describes the first received element that differs from the senders' KnownValues(); nothing
  /// when all are right. Sums of small whole numbers are exact. recv  [recv_floats()]
  [[nodiscard]] std::optional<std::string> WrongValue(std::span<const float> recv) const;

 private:
  /// What a communicator takes: counts and offsets in bytes.
  struct Parts {
    std::vector<std::int64_t> bytes, offsets;
  };
  struct Buffers {
    std::span<const std::byte> send;
    std::span<std::byte> recv;
  };
  [[nodiscard]] std::int64_t CountBetween(int from, int to) const;
  [[nodiscard]] Buffers BuffersOf(const float* send, float* recv) const;

  ExchangeConfig config_;
  int rank_;
  int size_;
  int first_;  ///< rank of the group's first member
  int member_;
  int previous_;
  int next_;
  std::int64_t part_ = 0;  ///< floats of a hop, or of one part of allgather and reducescatter
  std::int64_t send_floats_ = 1;
  std::int64_t recv_floats_ = 1;
  std::vector<std::int64_t> send_counts_, send_offsets_, recv_counts_, recv_offsets_;  ///< floats
  Parts send_parts_, recv_parts_;
};

/// Largest number of hosts that a complete group of `ranks` ranks with this stride is on; 1 without
/// a complete group. node  [ranks of the run] host number of each rank
[[nodiscard]] int NodesOf(std::span<const int> node, int ranks, int stride);

/// The stride for which groups of config.ranks ranks are on config.nodes hosts: 1, or for a hop
/// that of the rings of U x R = all ranks. Returns 1 when neither matches.
[[nodiscard]] int StrideOf(std::span<const int> node, const ExchangeConfig& config);

/// Number of ranks that exchange at the same time when the run has `ranks`: as many complete groups
/// as fit, at least one. For allgather and reducescatter always one group.
[[nodiscard]] int RanksTakingPart(const ExchangeConfig& config, int ranks);

/// Bandwidths as in nccl-tests (its doc/PERFORMANCE.md), in bytes per ns, which is GB/s with
/// 1 GB = 1e9 bytes. bytes_per_rank is the number of bytes that a rank sends to other ranks.
///   bus        bytes_per_rank / time, the bandwidth of the busiest link
///   algorithm  bus x n / (n - 1), the buffer's size / time; for hop and needed equal to bus
/// requires  median_ns >= 1
struct Bandwidth {
  double algorithm = 0;
  double bus = 0;
};
[[nodiscard]] Bandwidth BandwidthOf(const ExchangeConfig& config, double median_ns);

/// Converts a size of nccl-tests to bytes_per_rank of `op` between `ranks` ranks. A size is the
/// whole buffer for alltoall, allgather and reducescatter, own part included, and the bytes sent
/// for the other ops.
[[nodiscard]] std::int64_t BytesPerRank(const std::string& op, int ranks, std::int64_t size_bytes);

/// begin, begin x factor, ... up to and including end, as nccl-tests' -b, -e and -f.
/// errors  Error{kInvalidArgument} unless 0 < begin <= end and factor > 1
[[nodiscard]] std::vector<std::int64_t> SweepSizes(std::int64_t begin,
                                                   std::int64_t end,
                                                   double factor);

/// "32K", "8M", "1G" or a plain number of bytes, with K = 1024, as in nccl-tests.
/// errors  Error{kInvalidArgument} with the flag's name
[[nodiscard]] std::int64_t ParseBytes(const std::string& text, const std::string& flag);

}  // namespace dbsp::profiler
