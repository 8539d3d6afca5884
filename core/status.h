// SPDX-License-Identifier: Apache-2.0
// Result of a check whose failure is a normal outcome: the caller decides what follows from it.
// Failures that no caller can handle are thrown as Error (core/error.h).
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace dbsp {

/// Either ok, or one message that says what is wrong.
class [[nodiscard]] Status {
 public:
  Status() = default;  ///< ok
  /// requires  `problem` is not empty
  explicit Status(std::string problem) : problem_(std::move(problem)) {}
  [[nodiscard]] bool ok() const { return problem_.empty(); }
  [[nodiscard]] const std::string& message() const { return problem_; }  ///< empty when ok

 private:
  std::string problem_;
};

/// Status(fmt::format(...)).
template <typename... Args>
[[nodiscard]] Status Problem(fmt::format_string<Args...> format, Args&&... args) {
  return Status(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dbsp
