// SPDX-License-Identifier: Apache-2.0
// How a process group comes together. Internal to runtime/.
//
// A rank says {"protocol", "rank", "size", "host", "host_id", "pid", "build", "token"}; rank 0
// answers {"joined": true} at once, {"ranks": [...]} when all have come, or {"refused": why}.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/ranks/process_group.h"

namespace dbsp::runtime {

/// Rank 0's part.
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
  struct Stranger {
    LineChannel channel;
    std::int64_t until_ns;
  };
  void Open();
  void AcceptAll();
  void ReadHandshakes();
  /// True when it has become a rank.
  bool Admit(LineChannel& channel, const std::string& line);
  [[noreturn]] void RefuseAll(LineChannel& channel, const std::string& why);
  void CheckThoseWhoCame();
  [[noreturn]] void GiveUp(const std::string& why);
  void SendRoster();

  GroupOptions& options_;
  FileDescriptor listener_;
  std::string written_;  ///< the rendezvous file, to be removed
  std::string token_;
  std::vector<RankProcess> ranks_;
  std::vector<bool> came_;
  std::vector<LineChannel> channels_;
  std::vector<Stranger> strangers_;
};

namespace internal {
/// The other ranks' part: the connection to rank 0, and who all are.
[[nodiscard]] LineChannel MeetRankZero(const GroupOptions& options,
                                       std::vector<RankProcess>& ranks);
}  // namespace internal

}  // namespace dbsp::runtime
