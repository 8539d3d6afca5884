// SPDX-License-Identifier: Apache-2.0
// Ranks that are processes, on one host or several: their identities, and short messages between
// rank 0 and every other rank. Tensors do not go through it; they go over NCCL (docs/design/0014).
//
// Every wait has a deadline. A process that ends is detected by its closed connection. From then on
// the group is broken, and broken() names the rank.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "runtime/ranks/group_options.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::runtime {

/// threads  one
class ProcessGroup {
 public:
  /// Returns when every rank has joined. Rank 0 ends the run for all ranks, with one line, when a
  /// rank has another build or number of ranks, or when two processes claim one rank. A
  /// program that does not know the token can neither end nor delay the run: rank 0 closes its
  /// connection (docs/design/0022-rendezvous-threats.md).
  /// errors  Error{kMismatch} in those cases; Error{kUnavailable} when rank 0 cannot listen;
  ///         Error{kMeasurement} when ranks are missing at the deadline (the message names them),
  ///         when a rank ended during the wait, or when the user interrupted; EndedByRankZero on
  ///         the other ranks
  [[nodiscard]] static std::unique_ptr<ProcessGroup> Join(GroupOptions options);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  [[nodiscard]] int rank() const { return options_.rank; }
  [[nodiscard]] int size() const { return options_.size; }
  [[nodiscard]] std::int64_t deadline_ns() const { return options_.deadline_ns; }
  /// [size()] the same list on every rank.
  [[nodiscard]] const std::vector<RankProcess>& ranks() const { return ranks_; }
  /// "rank 3 (gpu7, pid 4711)"
  [[nodiscard]] std::string NameOf(int rank) const;

  /// Sends a JSON object from rank 0 to another rank, or from another rank to rank 0.
  /// errors  Error{kMeasurement} when the receiver is gone
  void Send(int to, const Json& message);
  /// Removes and returns the oldest message of `from`.
  /// what    completes the error message "did not answer within 60 s: ..."
  /// errors  Error{kMeasurement} if any rank has disconnected, or if `from` sends nothing before
  ///         the deadline. After a missed deadline every later Receive() fails, too
  [[nodiscard]] Json Receive(int from, std::int64_t deadline_ns, const std::string& what);
  /// Breaks the group because `from` sent nothing for `waited_ns`.
  /// what    as for Receive()
  [[noreturn]] void GiveUpOn(int from, std::int64_t waited_ns, const std::string& what);
  /// Waits until data from `from` arrives, its connection closes, or `longest_ns` have passed.
  void WaitFor(int from, std::int64_t longest_ns);
  /// Messages of `from` that Pump() has read and Receive() has not returned.
  [[nodiscard]] const std::deque<Json>& Pending(int from) const;
  /// Reads the messages that have arrived from all ranks, without waiting.
  void Pump();
  /// Why a rank is missing; nothing while all ranks are connected. The first reason stays.
  [[nodiscard]] const std::optional<std::string>& broken() const { return broken_; }

 private:
  struct Link {
    LineChannel channel;
    std::deque<Json> messages;
  };
  explicit ProcessGroup(GroupOptions options);
  void AcceptRanks();
  void ConnectToRankZero();
  void AssignNodes();
  [[nodiscard]] Link& LinkTo(int rank);
  void PumpLink(int rank);
  void Break(const std::string& why);

  GroupOptions options_;
  std::vector<RankProcess> ranks_;
  /// On rank 0 [size()], by rank, the first unused; on other ranks one link, to rank 0.
  std::vector<Link> links_;
  std::optional<std::string> broken_;
};

}  // namespace dbsp::runtime
