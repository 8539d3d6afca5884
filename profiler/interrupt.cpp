// SPDX-License-Identifier: Apache-2.0
#include "profiler/interrupt.h"

#include <atomic>
#include <csignal>
#include <cstdlib>

namespace dbsp::profiler {
namespace {

std::atomic<bool> g_interrupted{false};  // NOLINT: a signal handler can reach nothing else

extern "C" void OnInterrupt(int) { g_interrupted = true; }

}  // namespace

void CatchSigint() {
  // What was started with interrupts ignored (nohup, a script's background job) keeps them so.
  if (std::signal(SIGINT, OnInterrupt) == SIG_IGN) std::signal(SIGINT, SIG_IGN);
}

bool Interrupted() { return g_interrupted; }

void NoteInterrupt() { g_interrupted = true; }

void DieBySigint() {
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
  std::abort();  // raise() does not return from a default action
}

}  // namespace dbsp::profiler
