// SPDX-License-Identifier: Apache-2.0
// The NCCL library, opened at run time. In a build without nccl.h, Load() throws. The class makes
// no communicator.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class NcclLibrary {
 public:
  /// Opens NCCL 2.
  /// errors  Error{kUnavailable} "NCCL: unavailable: ..." when it is absent or not built, or
  ///         with the name of a function that an old library does not have
  static NcclLibrary Load(const std::string& library = "libnccl.so.2");
  ~NcclLibrary();
  NcclLibrary(NcclLibrary&&) noexcept;
  NcclLibrary& operator=(NcclLibrary&&) noexcept;

  /// Version of the opened library, "2.28.9".
  /// errors  Error{kUnavailable} with NCCL's error text
  [[nodiscard]] std::string version() const;

  /// version() of the installed library; nothing without one.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libnccl.so.2");
  /// Version of this build's nccl.h; nothing in a build without it.
  [[nodiscard]] static std::optional<std::string> HeaderVersion();

 private:
  struct Api;
  explicit NcclLibrary(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
