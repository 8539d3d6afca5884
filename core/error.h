// SPDX-License-Identifier: Apache-2.0
// Errors that leave a function, and checks of invariants.
//
// Bad input and failures of the environment throw Error. A broken invariant ends the process
// through DBSP_CHECK. A normal outcome that callers branch on is a value (core/status.h), not an
// exception.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace dbsp {

/// Kind of an error. It determines the exit code of the process.
enum class ErrorCode {
  kInvalidArgument,  ///< a flag, parameter or combination that cannot be used      (exit 2)
  kCorruptInput,  ///< a file is truncated, malformed or of another version      (exit 2)
  kNotFound,  ///< a named file, table, key or preset does not exist         (exit 2)
  kMismatch,  ///< inputs that do not fit each other, such as hashes         (exit 2)
  kIo,  ///< a path cannot be read or written, or the disk is full     (exit 2)
  kMeasurement,  ///< a measurement or verification failed                      (exit 1)
  kUnavailable,  ///< hardware, driver or library missing on this machine       (exit 3)
  kInternal,  ///< a fault of dbsp itself                                    (exit 4)
};

/// Exit code of a tool that ends with an error of this kind, never 0.
int ExitCode(ErrorCode code);

/// Short name of the code, for JSON and tests: "invalid_argument", ...
const char* ErrorCodeName(ErrorCode code);

namespace internal {
/// TerminalLine() (core/terminal_text.h): names from damaged files cannot act on a terminal.
[[nodiscard]] std::string OneLine(std::string text);
}  // namespace internal

/// The message is one line: the failure, its place, the expected value and the remedy.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message)
      : std::runtime_error(internal::OneLine(message)), code_(code) {}
  [[nodiscard]] ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

/// Throws Error{code} with a message made by fmt.
template <typename... Args>
[[noreturn]] void Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

namespace internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace internal

}  // namespace dbsp

/// Ends the process when an invariant is broken; on in every build.
#define DBSP_CHECK(condition)                                        \
  do {                                                               \
    if (!(condition)) [[unlikely]] {                                 \
      ::dbsp::internal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                                \
  } while (false)

/// DBSP_CHECK for inner loops. It is compiled only when DBSP_DCHECKS is defined.
#if defined(DBSP_DCHECKS)
#define DBSP_DCHECK(condition) DBSP_CHECK(condition)
#else
#define DBSP_DCHECK(condition) \
  do {                         \
  } while (false)
#endif
