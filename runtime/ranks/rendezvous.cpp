// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rendezvous.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "runtime/host.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::runtime {
namespace {

constexpr int kBacklog = 1024;

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

std::optional<std::string> NumericAddress(const sockaddr* address, unsigned flags) {
  if (address == nullptr || (flags & IFF_UP) == 0) return std::nullopt;
  const bool v4 = address->sa_family == AF_INET;
  if (!v4 && address->sa_family != AF_INET6) return std::nullopt;
  std::array<char, NI_MAXHOST> text{};
  const socklen_t size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (::getnameinfo(address, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
    return std::nullopt;
  }
  return std::string(text.data());
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
    if (error == EINPROGRESS) {
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

}  // namespace

Rendezvous ParseRendezvous(const std::string& text) {
  Rendezvous rendezvous;
  if (text.starts_with("file:") && text.size() > 5) {
    rendezvous.path = text.substr(5);
    return rendezvous;
  }
  const std::size_t colon = text.rfind(':');
  if (colon != std::string::npos && colon > 0) {
    rendezvous.host = text.substr(0, colon);
    if (rendezvous.host.starts_with('[') && rendezvous.host.ends_with(']')) {
      rendezvous.host = rendezvous.host.substr(1, rendezvous.host.size() - 2);
    }
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, rendezvous.port);
    if (error == std::errc() && stop == end && rendezvous.port > 0 && rendezvous.port < 65536 &&
        !rendezvous.host.empty()) {
      return rendezvous;
    }
  }
  Fail(ErrorCode::kInvalidArgument,
       "--rendezvous '{}': expected host:port, or file:PATH in a folder that all ranks can read",
       text);
}

std::string Describe(const Rendezvous& rendezvous) {
  return rendezvous.path ? "file " + *rendezvous.path
                         : fmt::format("{}:{}", rendezvous.host, rendezvous.port);
}

FileDescriptor Listen(ListenOn where, int port) {
  // An IPv6 socket that also accepts IPv4, or an IPv4 socket on a machine without IPv6.
  for (const int family : {AF_INET6, AF_INET}) {
    FileDescriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    const bool local = where == ListenOn::kThisHost;
    if (local && family == AF_INET6) continue;  // the ranks are given 127.0.0.1
    sockaddr_storage any{};
    socklen_t size = sizeof(sockaddr_in);
    if (family == AF_INET6) {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(any);
      v6.sin6_family = AF_INET6;
      v6.sin6_addr = in6addr_any;
      v6.sin6_port = htons(static_cast<std::uint16_t>(port));
      size = sizeof(sockaddr_in6);
      const int both = 0;
      (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
    } else {
      auto& v4 = reinterpret_cast<sockaddr_in&>(any);
      v4.sin_family = AF_INET;
      v4.sin_addr.s_addr = htonl(local ? INADDR_LOOPBACK : INADDR_ANY);
      v4.sin_port = htons(static_cast<std::uint16_t>(port));
    }
    // Allows a port that an earlier run left in TIME_WAIT, but not one with a listener.
    const int reuse = 1;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), size) == 0 &&
        ::listen(socket.get(), kBacklog) == 0) {
      return socket;
    }
    if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL) break;
  }
  Fail(ErrorCode::kUnavailable,
       "rank 0 cannot listen on port {}: {}; give another port, or --rendezvous file:PATH",
       port,
       std::strerror(errno));
}

int PortOf(const FileDescriptor& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

std::optional<FileDescriptor> Accept(const FileDescriptor& listener) {
  FileDescriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return std::nullopt;
  SetOptions(socket.get());
  return socket;
}

std::optional<FileDescriptor> Connect(const std::string& host,
                                      int port,
                                      std::int64_t deadline_ns,
                                      std::string& problem) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    problem = ::gai_strerror(error);
    return std::nullopt;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    if (auto socket = ConnectTo(*at, deadline_ns, problem)) return socket;
  }
  return std::nullopt;
}

std::vector<std::string> AddressesOfThisHost() {
  std::vector<std::string> addresses{HostName()};
  ifaddrs* found = nullptr;
  if (::getifaddrs(&found) == 0) {
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(found, &::freeifaddrs);
    for (const ifaddrs* at = found; at != nullptr; at = at->ifa_next) {
      if ((at->ifa_flags & IFF_LOOPBACK) != 0) continue;
      if (const auto text = NumericAddress(at->ifa_addr, at->ifa_flags)) addresses.push_back(*text);
    }
  }
  addresses.emplace_back("127.0.0.1");
  return addresses;
}

std::string MakeToken() {
  std::random_device random;  // on Linux the kernel's generator
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

void WriteRankZero(const std::string& path, const RankZero& zero) {
  const Json text{{"schema", "dbsp.rendezvous/1"},
                  {"hosts", zero.hosts},
                  {"port", zero.port},
                  {"token", zero.token}};
  WritePrivateFile(path, DumpJson(text) + "\n");
}

std::optional<RankZero> ReadRankZero(const std::string& path) {
  // Opening the folder makes an NFS client ask the server again. Otherwise it may report for up to
  // a minute that the file is absent (nfs(5), acdirmax).
  const std::string folder = std::filesystem::absolute(path).parent_path().string();
  const FileDescriptor fresh(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  try {
    const Json json = ParseJson(ReadFile(path), path);
    const JsonView view(json, path);
    view.RequireSchema("dbsp.rendezvous/1");
    RankZero zero;
    for (const JsonView& host : view["hosts"].Items()) zero.hosts.push_back(host.String());
    zero.port = static_cast<int>(view["port"].Int(1, 65535));
    zero.token = view["token"].String();
    return zero;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace dbsp::runtime
