// SPDX-License-Identifier: Apache-2.0
// Rank 0's listening sockets: on named addresses of this host only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file_descriptor.h"

namespace dbsp::runtime {

/// threads  one
class Listener {
 public:
  Listener() = default;
  /// Listens on every address of `host` that this host has. A name that this host knows as a
  /// loopback address only, such as its own name in /etc/hosts, also means NetworkAddress().
  /// host     a name or a numeric address; every interface for "0.0.0.0" and "::" only
  /// port     0: any free port
  /// one_host whether all ranks are on this host: then NetworkAddress() is never added
  /// errors   Error{kUnavailable} when `host` is unknown or not an address of this host, or when
  ///          the port is in use or not permitted
  static Listener Open(const std::string& host, int port, bool one_host);

  explicit operator bool() const { return !sockets_.empty(); }
  [[nodiscard]] int port() const { return port_; }
  /// Numeric, as they are bound.
  [[nodiscard]] const std::vector<std::string>& addresses() const { return addresses_; }
  /// "127.0.0.1 and 10.0.0.7, port 2950"
  [[nodiscard]] std::string Describe() const;

  struct Connection {
    FileDescriptor socket;
    std::string address;  ///< of the peer, numeric
  };
  enum class Outcome : std::uint8_t { kConnection, kNone, kNoDescriptors };
  /// The next new connection in `connection`, without waiting. kNoDescriptors: there is one, but
  /// this process or the system may open no more files.
  [[nodiscard]] Outcome Accept(Connection& connection);

 private:
  /// Listens on the addresses of `host`. Returns the error of getaddrinfo, and the last one of a
  /// socket in `error`.
  int Add(const std::string& host, int port, int& error);

  std::vector<FileDescriptor> sockets_;
  std::vector<std::string> addresses_;
  int port_ = 0;
  std::size_t next_ = 0;  ///< socket that Accept() asks first
};

/// The address under which other hosts most likely reach this one: the address of this host's name,
/// else of the default route, else of any interface. Nothing on a host with loopback only.
[[nodiscard]] std::optional<std::string> NetworkAddress();

/// A connection; nothing when the host is unknown or nothing listens there, with the reason in
/// `problem`.
[[nodiscard]] std::optional<FileDescriptor> Connect(const std::string& host,
                                                    int port,
                                                    std::int64_t deadline_ns,
                                                    std::string& problem);

}  // namespace dbsp::runtime
