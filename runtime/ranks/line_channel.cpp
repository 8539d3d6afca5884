// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/line_channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "runtime/clock.h"

namespace dbsp::runtime {
namespace {

constexpr std::size_t kMostPerPump = std::size_t{1} << 20U;

/// An empty line takes memory, too.
std::size_t SizeInQueue(const std::string& line) { return line.size() + sizeof(std::string); }

}  // namespace

bool WaitForFile(int fd, WaitTo what, std::int64_t deadline_ns) {
  const std::int64_t end = SteadyNs() + deadline_ns;
  for (;;) {
    const std::int64_t left_ms =
        std::max<std::int64_t>(0, (end - SteadyNs() + 999'999) / 1'000'000);
    pollfd wait{fd, static_cast<short>(what == WaitTo::kRead ? POLLIN : POLLOUT), 0};
    const int ready =
        ::poll(&wait, 1, static_cast<int>(std::min<std::int64_t>(left_ms, 1'000'000)));
    if (ready > 0) return true;
    if (ready == 0 && SteadyNs() >= end) return false;
    if (ready < 0 && errno != EINTR) return true;  // the next read or write reports the error
  }
}

LineChannel::LineChannel(FileDescriptor socket, std::size_t longest_line)
    : socket_(std::move(socket)), longest_line_(longest_line) {
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    Close(std::strerror(errno));
  }
}

void LineChannel::Close(const std::string& why) {
  if (problem_.empty()) problem_ = why;
  socket_.Reset();
}

bool LineChannel::Send(const std::string& line, std::int64_t deadline_ns) {
  const std::string text = line + '\n';
  const std::int64_t end = SteadyNs() + deadline_ns;
  for (std::size_t sent = 0; sent < text.size();) {
    if (!problem_.empty()) return false;
    const ssize_t count =
        ::send(socket_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // A peer that reads a little now and then does not extend the deadline.
      const std::int64_t left = end - SteadyNs();
      if (left > 0 && WaitForFile(socket_.get(), WaitTo::kWrite, left)) continue;
      // Half a line may have been sent, so that the next line could not be told apart from it.
      Close(fmt::format("read nothing for {:g} s", static_cast<double>(deadline_ns) * 1e-9));
    } else if (errno != EINTR) {
      Close(errno == EPIPE ? "connection closed" : std::strerror(errno));
    }
  }
  return true;
}

void LineChannel::Split(const char* at, const char* end) {
  for (const char* stop = std::find(at, end, '\n'); stop != end; stop = std::find(at, end, '\n')) {
    partial_.append(at, stop);
    at = stop + 1;
    if (partial_.size() > longest_line_) break;
    waiting_ += SizeInQueue(partial_);
    lines_.push_back(std::move(partial_));
    partial_.clear();
  }
  partial_.append(at, end);
  if (partial_.size() > longest_line_) {
    Close(fmt::format("sent a line of more than {} bytes", longest_line_));
    partial_ = {};
  }
}

void LineChannel::Pump() {
  std::array<char, 65536> buffer;
  for (std::size_t read = 0;
       problem_.empty() && read < kMostPerPump && waiting_ <= longest_line_;) {
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count <= 0) {
      Close(count == 0 ? "connection closed" : std::strerror(errno));
      return;
    }
    read += static_cast<std::size_t>(count);
    Split(buffer.data(), buffer.data() + count);
  }
}

std::optional<std::string> LineChannel::Take() {
  if (lines_.empty()) return std::nullopt;
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  waiting_ -= SizeInQueue(line);
  return line;
}

std::optional<std::string> LineChannel::Receive(std::int64_t deadline_ns) {
  const std::int64_t end = SteadyNs() + deadline_ns;
  for (;;) {
    Pump();
    if (auto line = Take()) return line;
    if (!problem_.empty()) return std::nullopt;
    // A peer that sends a little now and then does not extend the deadline.
    const std::int64_t left = end - SteadyNs();
    if (left <= 0 || !WaitForFile(socket_.get(), WaitTo::kRead, left)) return std::nullopt;
  }
}

LinePair MakeLinePair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    Fail(ErrorCode::kUnavailable, "no socket for a child process: {}", std::strerror(errno));
  }
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

}  // namespace dbsp::runtime
