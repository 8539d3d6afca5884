// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

#include <cstdio>
#include <cstdlib>

#include "core/terminal_text.h"

namespace dbsp {

int ExitCode(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kCorruptInput:
    case ErrorCode::kNotFound:
    case ErrorCode::kMismatch:
    case ErrorCode::kIo:
      return 2;
    case ErrorCode::kMeasurement:
      return 1;
    case ErrorCode::kUnavailable:
      return 3;
    case ErrorCode::kInternal:
      return 4;
  }
  return 4;
}

const char* ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kCorruptInput:
      return "corrupt_input";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kMismatch:
      return "mismatch";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kMeasurement:
      return "measurement";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

namespace internal {

std::string OneLine(std::string text) { return TerminalLine(text); }

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "dbsp: internal: %s:%d: broken invariant: %s\n", file, line, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace internal
}  // namespace dbsp
