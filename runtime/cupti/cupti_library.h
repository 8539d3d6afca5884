// SPDX-License-Identifier: Apache-2.0
// CUPTI, opened at run time. Without cupti.h at build time the same class answers that it was not
// built. It subscribes to nothing.
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
  ///         naming the function that a library too old lacks
  static CuptiLibrary Load(const std::string& library = "libcupti.so.13");
  ~CuptiLibrary();
  CuptiLibrary(CuptiLibrary&&) noexcept;
  CuptiLibrary& operator=(CuptiLibrary&&) noexcept;

  /// API version of the library that was opened, "13.0.1": the toolkit's major and minor number
  /// and CUPTI's own patch number.
  /// errors  Error{kUnavailable} with CUPTI's own words
  [[nodiscard]] std::string version() const;

  /// version() of the library at hand; nothing where it cannot be had.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libcupti.so.13");
  /// Version of the cupti.h this build was made with; nothing when it was not built.
  [[nodiscard]] static std::optional<std::string> HeaderVersion();

 private:
  struct Api;
  explicit CuptiLibrary(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
