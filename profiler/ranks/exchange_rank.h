// SPDX-License-Identifier: Apache-2.0
// What one rank sends and receives in an exchange that is measured, the same over every transport,
// and how fast that is in nccl-tests' terms.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/records.h"
#include "runtime/nccl/nccl_communicator.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::profiler {

/// Groups of config.ranks ranks side by side, the last rank of one before the first of the next;
/// all-gathers and reduce-scatters take all ranks.
///   alltoall       each member shares its amount equally among the others; with an unevenness the
///                  first member has the most and all others the same, less
///   hop            to the previous member, from the next one
///   allgather      each gives an equal part to all
///   reducescatter  each sums its part over all
///   needed         one group of sends to those who need the keys: members at ring distance d of at
///                  most max(1, ranks / 4) get shares like 1/d, the others nothing, as a mask of a
///                  band around the diagonal asks for
/// With a stride s above 1, which hops alone know, the members of a group are every s-th of
/// ranks x s successive ranks, as a ring of U x R ranks takes every U-th.
/// A rank outside every whole group takes part with nothing.
class ExchangeRank {
 public:
  /// requires  config.ranks >= 1, 0 <= rank < size, stride 1 unless config.op is hop
  /// errors    Error{kInvalidArgument} for an op that is none of the above, naming those
  ExchangeRank(const ExchangeConfig& config, int rank, int size, int stride = 1);

  /// Room that Run() takes, in floats; at least 1.
  [[nodiscard]] std::int64_t send_floats() const { return send_floats_; }
  [[nodiscard]] std::int64_t recv_floats() const { return recv_floats_; }
  /// Elements for each rank; of an all-to-all or needed-only exchange.
  [[nodiscard]] const std::vector<std::int64_t>& send_counts() const { return send_counts_; }

  void Run(runtime::Communicator& communicator, const float* send, float* recv) const;
  /// The same without waiting.
  void Enqueue(runtime::NcclCommunicator& communicator, const float* send, float* recv) const;

  /// What this rank sends where an exchange is checked: every element tells whence, where to and
  /// which one it is. [send_floats()]
  [[nodiscard]] std::vector<float> KnownValues() const;
  /// The first element received that is not what the others' KnownValues() are, in words; nothing
  /// when all are right. Sums are exact: they are of small whole numbers.
  /// recv  [recv_floats()]
  [[nodiscard]] std::optional<std::string> WrongValue(std::span<const float> recv) const;

 private:
  [[nodiscard]] std::int64_t CountBetween(int from, int to) const;

  ExchangeConfig config_;
  int rank_;
  int size_;
  int first_;  ///< rank of the group's first member
  int member_;
  int previous_;
  int next_;
  std::int64_t part_ = 0;  ///< of a hop, an all-gather or a reduce-scatter
  std::int64_t send_floats_ = 1;
  std::int64_t recv_floats_ = 1;
  std::vector<std::int64_t> send_counts_, send_offsets_, recv_counts_, recv_offsets_;
};

/// Most hosts that a group of `ranks` ranks with this stride is on, over all whole groups; 1 where
/// there is none.
/// node  [ranks of the run] host of each
[[nodiscard]] int NodesOf(std::span<const int> node, int ranks, int stride);

/// The stride at which groups of config.ranks are on config.nodes hosts: 1, or for a hop that of
/// the rings of U x R = all ranks. 1 where neither is.
[[nodiscard]] int StrideOf(std::span<const int> node, const ExchangeConfig& config);

/// Ranks that exchange at once when there are `ranks`: as many whole groups as there is room for,
/// at least one; of an all-gather or reduce-scatter, which takes all ranks of a communicator, one.
[[nodiscard]] int RanksTakingPart(const ExchangeConfig& config, int ranks);

/// Bytes over time as nccl-tests has them (its doc/PERFORMANCE.md), in bytes per ns, which is GB/s
/// of 1e9 bytes. bytes_per_rank is what a rank sends to (or receives from) others, so
///   bus        bytes_per_rank / time: what the busiest link has to carry
///   algorithm  bus x n / (n - 1): the buffer's size / time; for hop and needed the same as bus
/// requires  median_ns >= 1
struct Bandwidth {
  double algorithm = 0;
  double bus = 0;
};
[[nodiscard]] Bandwidth BandwidthOf(const ExchangeConfig& config, double median_ns);

/// What nccl-tests calls a size, as bytes_per_rank of `op` between `ranks`: the whole buffer, own
/// part included, of all-to-all, all-gather and reduce-scatter; what is sent of the others.
[[nodiscard]] std::int64_t BytesPerRank(const std::string& op, int ranks, std::int64_t size_bytes);

/// begin, begin x factor, ... up to and including end: nccl-tests' -b, -e and -f.
/// errors  Error{kInvalidArgument} unless 0 < begin <= end and factor > 1
[[nodiscard]] std::vector<std::int64_t> SweepSizes(std::int64_t begin,
                                                   std::int64_t end,
                                                   double factor);

/// "32K", "8M", "1G" or a plain number, in bytes of 1024 as nccl-tests reads them.
/// errors  Error{kInvalidArgument} naming the flag
[[nodiscard]] std::int64_t ParseBytes(const std::string& text, const std::string& flag);

}  // namespace dbsp::profiler
