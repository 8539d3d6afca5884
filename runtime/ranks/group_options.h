// SPDX-License-Identifier: Apache-2.0
// Types that a process group and its bootstrap share: one rank's process, how to join, and the
// error of a run that rank 0 ended.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "runtime/ranks/listener.h"
#include "runtime/ranks/rendezvous.h"

namespace dbsp::runtime {

inline constexpr int kMostRanks = 65536;

/// One rank's process.
struct RankProcess {
  int rank = 0;
  std::string host;
  std::string host_id;  ///< HostId() of the host: equal for ranks on the same running system
  int pid = 0;
  int local_rank = 0;  ///< number of lower ranks on the same host
  int node = 0;  ///< host number; hosts are numbered in the order of their lowest ranks
};

struct GroupOptions {
  int rank = 0;
  int size = 1;
  Rendezvous rendezvous;
  Listener listener = {};  ///< rank 0 only: an open listener, used instead of the rendezvous
  /// What a rank must know to join; it is never sent or printed. With a rendezvous file, rank 0
  /// also draws a token and writes it into the file, and this one may be empty.
  std::string token;
  bool one_host = false;  ///< all ranks are known to be on this host
  std::string build;  ///< must be equal on every rank: "dbsp 0.1.0 commit 0123abcd"
  std::int64_t deadline_ns = 60'000'000'000;  ///< for joining, and for every message
  /// Returns how the process of `rank` ended, where this process knows it. Asked while a rank is
  /// missing and after a rank is lost.
  std::function<std::optional<std::string>(int rank)> ended =
      [](int) -> std::optional<std::string> { return std::nullopt; };
  std::function<bool()> interrupted = [] { return false; };
  /// Receives, on rank 0, the addresses and the port on which it listens.
  std::function<void(const std::string& listens_on)> listening = [](const std::string&) {};
  /// Checks a message of another rank when it arrives. An Error breaks the group, and the reason
  /// names the sender.
  std::function<void(const JsonView& message)> check = [](const JsonView&) {};
};

/// Rank 0 ended the run before it began and reported the reason. Other ranks do not report it
/// again.
class EndedByRankZero : public Error {
 public:
  using Error::Error;
};

}  // namespace dbsp::runtime
