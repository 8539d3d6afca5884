// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signals.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace dbsp {
namespace {

constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};
constexpr std::int64_t kSameSignalNs = 1'000'000'000;

// A signal handler can only use globals.  NOLINTBEGIN
std::array<char, 64> g_tool{};
std::array<char, 4096> g_unfinished{};
std::atomic<bool> g_has_unfinished{false};
std::atomic<bool> g_names_file{false};
std::atomic<const char*> g_kept{"nothing was written"};
std::atomic<bool> g_note_only{false};
std::atomic<int> g_noted{0};
std::atomic<std::int64_t> g_noted_ns{0};
// NOLINTEND

std::int64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Write(const char* text) {
  const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(written);  // nothing is left to do about it
}

const char* NameOf(int signal) {
  if (signal == SIGTERM) return "SIGTERM";
  return signal == SIGHUP ? "SIGHUP" : "SIGINT";
}

/// Calls only functions that are safe in a signal handler.
void End(int signal) {
  Write(g_tool.data());
  Write(": stopped by ");
  Write(NameOf(signal));
  Write(": ");
  Write(g_kept.load());
  Write("\n");
  if (g_has_unfinished) ::unlink(g_unfinished.data());
  ::signal(signal, SIG_DFL);
  ::raise(signal);  // delivered when the handler returns
}

extern "C" void OnSignal(int signal) {
  const int error = errno;
  int none = 0;
  if (!g_note_only) {
    End(signal);
  } else if (g_noted.compare_exchange_strong(none, signal)) {
    g_noted_ns = NowNs();
  } else if (NowNs() - g_noted_ns >= kSameSignalNs) {
    End(signal);
  }
  errno = error;
}

}  // namespace

void EndOnSignals(const std::string& tool) {
  g_kept = "nothing was written";
  std::strncpy(g_tool.data(), tool.c_str(), g_tool.size() - 1);
  for (const int signal : kSignals) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
}

void SayKept(const char* kept) { g_kept = kept; }

void NoteSignals() { g_note_only = true; }
bool Interrupted() { return g_noted != 0; }

void NoteInterrupt() {
  int none = 0;
  if (g_noted.compare_exchange_strong(none, SIGINT)) g_noted_ns = NowNs();
}

void DieBySignal() {
  const int noted = g_noted;
  const int signal = noted != 0 ? noted : SIGINT;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  std::abort();  // not reached: the default action ends the process
}

UnfinishedFile::UnfinishedFile(const std::string& path) {
  bool free = false;
  if (path.size() >= g_unfinished.size() || !g_names_file.compare_exchange_strong(free, true)) {
    return;
  }
  named_ = true;
  std::memcpy(g_unfinished.data(), path.c_str(), path.size() + 1);
  g_has_unfinished = true;
}

UnfinishedFile::~UnfinishedFile() {
  if (!named_) return;
  g_has_unfinished = false;
  g_names_file = false;
}

}  // namespace dbsp
