// SPDX-License-Identifier: Apache-2.0
// Lines of text over a connected stream socket. Nothing here waits without a deadline, and a peer
// that is gone is a value, not a signal: the caller knows who the peer was and what that means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "runtime/file_descriptor.h"

namespace dbsp::runtime {

/// A longer line is no message of ours.
inline constexpr std::size_t kLongestLine = std::size_t{16} << 20U;

/// threads  one
class LineChannel {
 public:
  LineChannel() = default;
  /// Takes a connected stream socket, and makes it non-blocking.
  explicit LineChannel(FileDescriptor socket);

  /// Sends `line` and a newline; false when the peer is gone or takes nothing for so long.
  [[nodiscard]] bool Send(const std::string& line, std::int64_t deadline_ns);

  /// Reads what has come, without waiting.
  void Pump();
  /// The oldest whole line that Pump() has read.
  [[nodiscard]] std::optional<std::string> Take();
  /// Pump() and Take() until there is a line, the peer is gone or time is up.
  [[nodiscard]] std::optional<std::string> Receive(std::int64_t deadline_ns);

  /// Why nothing more comes or goes; "" while the peer is there. Lines that came before stay.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  /// Closes the connection.
  void Close(const std::string& why);

 private:
  FileDescriptor socket_;
  std::string partial_;
  std::deque<std::string> lines_;
  std::string problem_;
};

/// Two ends of one connection between a process and its child. Both are closed on exec, but for
/// ChildOptions::keep_open.
struct LinePair {
  FileDescriptor parent;
  FileDescriptor child;
};
/// errors  Error{kUnavailable} when the system gives no more sockets
[[nodiscard]] LinePair MakeLinePair();

/// Waits until `fd` can be read (or written), it is closed, or time is up; false for the latter.
enum class WaitTo : std::uint8_t { kRead, kWrite };
bool WaitForFile(int fd, WaitTo what, std::int64_t deadline_ns);

}  // namespace dbsp::runtime
