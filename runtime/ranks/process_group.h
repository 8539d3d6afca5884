// SPDX-License-Identifier: Apache-2.0
// Ranks that are processes, on one host or several: who they are, and short messages between rank 0
// and each other one. It carries no tensors; those go over NCCL (docs/design/0014).
//
// No wait is without a deadline, and a process that ends is noticed by its closed connection: from
// then on the group is broken, and says by whom.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "runtime/file_descriptor.h"
#include "runtime/ranks/line_channel.h"
#include "runtime/ranks/rendezvous.h"

namespace dbsp::runtime {

/// Of the messages between ranks; ranks of different ones refuse each other.
inline constexpr const char* kRanksProtocol = "dbsp.ranks/1";

/// One rank's process.
struct RankProcess {
  int rank = 0;
  std::string host;
  std::string host_id;  ///< equal exactly on the same running system
  int pid = 0;
  int local_rank = 0;  ///< ranks below it on the same host
  int node = 0;  ///< hosts are numbered by their lowest rank
};

struct GroupOptions {
  int rank = 0;
  int size = 1;
  Rendezvous rendezvous;
  FileDescriptor listener = {};  ///< of rank 0, where it listens already
  /// What a rank must know to join; with a rendezvous file rank 0 makes it and the file tells.
  std::string token;
  std::string build;  ///< the same on every rank: "dbsp 0.1.0 commit 0123abcd"
  std::int64_t deadline_ns = 60'000'000'000;  ///< until all have joined, and of every message
  /// Asked while waiting for or having lost a rank: how its process ended, where that is known.
  std::function<std::optional<std::string>(int rank)> ended =
      [](int) -> std::optional<std::string> { return std::nullopt; };
  std::function<bool()> interrupted = [] { return false; };
};

/// Rank 0 has ended the run before it began, and has said why: others need not say it again.
class EndedByRankZero : public Error {
 public:
  using Error::Error;
};

/// threads  one
class ProcessGroup {
 public:
  /// Until every rank has come. Rank 0 refuses for all, in one line, ranks of another protocol,
  /// build or number of ranks and a rank that comes twice; connections of strangers are dropped.
  /// errors  Error{kMismatch} for those; Error{kUnavailable} when rank 0 cannot listen;
  ///         Error{kMeasurement} when not all came in time, naming who is missing, one ended while
  ///         the others waited, or the user interrupted; EndedByRankZero on the other ranks
  [[nodiscard]] static std::unique_ptr<ProcessGroup> Join(GroupOptions options);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  [[nodiscard]] int rank() const { return options_.rank; }
  [[nodiscard]] int size() const { return options_.size; }
  [[nodiscard]] std::int64_t deadline_ns() const { return options_.deadline_ns; }
  /// Every rank's, known to all.
  [[nodiscard]] const std::vector<RankProcess>& ranks() const { return ranks_; }
  /// "rank 3 (gpu7, pid 4711)"
  [[nodiscard]] std::string NameOf(int rank) const;

  /// Between rank 0 and another one, an object. errors Error{kMeasurement} when that one is gone
  void Send(int to, const Json& message);
  /// The oldest message of `from`. `what` completes "did not answer within 60 s: ...".
  /// errors  Error{kMeasurement} when any rank is gone, or `from` says nothing in time, which
  ///         breaks the group as well
  [[nodiscard]] Json Receive(int from, std::int64_t deadline_ns, const std::string& what);
  /// Until something comes of `from`, it is gone, or for so long.
  void WaitFor(int from, std::int64_t longest_ns);
  /// What has come of `from` and was not received; Pump() first.
  [[nodiscard]] const std::deque<Json>& Pending(int from) const;
  /// Reads what has come of all, without waiting.
  void Pump();
  /// Why not all ranks are there any more; the first reason stays.
  [[nodiscard]] const std::optional<std::string>& broken() const { return broken_; }

 private:
  struct Link {
    LineChannel channel;
    std::deque<Json> messages;
  };
  explicit ProcessGroup(GroupOptions options);
  void Gather();
  void MeetRankZero();
  [[nodiscard]] Link& LinkTo(int rank);
  void PumpLink(int rank);
  void Break(const std::string& why);
  void Number();

  GroupOptions options_;
  std::vector<RankProcess> ranks_;
  std::vector<Link> links_;  ///< by rank on rank 0, its own unused; elsewhere only that to rank 0
  std::optional<std::string> broken_;
};

/// What tells this running system from others: the kernel's boot id, with the name where a machine
/// has none, and the network namespace, in which containers of one machine differ.
[[nodiscard]] std::string HostId();

}  // namespace dbsp::runtime
