// SPDX-License-Identifier: Apache-2.0
#include "profiler/interrupt.h"

#include <atomic>
#include <csignal>
#include <cstdlib>

namespace dbsp::profiler {
namespace {

std::atomic<bool> g_interrupted{false};  // NOLINT: a signal handler can only use globals

extern "C" void OnInterrupt(int) { g_interrupted = true; }

}  // namespace

void CatchSigint() {
  // A process that was started with SIGINT ignored (nohup, a background job) keeps ignoring it.
  if (std::signal(SIGINT, OnInterrupt) == SIG_IGN) std::signal(SIGINT, SIG_IGN);
}

bool Interrupted() { return g_interrupted; }

void NoteInterrupt() { g_interrupted = true; }

void DieBySigint() {
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
  std::abort();  // not reached: the default action ends the process
}

}  // namespace dbsp::profiler
