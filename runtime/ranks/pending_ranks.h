// SPDX-License-Identifier: Apache-2.0
// Connections to rank 0 that have not yet proved that they know the token. Any program that reaches
// the port can make them, so each has limits of size and time, and their number is limited
// (docs/design/0022-rendezvous-threats.md). Internal to runtime/.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/ranks/line_channel.h"
#include "runtime/ranks/listener.h"
#include "runtime/ranks/rank_handshake.h"

namespace dbsp::runtime {

/// threads  one
class PendingRanks {
 public:
  /// size  number of ranks; more connections than that may wait, because a rank may try again
  PendingRanks(Listener listener, std::string token, int size);

  /// A connection whose sender knows the token. `facts` is what it sent, not yet parsed.
  struct Proven {
    LineChannel channel;
    std::string address;
    std::string facts;
  };
  /// Accepts and reads without waiting, and sends answers. A full table loses its oldest
  /// connection.
  [[nodiscard]] std::vector<Proven> Advance();

  /// Connections that were closed because they proved nothing.
  [[nodiscard]] std::int64_t dropped() const { return dropped_; }
  /// Whether a connection could not be accepted because this process may open no more files.
  [[nodiscard]] bool lacked_descriptors() const { return lacked_descriptors_; }
  /// Connections that wait now.
  [[nodiscard]] std::size_t size() const { return connections_.size(); }

 private:
  struct Connection {
    LineChannel channel;
    std::string address;
    std::int64_t until_ns = 0;
    Nonces nonces = {};  ///< both empty until the hello is right
    std::optional<std::string> facts = {};
  };
  using Iterator = std::list<Connection>::iterator;
  void Accept();
  /// Reads the connection's next line. Returns false when it must be closed.
  [[nodiscard]] bool Step(Connection& connection);
  [[nodiscard]] bool Answer(Connection& connection, const std::string& line);
  void MakeRoom(const std::string& address);
  /// Closes the oldest connection without a right hello, of `address` if it is given. Returns false
  /// when there is none.
  bool DropOldest(const std::optional<std::string>& address);
  Iterator Drop(Iterator at);

  Listener listener_;
  std::string token_;
  std::size_t most_;
  std::size_t most_per_address_;
  std::list<Connection> connections_;  ///< the oldest first
  std::set<std::string> used_nonces_;  ///< of right hellos: a recorded hello is not answered again
  std::int64_t dropped_ = 0;
  bool lacked_descriptors_ = false;
};

}  // namespace dbsp::runtime
