// SPDX-License-Identifier: Apache-2.0
// How rank processes find rank 0: an address given to all ranks, or a file into which rank 0 writes
// its address and a token.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// The address of rank 0.
struct RankZero {
  std::vector<std::string> hosts;  ///< names and addresses, tried in order
  int port = 0;
  std::string token;  ///< secret of this run, so that a rank never joins another run
};

/// "host:port", "[::1]:port" or "file:PATH".
struct Rendezvous {
  std::string host = {};
  int port = 0;
  std::optional<std::string> path = {};  ///< of the file; then host and port are not used
};
/// errors  Error{kInvalidArgument} naming --rendezvous
[[nodiscard]] Rendezvous ParseRendezvous(const std::string& text);
[[nodiscard]] std::string Describe(const Rendezvous& rendezvous);

/// Rank 0's rendezvous file. It appears in one step, and only its owner can read it.
/// owns  the file: removed at the end, unless another run has replaced it
class RendezvousFile {
 public:
  /// errors  Error{kIo} when the folder cannot be written
  RendezvousFile(std::string path, const RankZero& zero);
  ~RendezvousFile();
  RendezvousFile(const RendezvousFile&) = delete;
  RendezvousFile& operator=(const RendezvousFile&) = delete;

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// What rank 0 wrote. Returns nothing, and the reason in `problem`, when the file is absent,
/// incomplete, or may have been written or read by another user: others have rights to it, or it
/// has another owner and lies in a folder that others can write.
[[nodiscard]] std::optional<RankZero> ReadRankZero(const std::string& path, std::string& problem);

}  // namespace dbsp::runtime
