// SPDX-License-Identifier: Apache-2.0
// Rank 0's side of the bootstrap: it listens until every rank has joined. Internal to runtime/.
// rank_handshake.h has the messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/ranks/group_options.h"
#include "runtime/ranks/line_channel.h"
#include "runtime/ranks/pending_ranks.h"

namespace dbsp::runtime {

class RankBootstrap {
 public:
  explicit RankBootstrap(GroupOptions& options);
  RankBootstrap(const RankBootstrap&) = delete;
  RankBootstrap& operator=(const RankBootstrap&) = delete;

  /// errors  as ProcessGroup::Join
  void Run();
  [[nodiscard]] std::vector<RankProcess> TakeRanks() { return std::move(ranks_); }
  [[nodiscard]] LineChannel TakeChannel(int rank) { return std::move(channels_[rank]); }

 private:
  void Open();
  /// Makes the sender a rank. It knows the token, so a wrong fact ends the run.
  void Admit(PendingRanks::Proven& proven);
  void CheckFacts(PendingRanks::Proven& proven,
                  const RankProcess& process,
                  std::int64_t size,
                  const std::string& build);
  void CheckJoinedRanks();
  [[nodiscard]] std::string Missing() const;
  void SendRoster();
  /// Sends the refusal to every rank that has joined.
  void SendRefusal(const std::string& why);
  [[noreturn]] void RefuseAll(LineChannel& channel, const std::string& why);
  [[noreturn]] void GiveUp(const std::string& why);

  GroupOptions& options_;
  std::optional<PendingRanks> pending_;
  std::optional<RendezvousFile> file_;
  std::vector<RankProcess> ranks_;
  std::vector<bool> joined_;
  std::vector<LineChannel> channels_;
};

}  // namespace dbsp::runtime
