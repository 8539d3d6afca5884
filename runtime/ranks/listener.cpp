// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "runtime/host.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::runtime {
namespace {

constexpr int kBacklog = 1024;
/// A connection that ended before it was accepted is skipped. No peer can keep Accept() busy.
constexpr int kMostSkipped = 64;

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;
using InterfaceList = std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)>;

/// Sends small messages at once, and detects a host that vanished within half a minute.
void SetOptions(int socket) {
  const auto set = [socket](int level, int name, int value) {
    (void)::setsockopt(socket, level, name, &value, sizeof(value));
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
}

bool IsInternet(const sockaddr* address) {
  return address != nullptr && (address->sa_family == AF_INET || address->sa_family == AF_INET6);
}

std::string Numeric(const sockaddr* address) {
  std::array<char, NI_MAXHOST> text{};
  const socklen_t size = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (::getnameinfo(address, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
    return "(unknown)";
  }
  return text.data();
}

bool IsLoopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

AddressList Resolve(const std::string& host, int port, int& error) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  return {error == 0 ? found : nullptr, &::freeaddrinfo};
}

bool IsNumeric(const std::string& host) {
  std::array<std::uint8_t, sizeof(in6_addr)> bytes{};
  const std::string plain = host.substr(0, host.find('%'));
  return ::inet_pton(AF_INET, plain.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, plain.c_str(), bytes.data()) == 1;
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

/// A listening socket; none, and the reason in `error`, when it cannot be opened.
FileDescriptor ListenOn(const addrinfo& at, int& error) {
  FileDescriptor socket(
      ::socket(at.ai_family, at.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at.ai_protocol));
  // Allows a port that an earlier run left in TIME_WAIT, but not one with a listener.
  const int reuse = 1;
  if (socket && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) == 0 &&
      ::bind(socket.get(), at.ai_addr, at.ai_addrlen) == 0 &&
      ::listen(socket.get(), kBacklog) == 0) {
    return socket;
  }
  error = errno;
  return {};
}

std::optional<FileDescriptor> ConnectTo(const addrinfo& to,
                                        std::int64_t deadline_ns,
                                        std::string& problem) {
  FileDescriptor socket(
      ::socket(to.ai_family, to.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to.ai_protocol));
  if (!socket) {
    problem = std::strerror(errno);
    return std::nullopt;
  }
  if (::connect(socket.get(), to.ai_addr, to.ai_addrlen) != 0) {
    int error = errno;
    if (error == EINPROGRESS || error == EINTR) {
      error = ETIMEDOUT;
      if (WaitForFile(socket.get(), WaitTo::kWrite, deadline_ns)) {
        socklen_t size = sizeof(error);
        (void)::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
    if (error != 0) {
      problem = std::strerror(error);
      return std::nullopt;
    }
  }
  SetOptions(socket.get());
  return socket;
}

/// Addresses of this host's interfaces that other hosts may reach.
std::vector<std::string> InterfaceAddresses() {
  std::vector<std::string> addresses;
  ifaddrs* found = nullptr;
  if (::getifaddrs(&found) != 0) return addresses;
  const InterfaceList owner(found, &::freeifaddrs);
  for (const ifaddrs* at = found; at != nullptr; at = at->ifa_next) {
    if ((at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) continue;
    if (!IsInternet(at->ifa_addr)) continue;
    const std::string address = Numeric(at->ifa_addr);
    if (!address.starts_with("fe80:")) addresses.push_back(address);
  }
  return addresses;
}

/// The source address of the default route. Connecting a datagram socket sends nothing.
std::optional<std::string> DefaultRouteAddress() {
  int error = 0;
  const AddressList to = Resolve("198.51.100.1", 9, error);  // RFC 5737: documentation
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (to == nullptr || !socket || ::connect(socket.get(), to->ai_addr, to->ai_addrlen) != 0) {
    return std::nullopt;
  }
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return std::nullopt;
  }
  return Numeric(reinterpret_cast<sockaddr*>(&address));
}

}  // namespace

std::optional<std::string> NetworkAddress() {
  const std::vector<std::string> own = InterfaceAddresses();
  int error = 0;
  const AddressList named = Resolve(HostName(), 0, error);
  for (const addrinfo* at = named.get(); at != nullptr; at = at->ai_next) {
    const std::string address = Numeric(at->ai_addr);
    if (std::ranges::find(own, address) != own.end()) return address;
  }
  std::optional<std::string> route = DefaultRouteAddress();
  if (route && std::ranges::find(own, *route) != own.end()) return route;
  if (own.empty()) return std::nullopt;
  return own.front();
}

int Listener::Add(const std::string& host, int port, int& error) {
  int unknown = 0;
  const AddressList found = Resolve(host, port, unknown);
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
    if (!IsInternet(at->ai_addr)) continue;
    const std::string address = Numeric(at->ai_addr);
    if (std::ranges::find(addresses_, address) != addresses_.end()) continue;
    FileDescriptor socket = ListenOn(*at, error);
    if (!socket) continue;
    port_ = PortOf(socket.get());
    sockets_.push_back(std::move(socket));
    addresses_.push_back(address);
    if (port == 0) return Add(host, port_, error);  // all addresses get the same port
  }
  return unknown;
}

Listener Listener::Open(const std::string& host, int port, bool one_host) {
  Listener listener;
  int error = 0;
  if (const int unknown = listener.Add(host, port, error); unknown != 0) {
    Fail(ErrorCode::kUnavailable,
         "rank 0 cannot listen on {}: {}; name an address of rank 0's host",
         host,
         ::gai_strerror(unknown));
  }
  if (!listener) {
    Fail(ErrorCode::kUnavailable,
         "rank 0 cannot listen on port {} of {}: {}; {}, or --rendezvous file:PATH",
         port,
         host,
         std::strerror(error),
         error == EADDRNOTAVAIL ? "name an address of rank 0's host" : "give another port");
  }
  const bool named = !IsNumeric(host) && host != "localhost";
  if (named && !one_host && std::ranges::all_of(listener.addresses_, IsLoopback)) {
    if (const auto address = NetworkAddress()) {
      (void)listener.Add(*address, listener.port_, error);
    }
  }
  return listener;
}

std::string Listener::Describe() const {
  return fmt::format("{}, port {}", fmt::join(addresses_, " and "), port_);
}

Listener::Outcome Listener::Accept(Connection& connection) {
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    const FileDescriptor& listening = sockets_[next_];
    next_ = (next_ + 1) % sockets_.size();
    for (int skipped = 0; skipped < kMostSkipped; ++skipped) {
      sockaddr_storage from{};
      socklen_t size = sizeof(from);
      FileDescriptor socket(::accept4(listening.get(),
                                      reinterpret_cast<sockaddr*>(&from),
                                      &size,
                                      SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (socket) {
        SetOptions(socket.get());
        connection = {std::move(socket), Numeric(reinterpret_cast<sockaddr*>(&from))};
        return Outcome::kConnection;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        return Outcome::kNoDescriptors;
      }
      // EINTR, ECONNABORTED and errors of the network belong to one connection (accept(2)).
    }
  }
  return Outcome::kNone;
}

std::optional<FileDescriptor> Connect(const std::string& host,
                                      int port,
                                      std::int64_t deadline_ns,
                                      std::string& problem) {
  int error = 0;
  const AddressList found = Resolve(host, port, error);
  if (error != 0) {
    problem = ::gai_strerror(error);
    return std::nullopt;
  }
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
    if (auto socket = ConnectTo(*at, deadline_ns, problem)) return socket;
  }
  return std::nullopt;
}

}  // namespace dbsp::runtime
