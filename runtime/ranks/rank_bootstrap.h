// SPDX-License-Identifier: Apache-2.0
// Connects the ranks of a process group. Internal to runtime/.
//
// A rank sends {"protocol", "rank", "size", "host", "host_id", "pid", "build", "token"}. Rank 0
// answers {"joined": true} at once, then {"ranks": [...]} when all ranks have joined, or
// {"refused": why}. A rank with another token gets {"another_run": true}.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/ranks/group_options.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::runtime {

/// Rank 0's side.
class RankBootstrap {
 public:
  explicit RankBootstrap(GroupOptions& options);
  ~RankBootstrap();
  RankBootstrap(const RankBootstrap&) = delete;
  RankBootstrap& operator=(const RankBootstrap&) = delete;

  /// errors  as ProcessGroup::Join
  void Run();
  [[nodiscard]] std::vector<RankProcess> TakeRanks() { return std::move(ranks_); }
  [[nodiscard]] LineChannel TakeChannel(int rank) { return std::move(channels_[rank]); }

 private:
  /// A connection whose handshake has not been read.
  struct PendingConnection {
    LineChannel channel;
    std::int64_t until_ns;
  };
  void Open();
  void AcceptConnections();
  void ReadHandshakes();
  /// Makes the sender of the handshake `line` a rank, or drops it when it is no rank of this run.
  void Admit(LineChannel& channel, const std::string& line);
  void CheckJoinedRanks();
  void SendRoster();
  /// Sends the refusal to every rank that has joined.
  void SendRefusal(const std::string& why);
  [[noreturn]] void RefuseAll(LineChannel& channel, const std::string& why);
  [[noreturn]] void GiveUp(const std::string& why);

  GroupOptions& options_;
  FileDescriptor listener_;
  std::optional<std::string> written_;  ///< path of the rendezvous file, removed at the end
  std::string token_;
  std::vector<RankProcess> ranks_;
  std::vector<bool> joined_;
  std::vector<LineChannel> channels_;
  std::vector<PendingConnection> pending_;
};

namespace internal {
/// The other ranks' side.
/// ranks    receives every rank's process
/// returns  the connection to rank 0
[[nodiscard]] LineChannel ConnectToRankZero(const GroupOptions& options,
                                            std::vector<RankProcess>& ranks);
}  // namespace internal

}  // namespace dbsp::runtime
