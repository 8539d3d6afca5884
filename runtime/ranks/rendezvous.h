// SPDX-License-Identifier: Apache-2.0
// How ranks that are processes find rank 0: an address that all were told, or a file that rank 0
// writes its address into.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file_descriptor.h"

namespace dbsp::runtime {

/// Where rank 0 can be reached.
struct RankZero {
  std::vector<std::string> hosts;  ///< names and addresses, tried in order
  int port = 0;
  std::string token;  ///< of this run, so that nothing left over from another is joined
};

/// "host:port", "[::1]:port" or "file:PATH".
struct Rendezvous {
  std::string host;  ///< "" when it is a file
  int port = 0;
  std::string path;
};
/// errors  Error{kInvalidArgument} naming --rendezvous
[[nodiscard]] Rendezvous ParseRendezvous(const std::string& text);
[[nodiscard]] std::string Describe(const Rendezvous& rendezvous);

/// Listens on `port` (0: one that is free) of every interface, or only of this host.
/// errors  Error{kUnavailable} when the port is in use or may not be taken
enum class ListenOn : std::uint8_t { kEveryInterface, kThisHost };
[[nodiscard]] FileDescriptor Listen(ListenOn where, int port);
[[nodiscard]] int PortOf(const FileDescriptor& listener);
/// Nothing when no one has come.
[[nodiscard]] std::optional<FileDescriptor> Accept(const FileDescriptor& listener);

/// A connection; nothing when there is no one yet or the name is unknown, with the reason.
[[nodiscard]] std::optional<FileDescriptor> Connect(const std::string& host,
                                                    int port,
                                                    std::int64_t deadline_ns,
                                                    std::string& problem);

/// This host's name and every address it has but loopback, which comes last.
[[nodiscard]] std::vector<std::string> AddressesOfThisHost();
/// 128 random bits in hexadecimal.
[[nodiscard]] std::string MakeToken();

/// The file's text; for its owner's eyes only, there whole or not at all.
/// errors  Error{kIo} when the folder cannot be written
void WriteRankZero(const std::string& path, const RankZero& zero);
/// Nothing when the file is not there or not whole.
[[nodiscard]] std::optional<RankZero> ReadRankZero(const std::string& path);

}  // namespace dbsp::runtime
