// SPDX-License-Identifier: Apache-2.0
// The whole dbsp-profile with a table of CPU kernels most of which are broken. This source defines
// the functions of kernels/attention.cpp and replaces it at link time.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "core/error.h"
#include "kernels/attention.h"
#include "profiler/profile_tool.h"

namespace dbsp::kernels {
namespace {

void Slow(const AttentionArgs& args) {
  for (int i = 0; i < 4; ++i) AttentionBlockSparse(args);
}
void Crash(const AttentionArgs&) {
  std::signal(SIGSEGV, SIG_DFL);  // whatever a sanitizer does with it
  std::raise(SIGSEGV);
}
void Hang(const AttentionArgs&) {
  for (;;) ::pause();
}
void Exit(const AttentionArgs&) { ::_exit(3); }
/// Corrupts the worker's answer: writes to every socket of the process.
void Garbage(const AttentionArgs& args) {
  AttentionBlockSparse(args);
  for (int fd = 3; fd < 64; ++fd) (void)::send(fd, "[1, 2\n", 6, MSG_NOSIGNAL);
}
void Throw(const AttentionArgs&) {
  throw Error(ErrorCode::kMeasurement, "the test's kernel refuses");
}

}  // namespace

std::span<const AttentionVariant> CpuAttentionVariants() {
  static const std::array<AttentionVariant, 7> variants{
      {{.name = "test.slow", .run = &Slow},
       {.name = "test.crash", .run = &Crash},
       {.name = "test.exit", .run = &Exit},
       {.name = "test.garbage", .run = &Garbage},
       {.name = "test.throw", .run = &Throw},
       {.name = "test.hang", .run = &Hang},
       {.name = "cpu.block_sparse", .run = &AttentionBlockSparse}}};
  return variants;
}

void AddCpuAttention(AttentionVariant) { std::abort(); }  // this program takes no plugins

const AttentionVariant& FindCpuAttention(const std::string& name) {
  for (const AttentionVariant& variant : CpuAttentionVariants()) {
    if (variant.name == name || name.empty()) return variant;
  }
  Fail(ErrorCode::kInvalidArgument, "no kernel '{}'", name);
}

}  // namespace dbsp::kernels

int main(int argc, char** argv) { return dbsp::profiler::ProfileMain(argc, argv); }
