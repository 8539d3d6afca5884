// SPDX-License-Identifier: Apache-2.0
// The CUPTI library, opened at run time. In a build without cupti.h, Load() throws. The class
// subscribes to no events.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class CuptiLibrary {
 public:
  /// Opens CUPTI 13.
  /// errors  Error{kUnavailable} "CUPTI: unavailable: ..." when it is absent or not built, or
  ///         with the name of a function that an old library does not have
  static CuptiLibrary Load(const std::string& library = "libcupti.so.13");
  ~CuptiLibrary();
  CuptiLibrary(CuptiLibrary&&) noexcept;
  CuptiLibrary& operator=(CuptiLibrary&&) noexcept;

  /// API version of the opened library, "13.0.1": the toolkit's major and minor number and CUPTI's
  /// patch number.
  /// errors  Error{kUnavailable} with CUPTI's error text
  [[nodiscard]] std::string version() const;

  /// version() of the installed library; nothing without one.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libcupti.so.13");
  /// Version of this build's cupti.h; nothing in a build without it.
  [[nodiscard]] static std::optional<std::string> HeaderVersion();

 private:
  struct Api;
  explicit CuptiLibrary(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
