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

LineChannel::LineChannel(FileDescriptor socket) : socket_(std::move(socket)) {
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
      if (WaitForFile(socket_.get(), WaitTo::kWrite, end - SteadyNs())) continue;
      // Half a line may have been sent, so that the next line could not be told apart from it.
      Close(fmt::format("read nothing for {:g} s", static_cast<double>(deadline_ns) * 1e-9));
    } else if (errno != EINTR) {
      Close(errno == EPIPE ? "connection closed" : std::strerror(errno));
    }
  }
  return true;
}

void LineChannel::Pump() {
  std::array<char, 65536> buffer;
  while (problem_.empty()) {
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count <= 0) {
      Close(count == 0 ? "connection closed" : std::strerror(errno));
      return;
    }
    const char* at = buffer.data();
    const char* const end = at + count;
    for (const char* stop = std::find(at, end, '\n'); stop != end;
         stop = std::find(at, end, '\n')) {
      partial_.append(at, stop);
      lines_.push_back(std::move(partial_));
      partial_.clear();
      at = stop + 1;
    }
    partial_.append(at, end);
    if (partial_.size() > kLongestLine) Close("sent a line of more than 16 MiB");
  }
}

std::optional<std::string> LineChannel::Take() {
  if (lines_.empty()) return std::nullopt;
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

std::optional<std::string> LineChannel::Receive(std::int64_t deadline_ns) {
  const std::int64_t end = SteadyNs() + deadline_ns;
  for (;;) {
    Pump();
    if (auto line = Take()) return line;
    if (!problem_.empty() || !WaitForFile(socket_.get(), WaitTo::kRead, end - SteadyNs())) {
      return std::nullopt;
    }
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
