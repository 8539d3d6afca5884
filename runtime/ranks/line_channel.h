// SPDX-License-Identifier: Apache-2.0
// Lines of text over a connected stream socket. Every wait has a deadline. A closed connection is
// reported by problem() and never by a signal or an exception, because only the caller knows what
// it means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "runtime/file_descriptor.h"

namespace dbsp::runtime {

/// Default for the longest line that a channel accepts, in bytes.
inline constexpr std::size_t kLongestLine = std::size_t{16} << 20U;

/// threads  one
class LineChannel {
 public:
  LineChannel() = default;
  /// Takes over a connected stream socket and makes it non-blocking. The channel closes when the
  /// peer sends a line of more than `longest_line` bytes.
  explicit LineChannel(FileDescriptor socket, std::size_t longest_line = kLongestLine);
  /// Holds for the lines that are read from now on.
  void set_longest_line(std::size_t bytes) { longest_line_ = bytes; }

  /// Sends `line` and a newline. Returns false when the peer is gone or has not read all of it at
  /// the deadline.
  [[nodiscard]] bool Send(const std::string& line, std::int64_t deadline_ns);

  /// Reads data that has arrived, without waiting. One call reads at most 1 MiB, and nothing while
  /// lines of more than the longest one's size wait for Take(), so that a peer that never stops
  /// sending costs neither time nor memory.
  void Pump();
  /// Removes and returns the oldest complete line that Pump() has read.
  [[nodiscard]] std::optional<std::string> Take();
  /// Waits for a line; returns nothing when the peer is gone or at the deadline.
  [[nodiscard]] std::optional<std::string> Receive(std::int64_t deadline_ns);

  /// Why the connection is closed; "" while it is open. Take() still returns the lines read before.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  /// Closes the connection.
  void Close(const std::string& why);

 private:
  void Split(const char* at, const char* end);

  FileDescriptor socket_;
  std::size_t longest_line_ = kLongestLine;
  std::string partial_;
  std::deque<std::string> lines_;
  std::size_t waiting_ = 0;  ///< size of lines_ in bytes
  std::string problem_;
};

/// Both ends of a connection between a process and its child. Both are close-on-exec; the child
/// inherits its end through ChildOptions::keep_open.
struct LinePair {
  FileDescriptor parent;
  FileDescriptor child;
};
/// errors  Error{kUnavailable} when the system cannot open a socket
[[nodiscard]] LinePair MakeLinePair();

/// Waits until `fd` can be read (or written) or is closed. Returns false at the deadline.
enum class WaitTo : std::uint8_t { kRead, kWrite };
bool WaitForFile(int fd, WaitTo what, std::int64_t deadline_ns);

}  // namespace dbsp::runtime
