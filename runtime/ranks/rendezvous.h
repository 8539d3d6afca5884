// SPDX-License-Identifier: Apache-2.0
// How rank processes find rank 0: an address given to all ranks, or a file into which rank 0 writes
// its address.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file_descriptor.h"

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

/// Opens a listener on `port` (0: any free port), on every interface or on the loopback interface
/// only.
/// errors  Error{kUnavailable} when the port is in use or not permitted
enum class ListenOn : std::uint8_t { kEveryInterface, kThisHost };
[[nodiscard]] FileDescriptor Listen(ListenOn where, int port);
[[nodiscard]] int PortOf(const FileDescriptor& listener);
/// The next new connection; nothing when there is none.
[[nodiscard]] std::optional<FileDescriptor> Accept(const FileDescriptor& listener);

/// A connection; nothing when the host is unknown or nothing listens there, with the reason in
/// `problem`.
[[nodiscard]] std::optional<FileDescriptor> Connect(const std::string& host,
                                                    int port,
                                                    std::int64_t deadline_ns,
                                                    std::string& problem);

/// This host's name, its addresses, and the loopback address last.
[[nodiscard]] std::vector<std::string> AddressesOfThisHost();
/// 128 random bits in hexadecimal.
[[nodiscard]] std::string MakeToken();

/// Writes the file in one step, readable by its owner only.
/// errors  Error{kIo} when the folder cannot be written
void WriteRankZero(const std::string& path, const RankZero& zero);
/// Nothing when the file is absent or incomplete.
[[nodiscard]] std::optional<RankZero> ReadRankZero(const std::string& path);

}  // namespace dbsp::runtime
